//! AVG of integers and decimals, as in Flink: an integer of integers, rounded towards zero, and a DECIMAL(38, 6) or finer of decimals.
//!
//! Of floating point numbers it is DataFusion's. Integers are added up as BIGINT, so the average of any integers is a BIGINT.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_array::builder::{Decimal128Builder, Int64Builder, ListBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use arrow_array::{Array, ArrayRef, BooleanArray, Decimal128Array, Int64Array, UInt64Array};
use arrow_schema::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, exec_err, plan_err};
use datafusion::functions_aggregate::average::avg_udaf;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};

/// The function for the registry.
pub(super) fn average() -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::new_from_impl(Average {
        signature: Signature::user_defined(Volatility::Immutable),
        floats: avg_udaf(),
    }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Average {
    signature: Signature,
    floats: Arc<AggregateUDF>,
}

/// Whether values of this type are added up here.
fn exact(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Int64 | DataType::Decimal128(..))
}

/// Type of the sum of values.
fn sum_type(values: &DataType) -> DataType {
    match values {
        DataType::Decimal128(_, scale) => DataType::Decimal128(38, *scale),
        other => other.clone(),
    }
}

/// Digits behind the point of an average of decimals.
fn result_scale(scale: i8) -> i8 {
    scale.max(6)
}

impl AggregateUDFImpl for Average {
    fn name(&self) -> &str {
        "avg"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        match given {
            [DataType::UInt64] => Ok(vec![DataType::Decimal128(20, 0)]),
            [one] if one.is_integer() => Ok(vec![DataType::Int64]),
            [one @ (DataType::Decimal128(..) | DataType::Duration(_))] => Ok(vec![one.clone()]),
            [DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale)] => {
                Ok(vec![DataType::Decimal128(*precision, *scale)])
            }
            [one] if one.is_numeric() || one.is_null() => Ok(vec![DataType::Float64]),
            [other] => plan_err!(
                "AVG takes numbers, not {}; use CAST to convert it",
                super::type_name(other)
            ),
            _ => plan_err!("AVG takes one argument, not {}", given.len()),
        }
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        match given {
            [DataType::Int64] => Ok(DataType::Int64),
            [DataType::Decimal128(_, scale)] => Ok(DataType::Decimal128(38, result_scale(*scale))),
            _ => self.floats.return_type(given),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let values = args.input_fields[0].data_type();
        if !exact(values) {
            return self.floats.state_fields(args);
        }
        let sum = sum_type(values);
        if args.is_distinct {
            let item = Field::new_list_field(sum, true);
            let name = format!("{}[avg distinct]", args.name);
            return Ok(vec![Arc::new(Field::new_list(name, item, false))]);
        }
        let field =
            |name: &str, of| Arc::new(Field::new(format!("{}[{name}]", args.name), of, true));
        Ok(vec![field("count", DataType::UInt64), field("sum", sum)])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let values = args.expr_fields[0].data_type();
        if !exact(values) {
            return self.floats.accumulator(args);
        }
        let kind = Kind { values: values.clone(), result: args.return_field.data_type().clone() };
        if args.is_distinct {
            return Ok(Box::new(Distinct { kind, values: BTreeSet::new() }));
        }
        Ok(Box::new(One { kind, count: 0, sum: 0 }))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if exact(args.expr_fields[0].data_type()) {
            return self.accumulator(args);
        }
        self.floats.create_sliding_accumulator(args)
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        match exact(args.expr_fields[0].data_type()) {
            true => !args.is_distinct,
            false => self.floats.groups_accumulator_supported(args),
        }
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        let values = args.expr_fields[0].data_type();
        if !exact(values) {
            return self.floats.create_groups_accumulator(args);
        }
        let kind = Kind { values: values.clone(), result: args.return_field.data_type().clone() };
        Ok(Box::new(Groups { kind, counts: Vec::new(), sums: Vec::new() }))
    }
}

/// Types of an average.
#[derive(Debug, Clone)]
struct Kind {
    values: DataType,
    result: DataType,
}

impl Kind {
    /// The values of a column of this kind, by row.
    fn values<'a>(&self, array: &'a ArrayRef) -> Result<Values<'a>> {
        match array.data_type() {
            DataType::Int64 => Ok(Values::Integers(array.as_primitive())),
            DataType::Decimal128(..) => Ok(Values::Decimals(array.as_primitive())),
            other => exec_err!("AVG cannot add up {other} as {}", self.values),
        }
    }

    /// The average as the unscaled number of the result; `None` of no values, or if it does not fit.
    fn average(&self, sum: i128, count: u64) -> Result<Option<i128>> {
        let Some(count) = i128::from(count).checked_abs().filter(|count| *count > 0) else {
            return Ok(None);
        };
        let (DataType::Decimal128(_, scale), DataType::Decimal128(_, to)) =
            (&self.values, &self.result)
        else {
            return Ok(Some(sum / count));
        };
        let factor = 10_i128.pow(u32::from((to - scale).unsigned_abs()));
        let Some(scaled) = sum.checked_mul(factor) else {
            return exec_err!(
                "AVG: a sum of decimals does not fit into DECIMAL(38, {to}); use CAST to give the values fewer digits"
            );
        };
        let (quotient, rest) = (scaled / count, scaled % count);
        let away = rest.abs() * 2 >= count;
        Ok(Some(if away { quotient + scaled.signum() } else { quotient }))
    }

    fn sums(&self, sums: impl Iterator<Item = i128>) -> Result<ArrayRef> {
        Ok(match sum_type(&self.values) {
            DataType::Decimal128(precision, scale) => Arc::new(
                Decimal128Array::from_iter_values(sums)
                    .with_precision_and_scale(precision, scale)?,
            ),
            _ => Arc::new(Int64Array::from_iter_values(sums.map(|sum| sum as i64))),
        })
    }

    fn results(&self, results: impl Iterator<Item = Result<Option<i128>>>) -> Result<ArrayRef> {
        Ok(match self.result {
            DataType::Decimal128(precision, scale) => Arc::new(
                results
                    .collect::<Result<Decimal128Array>>()?
                    .with_precision_and_scale(precision, scale)?,
            ),
            _ => {
                let averages = results.map(|it| it.map(|it| it.map(|average| average as i64)));
                Arc::new(averages.collect::<Result<Int64Array>>()?)
            }
        })
    }
}

