//! How the rows of a key are kept as bytes, in an order.

use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{SchemaRef, SortOptions};
use riverrun_dataflow::{Error, Result};

use super::RowCodec;
use super::rows::EncodedRows;

/// Splits rows into the bytes of their key columns and the bytes of all other columns, the ordering ones first: the rest of a key's rows
/// sorts as the order says, and rows that are equal by it sort by their other columns. That makes the order total: it does not depend on
/// which row came first. Columns of the key are not kept a second time.
pub struct RowLayout {
    schema: SchemaRef,
    key_columns: Vec<usize>,
    rest_columns: Vec<usize>,
    key: RowCodec,
    rest: RowCodec,
    /// Set if the rest carries how long its ordering part is.
    order: Option<(usize, RowCodec)>,
}

/// Length of what stands behind the rest if it says how long its ordering part is. Behind it, the order of rows is not affected.
const SUFFIX: usize = 4;

impl RowLayout {
    /// The layout of rows of `schema` with these key columns, ordered by these columns. With `peers` it can be asked of a
    /// row's bytes which part of them is the order: see [`RowLayout::order_of`].
    ///
    /// # Errors
    /// As [`RowCodec::new`].
    pub fn new(
        operator: &str,
        schema: &SchemaRef,
        key_columns: &[usize],
        order: &[(usize, SortOptions)],
        peers: bool,
    ) -> Result<Self> {
        let type_of = |column: usize| schema.field(column).data_type().clone();
        let mut rest: Vec<(usize, SortOptions)> = Vec::with_capacity(schema.fields().len());
        let in_key = |column: usize| key_columns.contains(&column);
        for (column, options) in order {
            // A column of the key is the same in all of the key's rows, and a second mention of a column orders nothing.
            if !in_key(*column) && !rest.iter().any(|(of, _)| of == column) {
                rest.push((*column, *options));
            }
        }
        let ordering = rest.len();
        for column in 0..schema.fields().len() {
            if !in_key(column) && !rest.iter().any(|(of, _)| *of == column) {
                rest.push((column, SortOptions::default()));
            }
        }
        let codec = |columns: &[(usize, SortOptions)]| {
            RowCodec::ordered(
                operator,
                columns.iter().map(|(of, options)| (type_of(*of), *options)),
            )
        };
        let order = match peers {
            true => Some((ordering, codec(&rest[..ordering])?)),
            false => None,
        };
        Ok(Self {
            schema: schema.clone(),
            key_columns: key_columns.to_vec(),
            key: RowCodec::new(operator, key_columns.iter().map(|column| type_of(*column)))?,
            rest: codec(&rest)?,
            rest_columns: rest.into_iter().map(|(column, _)| column).collect(),
            order,
        })
    }

    /// The rows' bytes.
    ///
    /// # Errors
    /// As [`RowCodec::encode`].
    pub fn encode(&self, operator: &str, rows: &RecordBatch) -> Result<LaidOut> {
        let pick = |columns: &[usize]| -> Vec<ArrayRef> {
            columns.iter().map(|column| rows.column(*column).clone()).collect()
        };
        let count = rows.num_rows();
        let rest = pick(&self.rest_columns);
        let order = match &self.order {
            Some((ordering, codec)) => Some(codec.encode(operator, &rest[..*ordering], count)?),
            None => None,
        };
        Ok(LaidOut {
            keys: self.key.encode(operator, &pick(&self.key_columns), count)?,
            rest: self.rest.encode(operator, &rest, count)?,
            order,
        })
    }

