//! SUM and AVG where weights are exact: integers and decimals.

use std::marker::PhantomData;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Decimal128Type, Decimal256Type, DurationMillisecondType, Int64Type,
    UInt64Type,
};
use arrow_array::{ArrayRef, ArrowNativeTypeOp, Int64Array, PrimitiveArray, UInt64Array};
use arrow_buffer::{NullBuffer, i256};
use arrow_schema::DataType;
use datafusion::common::Result;

use super::{Accumulator, Generic, Rows, StreamAggregate};

/// SUM or AVG: the state is the sum of value times weight, and the sum of the weights of the values that are not null. Sums that leave the range of
/// their type wrap around, as DataFusion's do; a later row may bring them back.
#[derive(Debug)]
pub struct Sum {
    state: [DataType; 2],
    average: Option<Generic>,
}

impl Sum {
    /// The sum as a number of type `sum`, if such numbers can be added exactly.
    pub fn of(sum: &DataType) -> Option<Self> {
        accumulator_of(sum)?;
        Some(Self { state: [sum.clone(), DataType::Int64], average: None })
    }

    /// The average, if sums are exact; `function` is DataFusion's AVG, which divides and rounds.
    pub fn average(function: Generic) -> Option<Self> {
        let sum = Self::of(function.state_types().get(1)?)?;
        Some(Self { average: Some(function), ..sum })
    }
}

fn accumulator_of(values: &DataType) -> Option<Box<dyn Accumulator>> {
    fn sums<T: ArrowPrimitiveType<Native: Weighted>>(of: &DataType) -> Box<dyn Accumulator> {
        Box::new(Sums::<T> { of: of.clone(), sums: vec![], counts: vec![], _type: PhantomData })
    }
    Some(match values {
        DataType::Int64 => sums::<Int64Type>(values),
        DataType::UInt64 => sums::<UInt64Type>(values),
        DataType::Decimal128(..) => sums::<Decimal128Type>(values),
        DataType::Decimal256(..) => sums::<Decimal256Type>(values),
        DataType::Duration(arrow_schema::TimeUnit::Millisecond) => {
            sums::<DurationMillisecondType>(values)
        }
        _ => return None,
    })
}

impl StreamAggregate for Sum {
    fn state_types(&self) -> &[DataType] {
        &self.state
    }

    fn takes_weights(&self) -> bool {
        true
    }

    fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        accumulator_of(&self.state[0]).ok_or_else(|| {
            datafusion::common::plan_datafusion_err!("SUM of {} is not exact", self.state[0])
        })
    }

    fn evaluate(&self, states: &[ArrayRef]) -> Result<ArrayRef> {
        let counts = states[1].as_primitive::<Int64Type>().values();
        let some = NullBuffer::from_iter(counts.iter().map(|count| *count > 0));
        let sums = states[0].to_data().into_builder().nulls(Some(some)).build()?;
        let sums = arrow_array::make_array(sums);
        let Some(function) = &self.average else { return Ok(sums) };
        let counts =
            counts.iter().map(|count| u64::try_from(*count).ok().filter(|count| *count > 0));
        function.evaluate(&[Arc::new(UInt64Array::from_iter(counts)), sums])
    }
}

/// Numbers that can be multiplied by a weight.
trait Weighted: ArrowNativeTypeOp {
    fn weight(weight: i64) -> Self;
}

impl Weighted for i64 {
    fn weight(weight: i64) -> Self {
        weight
    }
}

impl Weighted for u64 {
    /// Modulo 2^64, as sums are: a negative weight takes back what a positive one has added.
    fn weight(weight: i64) -> Self {
        weight as u64
    }
}

impl Weighted for i128 {
    fn weight(weight: i64) -> Self {
        weight.into()
    }
}

impl Weighted for i256 {
    fn weight(weight: i64) -> Self {
        Self::from_i128(weight.into())
    }
}

struct Sums<T: ArrowPrimitiveType> {
    of: DataType,
    sums: Vec<T::Native>,
    counts: Vec<i64>,
    _type: PhantomData<fn() -> T>,
}

impl<T: ArrowPrimitiveType<Native: Weighted>> Sums<T> {
    fn resize(&mut self, groups: usize) {
        if groups > self.sums.len() {
            self.sums.resize(groups, T::Native::default());
            self.counts.resize(groups, 0);
        }
    }
}

impl<T: ArrowPrimitiveType<Native: Weighted>> Accumulator for Sums<T> {
    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        self.resize(rows.groups);
        let values = rows.args[0].as_primitive::<T>().values();
        let (sums, counts) = (&mut self.sums, &mut self.counts);
        rows.for_each(|row, group, weight| {
            let value = values[row].mul_wrapping(T::Native::weight(weight));
            sums[group] = sums[group].add_wrapping(value);
            counts[group] += weight;
        });
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], group_of: &[usize], groups: usize) -> Result<()> {
        self.resize(groups);
        let sums = states[0].as_primitive::<T>().values();
        let counts = states[1].as_primitive::<Int64Type>().values();
        for ((group, sum), count) in group_of.iter().zip(sums).zip(counts) {
            self.sums[*group] = self.sums[*group].add_wrapping(*sum);
            self.counts[*group] += count;
        }
        Ok(())
    }

    fn finish(&mut self, groups: usize) -> Result<Vec<ArrayRef>> {
        self.resize(groups);
        let sums: PrimitiveArray<T> = PrimitiveArray::from_iter_values(self.sums.drain(..groups));
        let counts = Int64Array::from_iter_values(self.counts.drain(..groups));
        self.sums.clear();
        self.counts.clear();
        Ok(vec![Arc::new(sums.with_data_type(self.of.clone())), Arc::new(counts)])
    }
}