enum Values<'a> {
    Integers(&'a Int64Array),
    Decimals(&'a Decimal128Array),
}

impl Values<'_> {
    fn iter(&self) -> Box<dyn Iterator<Item = Option<i128>> + '_> {
        match self {
            Self::Integers(array) => Box::new(array.iter().map(|it| it.map(i128::from))),
            Self::Decimals(array) => Box::new(array.iter()),
        }
    }
}

/// One average.
#[derive(Debug)]
struct One {
    kind: Kind,
    count: u64,
    sum: i128,
}

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in self.kind.values(&values[0])?.iter().flatten() {
            self.sum = self.sum.wrapping_add(value);
            self.count += 1;
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in self.kind.values(&values[0])?.iter().flatten() {
            self.sum = self.sum.wrapping_sub(value);
            self.count -= 1;
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.count += states[0].as_primitive::<UInt64Type>().iter().flatten().sum::<u64>();
        for sum in self.kind.values(&states[1])?.iter().flatten() {
            self.sum = self.sum.wrapping_add(sum);
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let sum = self.kind.sums(std::iter::once(self.sum))?;
        Ok(vec![ScalarValue::UInt64(Some(self.count)), ScalarValue::try_from_array(&sum, 0)?])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let average = self.kind.average(self.sum, self.count);
        ScalarValue::try_from_array(&self.kind.results(std::iter::once(average))?, 0)
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// The average of different values, where a planner did not make them different before.
#[derive(Debug)]
struct Distinct {
    kind: Kind,
    values: BTreeSet<i128>,
}

impl Accumulator for Distinct {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.values.extend(self.kind.values(&values[0])?.iter().flatten());
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for values in states[0].as_list::<i32>().iter().flatten() {
            self.update_batch(&[values])?;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let list: ArrayRef = match sum_type(&self.kind.values) {
            DataType::Decimal128(precision, scale) => {
                let values = Decimal128Builder::new().with_precision_and_scale(precision, scale)?;
                let mut list = ListBuilder::new(values);
                list.append_value(self.values.iter().map(|value| Some(*value)));
                Arc::new(list.finish())
            }
            _ => {
                let mut list = ListBuilder::new(Int64Builder::new());
                list.append_value(self.values.iter().map(|value| Some(*value as i64)));
                Arc::new(list.finish())
            }
        };
        Ok(vec![ScalarValue::try_from_array(&list, 0)?])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let sum = self.values.iter().fold(0_i128, |sum, value| sum.wrapping_add(*value));
        let average = self.kind.average(sum, self.values.len() as u64);
        ScalarValue::try_from_array(&self.kind.results(std::iter::once(average))?, 0)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.len() * 2 * size_of::<i128>()
    }
}

/// An average for each group.
#[derive(Debug)]
struct Groups {
    kind: Kind,
    counts: Vec<u64>,
    sums: Vec<i128>,
}

impl Groups {
    fn add(
        &mut self,
        sums: Values<'_>,
        counts: Option<&UInt64Array>,
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) {
        self.counts.resize(total, 0);
        self.sums.resize(total, 0);
        for (row, (group, sum)) in groups.iter().zip(sums.iter()).enumerate() {
            let counts_here = filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
            if let (Some(sum), true) = (sum, counts_here) {
                self.sums[*group] = self.sums[*group].wrapping_add(sum);
                self.counts[*group] += counts.map_or(1, |counts| counts.value(row));
            }
        }
    }

    fn take(&mut self, emit: EmitTo) -> (Vec<u64>, Vec<i128>) {
        (emit.take_needed(&mut self.counts), emit.take_needed(&mut self.sums))
    }
}

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        let kind = self.kind.clone();
        self.add(kind.values(&values[0])?, None, groups, filter, total);
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        let kind = self.kind.clone();
        let counts = states[0].as_primitive::<UInt64Type>();
        self.add(kind.values(&states[1])?, Some(counts), groups, None, total);
        Ok(())
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let (counts, sums) = self.take(emit);
        let averages = sums.into_iter().zip(counts);
        self.kind.results(averages.map(|(sum, count)| self.kind.average(sum, count)))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        let (counts, sums) = self.take(emit);
        let sums = self.kind.sums(sums.into_iter())?;
        Ok(vec![Arc::new(UInt64Array::from(counts)), sums])
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let kept = |row: usize| filter.is_none_or(|it| it.is_valid(row) && it.value(row));
        let values: Vec<_> = self.kind.values(&values[0])?.iter().collect();
        let counted = values.iter().enumerate().map(|(row, value)| value.is_some() && kept(row));
        let counts = UInt64Array::from_iter_values(counted.map(u64::from));
        let sums = values.iter().enumerate().map(|(row, value)| match value {
            Some(value) if kept(row) => *value,
            _ => 0,
        });
        Ok(vec![Arc::new(counts), self.kind.sums(sums)?])
    }

    fn size(&self) -> usize {
        self.counts.capacity() * size_of::<u64>() + self.sums.capacity() * size_of::<i128>()
    }
}
