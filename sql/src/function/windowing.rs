//! The windows that a row belongs to, by its timestamp.
//!
//! Windows are half open, `[start, end)`, in milliseconds, aligned to 1970-01-01 00:00:00 UTC plus an offset, as in Flink; a timestamp before 1970
//! falls into the window that begins before it. Window bounds are TIMESTAMP(3), also for a TIMESTAMP_LTZ(3) time column.
//!
//! The functions here are for the planner: they are not known by name to those who write SQL.

use std::sync::Arc;

use arrow_array::types::TimestampMillisecondType;
use arrow_array::{Array, ArrayRef, ListArray, StructArray, TimestampMillisecondArray};
use arrow_buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field, Fields, TimeUnit};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::ScalarUDF;

use super::argument::TimeArgument;
use super::registry::FunctionContext;
use super::scalar::{Call, Returns, Scalar, int, time};

/// Name of a window's first millisecond.
pub const WINDOW_START: &str = "window_start";
/// Name of the first millisecond behind a window.
pub const WINDOW_END: &str = "window_end";

/// Type of window bounds: TIMESTAMP(3).
pub fn bound_type() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, None)
}

/// Type of several windows: `ARRAY<ROW<window_start TIMESTAMP(3), window_end TIMESTAMP(3)>>`.
pub fn windows_type() -> DataType {
    DataType::List(Arc::new(Field::new("item", DataType::Struct(window_fields()), false)))
}

fn window_fields() -> Fields {
    Fields::from(vec![
        Field::new(WINDOW_START, bound_type(), false),
        Field::new(WINDOW_END, bound_type(), false),
    ])
}

/// Start of the window of `size` that holds `ts`, where windows start at multiples of `size` plus `offset`.
///
/// `None` if it lies before the first millisecond that can be told.
///
/// ```
/// use riverrun_sql::function::windowing::window_start;
/// assert_eq!(window_start(12, 10, 0), Some(10));
/// assert_eq!(window_start(-1, 10, 0), Some(-10));
/// assert_eq!(window_start(12, 10, 3), Some(3));
/// ```
#[inline]
pub fn window_start(ts: i64, size: i64, offset: i64) -> Option<i64> {
    // Each remainder alone, because `ts - offset` may not fit.
    let into = (i128::from(ts) - i128::from(offset)).rem_euclid(i128::from(size));
    ts.checked_sub(into as i64)
}

/// `tumble_start(ts, size, offset)`: start of the tumbling window of a timestamp; NULL for NULL.
pub fn tumble_start() -> Arc<ScalarUDF> {
    declared(Scalar::new(
        "tumble_start",
        [time("time"), int("size"), int("offset")],
        Returns::TIMESTAMP,
        |call| {
            let size = positive(call, 1, "size")?;
            let offset = whole(call, 2)?;
            let times = call.time(0)?;
            let mut out = TimestampMillisecondArray::builder(call.rows);
            match times {
                TimeArgument::Column(times) => {
                    let starts: TimestampMillisecondArray = times
                        .try_unary::<_, TimestampMillisecondType, DataFusionError>(|ts| {
                            start_of(ts, size, offset)
                        })?;
                    return Ok(Arc::new(starts));
                }
                TimeArgument::Constant(ts) => {
                    let start = ts.map(|ts| start_of(ts, size, offset)).transpose()?;
                    for _ in 0..call.rows {
                        out.append_option(start);
                    }
                }
            }
            Ok(Arc::new(out.finish()))
        },
    ))
}

/// `hop_windows(ts, slide, size, offset)`: the hopping windows of a timestamp, the earliest first; empty for NULL, and where `slide` is
/// greater than `size`, for timestamps between two windows.
pub fn hop_windows() -> Arc<ScalarUDF> {
    declared(Scalar::new(
        "hop_windows",
        [time("time"), int("slide"), int("size"), int("offset")],
        Returns::Of(|_| Ok(windows_type())),
        |call| {
            let slide = positive(call, 1, "slide")?;
            let size = positive(call, 2, "size")?;
            let offset = whole(call, 3)?;
            bounded_count(call, size, slide)?;
            windows(call, |ts, bounds| {
                let last = start_of(ts, slide, offset)?;
                // The earliest start that is still greater than `ts - size`.
                let into = ts - last;
                let earlier = if into >= size { return Ok(()) } else { (size - into - 1) / slide };
                for step in (0..=earlier).rev() {
                    let start = step
                        .checked_mul(slide)
                        .and_then(|back| last.checked_sub(back))
                        .ok_or_else(|| out_of_range(ts))?;
                    bounds.push(ts, start, size)?;
                }
                Ok(())
            })
        },
    ))
}

