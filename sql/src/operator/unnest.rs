//! Lists to rows, structs to columns.

use arrow_array::cast::AsArray;
use arrow_array::{
    Array, ArrayRef, GenericListArray, Int64Array, OffsetSizeTrait, RecordBatch,
    RecordBatchOptions, UInt32Array,
};
use arrow_schema::{DataType, SchemaRef};
use arrow_select::take::take;
use riverrun_dataflow::{Batch, Error, Operator, OperatorContext, Output, Result};

use crate::Changes;

/// Rows of an emitted batch, about: the rows of one list stay together.
const CHUNK: usize = 8192;

/// What becomes of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flattened {
    /// It stays, repeated for each element of the lists.
    Copied(usize),
    /// Its elements become rows.
    List(usize),
    /// Its fields become columns.
    Struct(usize),
}

/// What an [`Unnest`] does.
#[derive(Debug, Clone)]
pub struct UnnestSpec {
    /// The input's columns in the order of the output. Several lists go side by side: the shorter ones are filled up with nulls.
    pub columns: Vec<Flattened>,
    /// What comes out.
    pub output: SchemaRef,
    /// Whether a row whose lists are null stays, with a null.
    pub keep_null: bool,
    /// Whether a row whose lists are empty stays, with a null.
    pub keep_empty: bool,
}

/// Makes a row of each element of a list, and columns of the fields of a struct.
pub struct Unnest {
    spec: UnnestSpec,
    operator: String,
}

impl Unnest {
    /// The operator of this spec.
    pub fn new(spec: UnnestSpec) -> Self {
        Self { spec, operator: "unnest".to_owned() }
    }

    fn flatten(&self, changes: &Changes) -> Result<Changes> {
        let rows = &changes.rows;
        let mut lists = Vec::new();
        for column in &self.spec.columns {
            if let Flattened::List(at) = column {
                lists.push(List::of(&self.operator, rows.column(*at))?);
            }
        }
        // By output row: the input row, and for each list the element.
        let mut from: Vec<u32> = Vec::with_capacity(rows.num_rows());
        let mut elements: Vec<Vec<Option<u32>>> = vec![Vec::new(); lists.len()];
        for row in 0..rows.num_rows() {
            let longest = lists.iter().map(|list| list.length(row, &self.spec)).max().unwrap_or(1);
            from.extend(std::iter::repeat_n(row as u32, longest));
            for (list, elements) in lists.iter().zip(&mut elements) {
                elements.extend((0..longest).map(|at| list.element(row, at)));
            }
        }
        let from = UInt32Array::from(from);
        let failed = |error| Error::io(&self.operator, error);
        let (mut columns, mut flattened): (Vec<ArrayRef>, _) =
            (Vec::with_capacity(self.spec.output.fields().len()), lists.iter().zip(elements));
        for column in &self.spec.columns {
            match column {
                Flattened::Copied(at) => {
                    columns.push(take(rows.column(*at), &from, None).map_err(failed)?);
                }
                Flattened::List(_) => {
                    if let Some((list, elements)) = flattened.next() {
                        let elements = UInt32Array::from(elements);
                        columns.push(take(&list.values, &elements, None).map_err(failed)?);
                    }
                }
                Flattened::Struct(at) => {
                    let column = take(rows.column(*at), &from, None).map_err(failed)?;
                    let Some(fields) = column.as_struct_opt() else {
                        return Err(wrong(&self.operator, "a ROW", column.data_type()));
                    };
                    // A null row has null fields.
                    for field in fields.columns() {
                        let nulls = arrow_buffer::NullBuffer::union(field.nulls(), fields.nulls());
                        let data = field.to_data().into_builder().nulls(nulls).build();
                        columns.push(arrow_array::make_array(data.map_err(failed)?));
                    }
                }
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(from.len()));
        let batch = RecordBatch::try_new_with_options(self.spec.output.clone(), columns, &options)
            .map_err(failed)?;
        let weights = match &changes.weights {
            None => None,
            Some(weights) => {
                let taken = take(weights, &from, None).map_err(failed)?;
                taken.as_any().downcast_ref::<Int64Array>().cloned()
            }
        };
        Ok(Changes { rows: batch, weights })
    }
}

/// A column of lists.
struct List {
    column: ArrayRef,
    values: ArrayRef,
    /// First and last element (exclusive) by row.
    ranges: Vec<(u32, u32)>,
}

impl List {
    fn of(operator: &str, column: &ArrayRef) -> Result<Self> {
        let (values, ranges) = match column.data_type() {
            DataType::List(_) => parts(column.as_list::<i32>()),
            DataType::LargeList(_) => parts(column.as_list::<i64>()),
            DataType::FixedSizeList(_, size) => {
                let list = column.as_fixed_size_list();
                let size = *size as u32;
                let ranges = (0..list.len() as u32).map(|row| (row * size, (row + 1) * size));
                (list.values().clone(), ranges.collect())
            }
            other => return Err(wrong(operator, "an ARRAY", other)),
        };
        Ok(Self { column: column.clone(), values, ranges })
    }

