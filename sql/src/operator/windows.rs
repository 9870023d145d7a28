//! The windows that a row belongs to.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, Int64Array, RecordBatch, TimestampMillisecondArray, UInt32Array,
};
use arrow_schema::{DataType, SchemaRef, TimeUnit};
use arrow_select::take::{take, take_record_batch};
use datafusion::physical_expr::PhysicalExpr;
use riverrun_dataflow::{Batch, Error, Operator, OperatorContext, Output, Result, Timestamp};

use super::aggregate::out_of_range;
use super::calc::evaluate_times;
use crate::Changes;
use crate::function::windowing::window_start;
use crate::plan::WindowKind;

/// What a [`WindowAssigner`] does.
#[derive(Debug, Clone)]
pub struct WindowAssignerSpec {
    /// Which windows; not sessions, which no row knows alone.
    pub kind: WindowKind,
    /// The time by which rows fall into windows.
    pub time: Arc<dyn PhysicalExpr>,
    /// The rows' columns, then `window_start`, `window_end` and `window_time`.
    pub output: SchemaRef,
}

/// Puts out every row once for each of its windows, the one that ends first coming first. A row whose time is NULL has none.
pub struct WindowAssigner {
    spec: WindowAssignerSpec,
    operator: String,
}

impl WindowAssigner {
    /// The operator of this spec.
    pub fn new(spec: WindowAssignerSpec) -> Self {
        Self { spec, operator: "windows".to_owned() }
    }
}

/// Calls `each` with the start and the end of each window of a time; `None` if one has no end, or no start.
#[inline]
fn windows_of(
    kind: WindowKind,
    time: Timestamp,
    mut each: impl FnMut(Timestamp, Timestamp),
) -> Option<()> {
    match kind {
        WindowKind::Tumble { size, offset } => {
            let start = window_start(time, size, offset)?;
            each(start, start.checked_add(size)?);
        }
        WindowKind::Hop { slide, size, offset } => {
            let last = window_start(time, slide, offset)?;
            // The earliest window that still holds the time begins behind `time - size`.
            let before = (size - 1 - (time - last)).div_euclid(slide);
            for back in (0..=before).rev() {
                let start = last.checked_sub(back.checked_mul(slide)?)?;
                each(start, start.checked_add(size)?);
            }
        }
        WindowKind::Cumulate { step, size, offset } => {
            let start = window_start(time, size, offset)?;
            start.checked_add(size)?;
            for number in (time - start) / step + 1..=size / step {
                each(start, start + number * step);
            }
        }
        WindowKind::Session { .. } => {}
    }
    Some(())
}

impl Operator for WindowAssigner {
    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.operator.clone_from(&context.operator);
        Ok(())
    }

    fn process(&mut self, _input: usize, batch: Batch, out: &mut dyn Output) -> Result<()> {
        let split = batch.split;
        let changes = Changes::of(batch, &self.operator)?;
        let times = evaluate_times(&self.operator, "a time", &self.spec.time, &changes.rows)?;
        let (mut rows, mut starts, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        for (row, time) in times.iter().enumerate() {
            let Some(time) = time else { continue };
            windows_of(self.spec.kind, time, |start, end| {
                // A batch has far fewer rows than a u32 can count.
                rows.push(row as u32);
                starts.push(start);
                ends.push(end);
            })
            .ok_or_else(|| out_of_range(&self.operator))?;
        }
        if rows.is_empty() {
            return Ok(());
        }
        // Tumbling windows of rows that all have a time leave the rows as they are.
        let as_they_are = rows.len() == changes.len()
            && rows.iter().enumerate().all(|(at, row)| *row as usize == at);
        let (own, weights) = if as_they_are {
            (changes.rows, changes.weights)
        } else {
            let rows = UInt32Array::from(rows);
            let failed = |error| Error::io(&self.operator, error);
            let weights = match &changes.weights {
                None => None,
                Some(weights) => {
                    let taken = take(weights, &rows, None).map_err(failed)?;
                    taken.as_any().downcast_ref::<Int64Array>().cloned()
                }
            };
            (take_record_batch(&changes.rows, &rows).map_err(failed)?, weights)
        };
        let mut columns = own.columns().to_vec();
        let times: Vec<Timestamp> = ends.iter().map(|end| end - 1).collect();
        for values in [starts, ends, times] {
            let data_type = self.spec.output.field(columns.len()).data_type();
            columns.push(timestamps(values, data_type));
        }
        let rows = RecordBatch::try_new(self.spec.output.clone(), columns)
            .map_err(|error| Error::io(&self.operator, error))?;
        out.emit(Changes { rows, weights }.into_batch(&self.operator, split)?)
    }
}

/// Milliseconds as a column of a timestamp type.
pub(super) fn timestamps(values: Vec<Timestamp>, data_type: &DataType) -> ArrayRef {
    let zone = match data_type {
        DataType::Timestamp(TimeUnit::Millisecond, zone) => zone.clone(),
        _ => None,
    };
    Arc::new(TimestampMillisecondArray::from(values).with_timezone_opt(zone))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(kind: WindowKind, time: Timestamp) -> Vec<(Timestamp, Timestamp)> {
        let mut windows = Vec::new();
        windows_of(kind, time, |start, end| windows.push((start, end))).unwrap();
        windows
    }

    #[test]
    fn times_at_the_end_of_all_time_have_no_windows() {
        let (size, offset) = (10, 0);
        for kind in [
            WindowKind::Tumble { size, offset },
            WindowKind::Hop { slide: 5, size, offset },
            WindowKind::Cumulate { step: 5, size, offset },
        ] {
            for time in [i64::MIN, i64::MAX] {
                assert_eq!(windows_of(kind, time, |_, _| {}), None, "{kind} of {time}");
            }
        }
    }

    proptest! {
        /// The windows of a time are just those of the grid that hold it.
        #[test]
        fn windows_are_those_that_hold_the_time(
            time in -200i64..200, a in 1i64..20, n in 1i64..6, offset in -30i64..30, uneven in 0i64..7,
        ) {
            let on_grid = |size: i64| (-60..60).map(move |i| i * size + offset);
            let holds = |start: i64, end: i64| start <= time && time < end;
            let hop = WindowKind::Hop { slide: a, size: a * n + uneven, offset };
            let expected: Vec<_> = on_grid(a)
                .map(|start| (start, start + a * n + uneven))
                .filter(|(start, end)| holds(*start, *end))
                .collect();
            // The grid must reach far enough to be a fair model.
            prop_assume!(a * 59 - 30 > 200 + a * n + uneven);
            prop_assert_eq!(all(hop, time), expected);
            let tumble = WindowKind::Tumble { size: a, offset };
            let expected: Vec<_> = on_grid(a)
                .map(|start| (start, start + a))
                .filter(|(start, end)| holds(*start, *end))
                .collect();
            prop_assert_eq!(all(tumble, time), expected);
            let cumulate = WindowKind::Cumulate { step: a, size: a * n, offset };
            let expected: Vec<_> = on_grid(a * n)
                .flat_map(|start| (1..=n).map(move |i| (start, start + i * a)))
                .filter(|(start, end)| holds(*start, *end))
                .collect();
            prop_assert_eq!(all(cumulate, time), expected);
        }
    }
}