/// `cumulate_windows(ts, step, size, offset)`: the windows that start together at multiples of `size` and grow by `step`, the
/// smallest that holds the timestamp first; empty for NULL.
pub fn cumulate_windows() -> Arc<ScalarUDF> {
    declared(Scalar::new(
        "cumulate_windows",
        [time("time"), int("step"), int("size"), int("offset")],
        Returns::Of(|_| Ok(windows_type())),
        |call| {
            let step = positive(call, 1, "step")?;
            let size = positive(call, 2, "size")?;
            let offset = whole(call, 3)?;
            if size % step != 0 {
                return Err(
                    call.wrong(2, format!("is {size} ms, not a multiple of step {step} ms"))
                );
            }
            bounded_count(call, size, step)?;
            windows(call, |ts, bounds| {
                let start = start_of(ts, size, offset)?;
                let mut length = (ts - start) / step * step + step;
                while length <= size {
                    bounds.push(ts, start, length)?;
                    length += step;
                }
                Ok(())
            })
        },
    ))
}

/// Windows per timestamp that a definition may have, so that a slip such as a slide of 1 ms cannot fill the memory.
const MAX_WINDOWS: i64 = 100_000;

fn bounded_count(call: &Call<'_>, size: i64, step: i64) -> Result<()> {
    let count = size / step;
    if count > MAX_WINDOWS {
        return Err(call.wrong(
            1,
            format!(
                "makes {count} windows of each timestamp, more than {MAX_WINDOWS}; make it larger"
            ),
        ));
    }
    Ok(())
}

fn declared(scalar: Scalar) -> Arc<ScalarUDF> {
    scalar.build(&[], FunctionContext::still())
}

fn start_of(ts: i64, size: i64, offset: i64) -> Result<i64> {
    window_start(ts, size, offset).ok_or_else(|| out_of_range(ts))
}

fn out_of_range(ts: i64) -> DataFusionError {
    DataFusionError::Execution(format!(
        "the window of timestamp {ts} (milliseconds since 1970) has a bound that cannot be told in 64 bits"
    ))
}

fn whole(call: &Call<'_>, index: usize) -> Result<i64> {
    match call.constant(index) {
        Some(ScalarValue::Int64(Some(value))) => Ok(*value),
        _ => Err(call.wrong(index, "must be a constant number of milliseconds")),
    }
}

fn positive(call: &Call<'_>, index: usize, name: &str) -> Result<i64> {
    match whole(call, index)? {
        value if value > 0 => Ok(value),
        value => Err(call.wrong(index, format!("is {value} ms; a window's {name} is positive"))),
    }
}

/// Bounds of windows as they are found.
struct Bounds {
    starts: Vec<i64>,
    ends: Vec<i64>,
}

impl Bounds {
    #[inline]
    fn push(&mut self, ts: i64, start: i64, length: i64) -> Result<()> {
        self.starts.push(start);
        self.ends.push(start.checked_add(length).ok_or_else(|| out_of_range(ts))?);
        Ok(())
    }
}

/// For each row the windows that `of` finds for its timestamp.
fn windows(call: &Call<'_>, of: impl Fn(i64, &mut Bounds) -> Result<()>) -> Result<ArrayRef> {
    let times = call.time(0)?;
    let mut bounds = Bounds { starts: Vec::with_capacity(call.rows), ends: Vec::new() };
    let mut offsets = Vec::with_capacity(call.rows + 1);
    offsets.push(0);
    for row in 0..call.rows {
        if let Some(ts) = times.get(row) {
            of(ts, &mut bounds)?;
        }
        let end = i32::try_from(bounds.starts.len()).map_err(|_| {
            call.wrong(0, "belongs to more windows in one batch than can be counted in 31 bits")
        })?;
        offsets.push(end);
    }
    let bound = |values: Vec<i64>| -> ArrayRef {
        Arc::new(TimestampMillisecondArray::new(ScalarBuffer::from(values), None))
    };
    let rows = StructArray::try_new(
        window_fields(),
        vec![bound(bounds.starts), bound(bounds.ends)],
        None::<NullBuffer>,
    )?;
    let item = Arc::new(Field::new("item", rows.data_type().clone(), false));
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    Ok(Arc::new(ListArray::try_new(item, offsets, Arc::new(rows), None)?))
}

#[cfg(test)]
mod tests;