    /// The part of a rest that is its order; rows of a key are peers if they have the same. Without `peers` nothing is.
    pub fn order_of<'a>(&self, rest: &'a [u8]) -> &'a [u8] {
        let Some((bytes, len)) = rest.split_last_chunk::<SUFFIX>() else { return &[] };
        match self.order {
            Some(_) => bytes.get(..u32::from_le_bytes(*len) as usize).unwrap_or(bytes),
            None => &[],
        }
    }

    /// The columns of rows, in the order of the schema.
    ///
    /// # Errors
    /// [`Error::State`] naming `operator` if the bytes are not this layout's.
    pub fn decode<'a>(
        &self,
        operator: &str,
        keys: impl IntoIterator<Item = &'a [u8]>,
        rests: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Vec<ArrayRef>> {
        let suffix = if self.order.is_some() { SUFFIX } else { 0 };
        let rests = rests.into_iter().map(|rest| &rest[..rest.len().saturating_sub(suffix)]);
        let keys = self.key.decode(operator, keys)?;
        let rests = self.rest.decode(operator, rests)?;
        let mut columns: Vec<Option<ArrayRef>> = vec![None; self.schema.fields().len()];
        let at = self.key_columns.iter().chain(&self.rest_columns);
        for (at, column) in at.zip(keys.into_iter().chain(rests)) {
            columns[*at] = Some(column);
        }
        let all: Option<Vec<ArrayRef>> = columns.into_iter().collect();
        all.ok_or_else(|| Error::state(operator, "rows of another table's columns"))
    }

    /// The bytes of one column's value as the first ordering column: what sorts before all rows with that value or a later one.
    ///
    /// # Errors
    /// As [`RowCodec::encode`].
    pub fn bound(operator: &str, value: ArrayRef, options: SortOptions) -> Result<Vec<u8>> {
        let codec = RowCodec::ordered(operator, [(value.data_type().clone(), options)])?;
        let rows = codec.encode(operator, &[value], 1)?;
        Ok(rows.row(0).to_vec())
    }
}

/// Rows as a [`RowLayout`] lays them out.
pub struct LaidOut {
    /// The bytes of the key columns.
    pub keys: EncodedRows,
    rest: EncodedRows,
    order: Option<EncodedRows>,
}

impl LaidOut {
    /// The bytes of a row's other columns in their order, without what tells peers.
    #[inline]
    pub fn ordered(&self, row: usize) -> &[u8] {
        self.rest.row(row)
    }

    /// The bytes of a row's other columns; `scratch` holds them if they have to be put together.
    #[inline]
    pub fn rest<'a>(&'a self, row: usize, scratch: &'a mut Vec<u8>) -> &'a [u8] {
        let rest = self.ordered(row);
        let Some(order) = &self.order else { return rest };
        scratch.clear();
        scratch.extend_from_slice(rest);
        // Rows travel in batches of far less than 4 GiB.
        scratch.extend_from_slice(&(order.row(row).len() as u32).to_le_bytes());
        scratch
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Int64Array, StringArray};
    use arrow_schema::{DataType, Field, Schema};

    use super::*;

    #[test]
    fn rows_sort_by_the_order_and_come_back_in_the_schemas_columns() {
        let fields = [("a", DataType::Int64), ("k", DataType::Utf8), ("o", DataType::Utf8)];
        let fields = fields.map(|(name, of)| Field::new(name, of, true)).to_vec();
        let schema = Arc::new(Schema::new(fields));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![Some(1), None, Some(3)])),
            Arc::new(StringArray::from(vec!["k", "k", "l"])),
            Arc::new(StringArray::from(vec![Some("x"), Some("x"), None])),
        ];
        let rows = RecordBatch::try_new(schema.clone(), columns.clone()).unwrap();
        let descending = SortOptions { descending: true, nulls_first: false };
        for peers in [false, true] {
            let order = [(1, descending), (2, descending), (2, SortOptions::default())];
            let layout = RowLayout::new("t", &schema, &[1], &order, peers).unwrap();
            let laid_out = layout.encode("t", &rows).unwrap();
            let rests: Vec<Vec<u8>> =
                (0..3).map(|row| laid_out.rest(row, &mut Vec::new()).to_vec()).collect();
            assert!(rests[1] < rests[0] && rests[0] < rests[2], "nulls of `a` first, of `o` last");
            if peers {
                assert_eq!(layout.order_of(&rests[0]), layout.order_of(&rests[1]));
                assert_ne!(layout.order_of(&rests[0]), layout.order_of(&rests[2]));
            }
            let rests = rests.iter().map(Vec::as_slice);
            assert_eq!(layout.decode("t", laid_out.keys.iter(), rests).unwrap(), columns);
        }
    }
}