    fn length(&self, row: usize, spec: &UnnestSpec) -> usize {
        if self.column.is_null(row) {
            return usize::from(spec.keep_null);
        }
        let (first, end) = self.ranges[row];
        ((end - first) as usize).max(usize::from(spec.keep_empty))
    }

    fn element(&self, row: usize, at: usize) -> Option<u32> {
        let (first, end) = self.ranges[row];
        let element = first + at as u32;
        (!self.column.is_null(row) && element < end).then_some(element)
    }
}

/// Elements and ranges of a list column. A batch has far fewer elements than a u32 can count.
fn parts<O: OffsetSizeTrait>(list: &GenericListArray<O>) -> (ArrayRef, Vec<(u32, u32)>) {
    let offsets = list.value_offsets();
    let ranges =
        offsets.windows(2).map(|ends| (ends[0].as_usize() as u32, ends[1].as_usize() as u32));
    (list.values().clone(), ranges.collect())
}

fn wrong(operator: &str, expected: &str, got: &DataType) -> Error {
    Error::WrongBatch {
        operator: operator.to_owned(),
        expected: format!("{expected} column to unnest"),
        got: got.to_string(),
    }
}

impl Operator for Unnest {
    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.operator.clone_from(&context.operator);
        Ok(())
    }

    fn process(&mut self, _input: usize, batch: Batch, out: &mut dyn Output) -> Result<()> {
        let split = batch.split;
        let changes = self.flatten(&Changes::of(batch, &self.operator)?)?;
        let mut from = 0;
        while from < changes.len() {
            let count = CHUNK.min(changes.len() - from);
            let part = Changes {
                rows: changes.rows.slice(from, count),
                weights: changes.weights.as_ref().map(|weights| weights.slice(from, count)),
            };
            out.emit(part.into_batch(&self.operator, split)?)?;
            from += count;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::builder::{Int64Builder, ListBuilder};
    use arrow_array::{RecordBatch, StructArray};
    use arrow_schema::{Field, Schema};
    use riverrun_dataflow::testing::Harness;

    use super::*;
    use crate::operator::testing::texts;

    fn input() -> Changes {
        let mut lists = ListBuilder::new(Int64Builder::new());
        lists.append_value([Some(1), None]);
        lists.append_null();
        lists.append_value([]);
        lists.append_value([Some(3)]);
        let lists: ArrayRef = Arc::new(lists.finish());
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![10, 20, 30, 40]));
        let inner = Field::new("x", DataType::Int64, true);
        let structs: ArrayRef = Arc::new(StructArray::new(
            vec![inner].into(),
            vec![Arc::new(Int64Array::from(vec![7, 8, 9, 6]))],
            Some(vec![true, true, true, false].into()),
        ));
        let schema = Schema::new(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("list", lists.data_type().clone(), true),
            Field::new("row", structs.data_type().clone(), true),
        ]);
        let rows = RecordBatch::try_new(Arc::new(schema), vec![ids, lists, structs]).unwrap();
        Changes::weighted(rows, Int64Array::from(vec![1, 2, 1, -1]))
    }

    fn unnested(keep_null: bool, keep_empty: bool) -> Vec<(String, i64)> {
        let int = |name: &str| Field::new(name, DataType::Int64, true);
        let output = Arc::new(Schema::new(vec![int("id"), int("element"), int("x")]));
        let columns = vec![Flattened::Copied(0), Flattened::List(1), Flattened::Struct(2)];
        let spec = UnnestSpec { columns, output, keep_null, keep_empty };
        let mut harness = Harness::open(Unnest::new(spec)).unwrap();
        let batch = input().into_batch("test", Some(4)).unwrap();
        harness.operator.process(0, batch, &mut harness.out).unwrap();
        let batch = harness.out.batches.remove(0);
        assert_eq!(batch.split, Some(4));
        let changes = Changes::of(batch, "test").unwrap();
        let texts = texts(&changes.rows).into_iter().enumerate();
        texts.map(|(at, text)| (text, changes.weight(at))).collect()
    }

    #[test]
    fn elements_become_rows_and_fields_columns() {
        let row = |text: &str, weight| (text.to_owned(), weight);
        let mut expected = vec![row("10|1|7", 1), row("10|NULL|7", 1), row("40|3|NULL", -1)];
        assert_eq!(unnested(false, false), expected);
        expected.insert(2, row("20|NULL|8", 2));
        assert_eq!(unnested(true, false), expected);
        expected.insert(3, row("30|NULL|9", 1));
        assert_eq!(unnested(true, true), expected);
    }
}
