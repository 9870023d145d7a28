//! SUM and AVG of floating point numbers under retraction.
//!
//! Floating point sums depend on the order of the values, and taking a value back leaves a rest. A rest would be wrong, and it would keep state of a group
//! alive that is empty. So sums are kept exactly, as a list of numbers of falling magnitude that do not overlap (an expansion, in Shewchuk's sense):
//! adding the negative of a value is the exact inverse of adding it. Most sums need one to three numbers.
//!
//! Numbers so large that a sum of them could be infinite on the way are added up apart from the others, as a fraction of what they are: what is infinite
//! could not be taken back.

use std::sync::Arc;

use arrow_array::builder::BinaryBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, Float64Array, Int64Array};
use arrow_schema::DataType;
use datafusion::common::Result;

use super::{Accumulator, Rows, StreamAggregate};

/// SUM or AVG of `Float64`. The state is the exact sum of the finite values, the sum of the weights of all values, and those of NaN, infinity and
/// negative infinity, which cannot be taken back out of a sum.
#[derive(Debug)]
pub struct ExactSum {
    average: bool,
}

impl ExactSum {
    /// The sum.
    pub const SUM: Self = Self { average: false };
    /// The average.
    pub const AVG: Self = Self { average: true };
}

const STATE: &[DataType] =
    &[DataType::Binary, DataType::Int64, DataType::Int64, DataType::Int64, DataType::Int64];

impl StreamAggregate for ExactSum {
    fn state_types(&self) -> &[DataType] {
        STATE
    }

    fn takes_weights(&self) -> bool {
        true
    }

    fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Sums::default()))
    }

    fn evaluate(&self, states: &[ArrayRef]) -> Result<ArrayRef> {
        let sums = Exact::column(&states[0]);
        let [counts, nans, infinite, negative] =
            [1, 2, 3, 4].map(|at| states[at].as_primitive::<Int64Type>().values());
        let results = sums.enumerate().map(|(row, sum)| {
            let count = counts[row];
            let sum = match (nans[row] > 0, infinite[row] > 0, negative[row] > 0) {
                (false, false, false) => sum.rounded(),
                (false, true, false) => f64::INFINITY,
                (false, false, true) => f64::NEG_INFINITY,
                _ => f64::NAN,
            };
            (count > 0).then(|| if self.average { sum / count as f64 } else { sum })
        });
        Ok(Arc::new(Float64Array::from_iter(results)))
    }
}

/// A sum without rounding: numbers of rising magnitude that do not overlap, none of them 0.
#[derive(Debug, Clone, Default, PartialEq)]
struct Expansion(Vec<f64>);

/// 2^960. No sum of smaller numbers leaves the range of a number, however many there are.
const HUGE: f64 = f64::from_bits((1023 + 960) << 52);
/// 2^100: by so much numbers from [`HUGE`] on are made smaller. They lose no digit by it.
const SCALE: f64 = f64::from_bits((1023 + 100) << 52);

/// A sum without rounding and without overflow. As bytes: the numbers of the sum of the smaller numbers, and, if there are such, a NaN and those of
/// the sum of the others.
#[derive(Debug, Clone, Default, PartialEq)]
struct Exact {
    small: Expansion,
    /// Of numbers from [`HUGE`] on, each divided by [`SCALE`].
    huge: Expansion,
}

impl Exact {
    fn column(state: &ArrayRef) -> impl Iterator<Item = Self> + '_ {
        let bytes = state.as_binary::<i32>();
        (0..bytes.len()).map(|row| {
            let (numbers, _) = bytes.value(row).as_chunks::<8>();
            let numbers = numbers.iter().map(|number| f64::from_le_bytes(*number));
            let mut small: Vec<f64> = numbers.collect();
            let huge = match small.iter().position(|number| number.is_nan()) {
                Some(at) => small.split_off(at).split_off(1),
                None => Vec::new(),
            };
            Self { small: Expansion(small), huge: Expansion(huge) }
        })
    }

    fn encode(&self, bytes: &mut Vec<u8>) {
        let separator = (!self.huge.0.is_empty()).then_some(f64::NAN);
        let numbers = self.small.0.iter().chain(&separator).chain(&self.huge.0);
        numbers.for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
    }

    /// Adds a finite number so many times.
    fn add_weighted(&mut self, number: f64, weight: i64) {
        match number.abs() < HUGE {
            true => self.small.add_weighted(number, weight),
            false => self.huge.add_weighted(number / SCALE, weight),
        }
    }

    fn merge(&mut self, other: Self) {
        other.small.0.into_iter().for_each(|part| self.small.add(part));
        other.huge.0.into_iter().for_each(|part| self.huge.add(part));
    }

    /// The number nearest to the sum; infinite only if the sum itself is out of range.
    fn rounded(&self) -> f64 {
        if self.huge.0.is_empty() {
            return self.small.rounded();
        }
        let mut sum = self.huge.clone();
        self.small.0.iter().for_each(|part| sum.add(part / SCALE));
        sum.rounded() * SCALE
    }
}

impl Expansion {
    /// Adds a finite number.
    fn add(&mut self, mut number: f64) {
        let mut kept = 0;
        for at in 0..self.0.len() {
            let part = self.0[at];
            let (sum, rest) = two_sum(number, part);
            if rest != 0.0 {
                self.0[kept] = rest;
                kept += 1;
            }
            number = sum;
        }
        self.0.truncate(kept);
        if number != 0.0 {
            self.0.push(number);
        }
    }

    /// Adds a number so many times; `number * weight` is added as two numbers where it has more digits than one can hold.
    fn add_weighted(&mut self, number: f64, weight: i64) {
        match weight {
            1 => self.add(number),
            -1 => self.add(-number),
            _ => {
                let weight = weight as f64;
                let product = number * weight;
                self.add(product);
                let rest = number.mul_add(weight, -product);
                if rest != 0.0 {
                    self.add(rest);
                }
            }
        }
    }

