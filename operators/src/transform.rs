//! Transforms without state: `map`, `filter`, `flat_map` and their kin.
//!
//! Each is one loop over a batch, compiled together with the closure: the engine calls an operator once
//! per batch, never once per row. Rows are handed over by value, so nothing is cloned; a row keeps the
//! event timestamp that it had, and a batch the source split that it came from.

mod collector;
mod rows;

use riverrun_dataflow::{Batch, DataStream, Error, OperatorKind, OperatorSpec, Record, Rows};

pub use collector::Collector;

use rows::RowTransform;

/// What can be done to any stream of rows. Every method adds one operator.
///
/// ```
/// use riverrun_operators::prelude::*;
/// # fn job(lines: DataStream<String>) {
/// let words = lines.flat_map(|line: String, out| {
///     for word in line.split_whitespace() {
///         out.collect(word.to_lowercase());
///     }
/// });
/// let lengths = words.filter(|word| !word.is_empty()).map(|word| word.len() as u64);
/// # }
/// ```
pub trait Transforms<T: Record> {
    /// Makes one row of each.
    ///
    /// ```
    /// # use riverrun_operators::prelude::*;
    /// # fn job(numbers: DataStream<u32>) {
    /// let doubled: DataStream<u64> = numbers.map(|n| u64::from(n) * 2);
    /// # }
    /// ```
    fn map<U: Record>(&self, f: impl Fn(T) -> U + Clone + Send + Sync + 'static) -> DataStream<U>;

    /// Makes one row of each; the first error fails the job, named by operator. For input that may be bad, use
    /// [`Transforms::try_map_or_reject`] instead: a row that fails every time stops the job for good.
    ///
    /// ```
    /// # use riverrun_operators::prelude::*;
    /// # fn job(lines: DataStream<String>) {
    /// let numbers: DataStream<u64> = lines.try_map(|line| line.parse::<u64>());
    /// # }
    /// ```
    fn try_map<U: Record, E: std::fmt::Display>(
        &self,
        f: impl Fn(T) -> Result<U, E> + Clone + Send + Sync + 'static,
    ) -> DataStream<U>;

    /// Makes one row of each; a row that fails goes to the side output `tag`, as whatever `f` makes of it in
    /// its error, and is counted as rejected.
    ///
    /// ```
    /// # use riverrun_operators::prelude::*;
    /// # fn job(lines: DataStream<String>) {
    /// let numbers: DataStream<u64> =
    ///     lines.try_map_or_reject("rejected", |line| line.parse::<u64>().map_err(|_| line));
    /// let rejected: DataStream<String> = numbers.side_output("rejected");
    /// # }
    /// ```
    fn try_map_or_reject<U: Record, R: Record>(
        &self,
        tag: &str,
        f: impl Fn(T) -> Result<U, R> + Clone + Send + Sync + 'static,
    ) -> DataStream<U>;

    /// Keeps the rows for which `keep` is true.
    ///
    /// ```
    /// # use riverrun_operators::prelude::*;
    /// # fn job(numbers: DataStream<u32>) {
    /// let even = numbers.filter(|n| n % 2 == 0);
    /// # }
    /// ```
    fn filter(&self, keep: impl Fn(&T) -> bool + Clone + Send + Sync + 'static) -> DataStream<T>;

    /// Makes one row or none of each.
    ///
    /// ```
    /// # use riverrun_operators::prelude::*;
    /// # fn job(lines: DataStream<String>) {
    /// let first: DataStream<char> = lines.filter_map(|line| line.chars().next());
    /// # }
    /// ```
    fn filter_map<U: Record>(
        &self,
        f: impl Fn(T) -> Option<U> + Clone + Send + Sync + 'static,
    ) -> DataStream<U>;

    /// Makes any number of rows of each, through a [`Collector`]. They get the timestamp of the row they
    /// were made of, unless [`Collector::collect_at`] gives them another.
    ///
    /// ```
    /// # use riverrun_operators::prelude::*;
    /// # fn job(lines: DataStream<String>) {
    /// let chars: DataStream<char> = lines.flat_map(|line: String, out| out.extend(line.chars()));
    /// # }
    /// ```
    fn flat_map<U: Record>(
        &self,
        f: impl Fn(T, &mut Collector<U>) + Clone + Send + Sync + 'static,
    ) -> DataStream<U>;

    /// Looks at each row as it passes: for debugging, and for counters of one's own.
    ///
    /// ```
    /// # use riverrun_operators::prelude::*;
    /// # fn job(numbers: DataStream<u32>) {
    /// let same = numbers.inspect(|n| println!("{n}"));
    /// # }
    /// ```
    fn inspect(&self, look: impl Fn(&T) + Clone + Send + Sync + 'static) -> DataStream<T>;

    /// Rows for which `goes_aside` is true leave the stream for its side output `tag`.
    ///
    /// ```
    /// # use riverrun_operators::prelude::*;
    /// # fn job(numbers: DataStream<u32>) {
    /// let small = numbers.split_off("large", |n| *n >= 1000);
    /// let large: DataStream<u32> = small.side_output("large");
    /// # }
    /// ```
    fn split_off(
        &self,
        tag: &str,
        goes_aside: impl Fn(&T) -> bool + Clone + Send + Sync + 'static,
    ) -> DataStream<T>;
}

fn spec(name: &str) -> OperatorSpec {
    OperatorSpec::new(name, OperatorKind::Transform)
}

impl<T: Record> Transforms<T> for DataStream<T> {
    fn map<U: Record>(&self, f: impl Fn(T) -> U + Clone + Send + Sync + 'static) -> DataStream<U> {
        self.transform(spec("map"), move |_| {
            let f = f.clone();
            RowTransform::boxed(move |rows: Rows<T>, out| {
                let values = rows.values.into_iter().map(&f).collect();
                out.emit(Rows { values, timestamps: rows.timestamps })
            })
        })
    }

    fn try_map<U: Record, E: std::fmt::Display>(
        &self,
        f: impl Fn(T) -> Result<U, E> + Clone + Send + Sync + 'static,
    ) -> DataStream<U> {
        self.transform(spec("try_map"), move |_| {
            let f = f.clone();
            RowTransform::boxed(move |rows: Rows<T>, out| {
                let values = rows.values.into_iter().map(&f).collect::<Result<Vec<U>, E>>();
                let values = values.map_err(|e| Error::User {
                    place: format!("operator `{}`", out.operator),
                    reason: e.to_string(),
                })?;
                out.emit(Rows { values, timestamps: rows.timestamps })
            })
        })
    }

    fn try_map_or_reject<U: Record, R: Record>(
        &self,
        tag: &str,
        f: impl Fn(T) -> Result<U, R> + Clone + Send + Sync + 'static,
    ) -> DataStream<U> {
        let tag = tag.to_owned();
        let spec = spec("try_map").described(format!("failures to {tag}"));
        self.transform(spec, move |_| {
            let (f, tag) = (f.clone(), tag.clone());
            RowTransform::boxed(move |rows: Rows<T>, out| {
                let mut made = Rows::with_capacity(rows.len());
                let mut rejected = Rows::default();
                for (row, timestamp) in rows.values.into_iter().zip(rows.timestamps) {
                    match f(row) {
                        Ok(value) => made.push(value, timestamp),
                        Err(value) => rejected.push(value, timestamp),
                    }
                }
                out.count_rejected(rejected.len());
                out.emit_side(&tag, rejected)?;
                out.emit(made)
            })
        })
    }

    fn filter(&self, keep: impl Fn(&T) -> bool + Clone + Send + Sync + 'static) -> DataStream<T> {
        self.transform(spec("filter"), move |_| {
            let keep = keep.clone();
            RowTransform::boxed(move |mut rows: Rows<T>, out| {
                retain(&mut rows, &keep);
                out.emit(rows)
            })
        })
    }

    fn filter_map<U: Record>(
        &self,
        f: impl Fn(T) -> Option<U> + Clone + Send + Sync + 'static,
    ) -> DataStream<U> {
        self.transform(spec("filter_map"), move |_| {
            let f = f.clone();
            RowTransform::boxed(move |rows: Rows<T>, out| {
                let mut made = Rows::with_capacity(rows.len());
                for (row, timestamp) in rows.values.into_iter().zip(rows.timestamps) {
                    if let Some(value) = f(row) {
                        made.push(value, timestamp);
                    }
                }
                out.emit(made)
            })
        })
    }

    fn flat_map<U: Record>(
        &self,
        f: impl Fn(T, &mut Collector<U>) + Clone + Send + Sync + 'static,
    ) -> DataStream<U> {
        self.transform(spec("flat_map"), move |_| {
            let f = f.clone();
            RowTransform::boxed(move |rows: Rows<T>, out| {
                let mut collector = Collector::with_capacity(rows.len());
                for (row, timestamp) in rows.values.into_iter().zip(rows.timestamps) {
                    collector.begin(timestamp);
                    f(row, &mut collector);
                    if collector.is_full() {
                        out.emit(collector.take())?;
                    }
                }
                out.emit(collector.take())
            })
        })
    }

    fn inspect(&self, look: impl Fn(&T) + Clone + Send + Sync + 'static) -> DataStream<T> {
        self.transform(spec("inspect"), move |_| {
            let look = look.clone();
            RowTransform::boxed(move |rows: Rows<T>, out| {
                rows.values.iter().for_each(&look);
                out.emit(rows)
            })
        })
    }

    fn split_off(
        &self,
        tag: &str,
        goes_aside: impl Fn(&T) -> bool + Clone + Send + Sync + 'static,
    ) -> DataStream<T> {
        let tag = tag.to_owned();
        self.transform(spec("split_off").described(tag.clone()), move |_| {
            let (goes_aside, tag) = (goes_aside.clone(), tag.clone());
            RowTransform::boxed(move |rows: Rows<T>, out| {
                let mut stays = Rows::with_capacity(rows.len());
                let mut aside = Rows::default();
                for (row, timestamp) in rows.values.into_iter().zip(rows.timestamps) {
                    let to = if goes_aside(&row) { &mut aside } else { &mut stays };
                    to.push(row, timestamp);
                }
                out.emit_side(&tag, aside)?;
                out.emit(stays)
            })
        })
    }
}

/// Keeps rows in place, with their timestamps.
fn retain<T>(rows: &mut Rows<T>, keep: impl Fn(&T) -> bool) {
    let timestamps = &mut rows.timestamps;
    let (mut read, mut write) = (0, 0);
    rows.values.retain(|row| {
        let kept = keep(row);
        timestamps[write] = timestamps[read];
        read += 1;
        write += usize::from(kept);
        kept
    });
    timestamps.truncate(write);
}

/// Rows in one batch that an operator makes by itself: enough to make the cost per batch vanish, few enough to
/// stay in the cache.
pub(crate) const BATCH_ROWS: usize = 8192;

/// Cuts rows that came together (a window's results, say) into batches of a good size.
pub(crate) fn emit_in_batches<T: Record>(
    rows: Vec<(T, riverrun_dataflow::Timestamp)>,
    out: &mut dyn riverrun_dataflow::Output,
) -> riverrun_dataflow::Result<()> {
    let mut rows = rows.into_iter();
    while rows.len() > 0 {
        let (values, timestamps) = rows.by_ref().take(BATCH_ROWS).unzip();
        out.emit(Batch::rows(Rows { values, timestamps }, None))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
