//! The present time and random values: what differs from call to call.
//!
//! The time is asked once a batch, of the clock of the [`FunctionContext`]; random values are drawn from generators seeded by it.

use std::fmt::Write;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, Date32Array, Float64Array, Int32Array, Time32MillisecondArray,
    TimestampMillisecondArray,
};
use arrow_schema::{DataType, TimeUnit};
use datafusion::common::Result;
use datafusion::logical_expr::ScalarUDF;

use super::registry::FunctionContext;
use super::scalar::{Call, Returns, Scalar, int};
use super::text::written;
use super::time::ltz;
use super::time_format::DAY;

/// Java's generator of random numbers, so that a seed gives here what it gives in Flink.
#[derive(Debug, Clone)]
pub(super) struct JavaRandom(u64);

impl JavaRandom {
    const MULTIPLIER: u64 = 0x5_DEEC_E66D;
    const MASK: u64 = (1 << 48) - 1;

    pub(super) fn new(seed: i64) -> Self {
        Self((seed as u64 ^ Self::MULTIPLIER) & Self::MASK)
    }

    fn next(&mut self, bits: u32) -> i32 {
        self.0 = self.0.wrapping_mul(Self::MULTIPLIER).wrapping_add(0xB) & Self::MASK;
        (self.0 >> (48 - bits)) as i32
    }

    /// At least 0, less than 1.
    pub(super) fn double(&mut self) -> f64 {
        let high = i64::from(self.next(26)) << 27;
        (high + i64::from(self.next(27))) as f64 / (1_u64 << 53) as f64
    }

    /// At least 0, less than `bound`, which is positive.
    pub(super) fn below(&mut self, bound: i32) -> i32 {
        if bound & bound.wrapping_neg() == bound {
            return ((i64::from(bound) * i64::from(self.next(31))) >> 31) as i32;
        }
        loop {
            let bits = self.next(31);
            let value = bits % bound;
            // The last, incomplete run of values would make small ones more frequent.
            if bits.checked_sub(value).and_then(|it| it.checked_add(bound - 1)).is_some() {
                return value;
            }
        }
    }

    fn long(&mut self) -> u64 {
        let high = i64::from(self.next(32)) << 32;
        high.wrapping_add(i64::from(self.next(32))) as u64
    }
}

/// One value for the whole batch.
fn once(array: impl arrow_array::Array + 'static) -> Result<ArrayRef> {
    Ok(Arc::new(array))
}

fn instant(call: &Call<'_>) -> Result<ArrayRef> {
    once(TimestampMillisecondArray::from(vec![call.context.now()]).with_timezone("UTC"))
}

fn local_timestamp(call: &Call<'_>) -> Result<ArrayRef> {
    once(TimestampMillisecondArray::from(vec![call.context.now()]))
}

fn current_date(call: &Call<'_>) -> Result<ArrayRef> {
    once(Date32Array::from(vec![i32::try_from(call.context.now().div_euclid(DAY)).ok()]))
}

fn current_time(call: &Call<'_>) -> Result<ArrayRef> {
    // In whole seconds: its type is TIME(0).
    let of_day = call.context.now().rem_euclid(DAY) / 1000 * 1000;
    once(Time32MillisecondArray::from(vec![i32::try_from(of_day).ok()]))
}

/// Draws with the generator of a seed, or with that of no seed.
fn drawn<T>(call: &Call<'_>, seed: Option<i64>, draw: impl FnOnce(&mut JavaRandom) -> T) -> T {
    call.context.draw(seed, draw)
}

fn seed(call: &Call<'_>, index: usize) -> Result<Option<i64>> {
    match call.int(index)? {
        super::argument::IntArgument::Constant(seed) => Ok(Some(seed.unwrap_or(0))),
        _ => Err(call.wrong(index, "must be a constant")),
    }
}

fn rand(call: &Call<'_>) -> Result<ArrayRef> {
    let seed = if call.len() > 0 { seed(call, 0)? } else { None };
    let values = drawn(call, seed, |random| {
        Float64Array::from_iter_values((0..call.rows).map(|_| random.double()))
    });
    Ok(Arc::new(values))
}

fn rand_integer(call: &Call<'_>) -> Result<ArrayRef> {
    let last = call.len() - 1;
    let seed = if last > 0 { seed(call, 0)? } else { None };
    let bounds = call.int(last)?;
    drawn(call, seed, |random| {
        let values = (0..call.rows).map(|row| match bounds.get(row) {
            None => Ok(None),
            Some(bound) => match i32::try_from(bound) {
                Ok(bound) if bound > 0 => Ok(Some(random.below(bound))),
                _ => Err(call.wrong(last, format!("is {bound}; it is a positive INT"))),
            },
        });
        Ok(Arc::new(values.collect::<Result<Int32Array>>()?) as ArrayRef)
    })
}

fn uuid(call: &Call<'_>) -> Result<ArrayRef> {
    drawn(call, None, |random| {
        written(call, |_, out| {
            // Version 4, variant 1.
            let high = (random.long() & !0xF000) | 0x4000;
            let low = (random.long() & !(0b11 << 62)) | (0b10 << 62);
            write!(
                out,
                "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
                high >> 32,
                (high >> 16) & 0xFFFF,
                high & 0xFFFF,
                low >> 48,
                low & 0xFFFF_FFFF_FFFF
            )?;
            Ok(true)
        })
    })
}

/// The functions of this file.
pub(super) fn functions(context: &Arc<FunctionContext>) -> Vec<Arc<ScalarUDF>> {
    let time = DataType::Time32(TimeUnit::Millisecond);
    let volatile = |name, aliases: &[&str], returns, evaluate| {
        Scalar::new(name, [], returns, evaluate).volatile().build(aliases, context)
    };
    let instants: &[&str] = &["now", "current_row_timestamp"];
    vec![
        volatile("current_timestamp", instants, Returns::Is(ltz()), instant),
        // By its own name: a column of it is processing time, by which tables are looked up.
        volatile("proctime", &[], Returns::Is(ltz()), instant),
        volatile("localtimestamp", &[], Returns::TIMESTAMP, local_timestamp),
        volatile("current_date", &["today"], Returns::DATE, current_date),
        volatile("current_time", &["localtime"], Returns::Is(time), current_time),
        volatile("uuid", &["gen_random_uuid"], Returns::TEXT, uuid),
        Scalar::new("rand", [int("seed")], Returns::DOUBLE, rand)
            .optional(1)
            .volatile()
            .build(&["random"], context),
        Scalar::new(
            "rand_integer",
            [int("seed or bound"), int("bound")],
            Returns::INT,
            rand_integer,
        )
        .optional(1)
        .volatile()
        .build(&[], context),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_give_what_they_give_in_java() {
        assert_eq!(JavaRandom::new(1).double(), 0.730_878_190_703_290_9);
        let mut five = JavaRandom::new(5);
        let doubles = [five.double(), five.double(), five.double()];
        assert_eq!(
            doubles,
            [0.730_519_863_614_471, 0.088_258_409_676_225_89, 0.488_904_549_851_635_8]
        );
        let mut five = JavaRandom::new(5);
        assert_eq!([five.below(100), five.below(100), five.below(100)], [87, 92, 74]);
    }
}