    /// The number nearest to the sum.
    fn rounded(&self) -> f64 {
        let mut parts = self.0.iter().rev();
        let Some(mut high) = parts.next().copied() else { return 0.0 };
        let mut low = 0.0;
        for part in parts.by_ref() {
            let (sum, rest) = two_sum(high, *part);
            high = sum;
            if rest != 0.0 {
                low = rest;
                break;
            }
        }
        // Half way between two numbers, what is below decides.
        if let Some(next) = parts.next()
            && (low < 0.0) == (*next < 0.0)
        {
            let double = low * 2.0;
            let up = high + double;
            if double == up - high {
                return up;
            }
        }
        high
    }
}

/// The sum of two numbers, and what rounding has cut off it.
fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let of_b = sum - a;
    (sum, (a - (sum - of_b)) + (b - of_b))
}

#[derive(Default)]
struct Sums {
    sums: Vec<Exact>,
    counts: Vec<[i64; 4]>,
}

impl Sums {
    fn resize(&mut self, groups: usize) {
        if groups > self.sums.len() {
            self.sums.resize(groups, Exact::default());
            self.counts.resize(groups, [0; 4]);
        }
    }
}

impl Accumulator for Sums {
    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        self.resize(rows.groups);
        let values = rows.args[0].as_primitive::<Float64Type>().values();
        let (sums, counts) = (&mut self.sums, &mut self.counts);
        rows.for_each(|row, group, weight| {
            let value = values[row];
            counts[group][0] += weight;
            if value.is_finite() {
                sums[group].add_weighted(value, weight);
            } else {
                let which = if value.is_nan() { 1 } else { 2 + usize::from(value < 0.0) };
                counts[group][which] += weight;
            }
        });
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], group_of: &[usize], groups: usize) -> Result<()> {
        self.resize(groups);
        for (group, sum) in group_of.iter().zip(Exact::column(&states[0])) {
            self.sums[*group].merge(sum);
        }
        for (which, state) in states[1..].iter().enumerate() {
            for (group, count) in group_of.iter().zip(state.as_primitive::<Int64Type>().values()) {
                self.counts[*group][which] += count;
            }
        }
        Ok(())
    }

    fn finish(&mut self, groups: usize) -> Result<Vec<ArrayRef>> {
        self.resize(groups);
        let mut sums = BinaryBuilder::with_capacity(groups, 16 * groups);
        let mut bytes = Vec::new();
        for sum in &self.sums[..groups] {
            bytes.clear();
            sum.encode(&mut bytes);
            sums.append_value(&bytes);
        }
        let mut states: Vec<ArrayRef> = vec![Arc::new(sums.finish())];
        for which in 0..4 {
            let counts = self.counts[..groups].iter().map(|counts| counts[which]);
            states.push(Arc::new(Int64Array::from_iter_values(counts)));
        }
        self.sums.clear();
        self.counts.clear();
        Ok(states)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The state and the sum of some values with their weights, in batches.
    fn sum(values: &[(f64, i64)], batch: usize) -> (Vec<ArrayRef>, Option<f64>) {
        let mut merged = Sums::default();
        for part in values.chunks(batch) {
            let mut sums = Sums::default();
            let args: Vec<ArrayRef> =
                vec![Arc::new(Float64Array::from_iter_values(part.iter().map(|of| of.0)))];
            let weights = Int64Array::from_iter_values(part.iter().map(|of| of.1));
            let group_of = vec![0; part.len()];
            let rows = Rows {
                args: &args,
                filter: None,
                weights: Some(&weights),
                group_of: &group_of,
                groups: 1,
            };
            sums.update(rows).unwrap();
            merged.merge(&sums.finish(1).unwrap(), &[0], 1).unwrap();
        }
        let state = merged.finish(1).unwrap();
        let result = ExactSum::SUM.evaluate(&state).unwrap();
        let result = result.as_primitive::<Float64Type>();
        (state, result.iter().next().flatten())
    }

    proptest! {
        /// What was taken back leaves nothing behind, in whatever order it comes, and however large it was.
        #[test]
        fn what_is_taken_back_was_never_there(
            (kept, all) in (
                proptest::collection::vec((any::<f64>(), 1i64..4), 0..8),
                proptest::collection::vec((any::<f64>(), 1i64..4), 0..8),
            ).prop_flat_map(|(kept, passing)| {
                let back = passing.iter().map(|(value, weight)| (*value, -weight));
                let all = [kept.clone(), passing.clone(), back.collect()].concat();
                (Just(kept), Just(all).prop_shuffle())
            }),
            batch in 1usize..9,
        ) {
            let (state, result) = sum(&kept, batch);
            let (state_of_all, of_all) = sum(&all, batch);
            prop_assert_eq!(result.map(f64::to_bits), of_all.map(f64::to_bits));
            prop_assert_eq!(&state[1..], &state_of_all[1..]);
            prop_assert_eq!(kept.is_empty(), state_of_all[0].as_binary::<i32>().value(0).is_empty() && of_all.is_none());
        }
    }

    #[test]
    fn a_sum_that_was_out_of_range_comes_back() {
        let most = f64::MAX;
        assert_eq!(sum(&[(most, 1), (most, 1)], 2).1, Some(f64::INFINITY));
        assert_eq!(sum(&[(most, 2), (2.5, 1), (most, -1)], 1).1, Some(most));
        assert_eq!(sum(&[(most, 1), (2.5, 1), (most, 1), (most, -2)], 3).1, Some(2.5));
    }
}
