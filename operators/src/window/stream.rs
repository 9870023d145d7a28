//! The DSL of windows.

use std::hash::Hash;
use std::marker::PhantomData;
use std::time::Duration;

use riverrun_dataflow::{
    DataStream, KeyedStream, Operator, OperatorKind, OperatorSpec, Record, Result,
};

use super::WindowResult;
use super::assigner::{Shape, TimeKind, Windows, milliseconds};
use super::combine::{Combine, Panes};
use super::operator::{FromCombiner, FromRows, Intake, WindowOperator};
use super::panes::PaneState;
use super::partial::{Partial, PartialPartitioner};
use super::sessions::SessionState;
use crate::aggregate::{Aggregate, Average, Count, Max, Min, Number, Reduce, Sum};

/// Puts the rows of each key into windows.
pub trait Windowing<T, K, F> {
    /// Groups the rows of each key by windows; what is computed over them is said next.
    ///
    /// ```
    /// use std::time::Duration;
    /// use riverrun_operators::prelude::*;
    /// # fn job(words: DataStream<String>) {
    /// let counts: DataStream<WindowResult<String, u64>> = words
    ///     .key_by(|word| word.clone())
    ///     .window(TumblingWindows::of(Duration::from_secs(5)))
    ///     .count();
    /// # }
    /// ```
    fn window(self, windows: impl Into<Windows>) -> WindowedStream<T, K, F>;
}

impl<T, K, F> Windowing<T, K, F> for KeyedStream<T, K, F> {
    fn window(self, windows: impl Into<Windows>) -> WindowedStream<T, K, F> {
        WindowedStream { keyed: self, windows: windows.into(), lateness: 0, late_output: None }
    }
}

/// A keyed stream in windows: lacks only what is to be computed.
pub struct WindowedStream<T, K, F> {
    keyed: KeyedStream<T, K, F>,
    windows: Windows,
    lateness: i64,
    late_output: Option<String>,
}

impl<T, K, F> WindowedStream<T, K, F>
where
    T: Record,
    K: Record + Hash + Eq,
    F: Fn(&T) -> K + Clone + Send + Sync + 'static,
{
    /// Rows that come up to `lateness` of event time (whole milliseconds) after a window has fired still count: the
    /// window fires again, with one new result per key and batch. State is kept that much longer.
    pub fn allowed_lateness(mut self, lateness: Duration) -> Self {
        self.lateness = milliseconds(lateness);
        self
    }

    /// Rows that come too late go to the side output `tag` of the window, whole and with their timestamps.
    ///
    /// Rows then cross the HASH edge one by one: once they are added up, they cannot be told apart any more.
    ///
    /// ```
    /// use std::time::Duration;
    /// use riverrun_operators::prelude::*;
    /// # fn job(words: DataStream<String>) {
    /// let counts = words
    ///     .key_by(|word| word.clone())
    ///     .window(TumblingWindows::of(Duration::from_secs(5)))
    ///     .late_output("late")
    ///     .count();
    /// let late: DataStream<String> = counts.side_output("late");
    /// # }
    /// ```
    pub fn late_output(mut self, tag: &str) -> Self {
        self.late_output = Some(tag.to_owned());
        self
    }

    /// The number of rows.
    pub fn count(self) -> DataStream<WindowResult<K, u64>> {
        self.aggregate(Count::default())
    }

    /// The sum of a value of each row.
    pub fn sum<V: Number>(
        self,
        value_of: impl Fn(&T) -> V + Clone + Send + Sync + 'static,
    ) -> DataStream<WindowResult<K, V>> {
        self.aggregate(Sum::of(value_of))
    }

    /// The smallest value of the rows.
    pub fn min<V: Record + PartialOrd>(
        self,
        value_of: impl Fn(&T) -> V + Clone + Send + Sync + 'static,
    ) -> DataStream<WindowResult<K, V>> {
        self.aggregate(Min::of(value_of))
    }

    /// The largest value of the rows.
    pub fn max<V: Record + PartialOrd>(
        self,
        value_of: impl Fn(&T) -> V + Clone + Send + Sync + 'static,
    ) -> DataStream<WindowResult<K, V>> {
        self.aggregate(Max::of(value_of))
    }

    /// The mean of a value of each row.
    pub fn average<V: Number>(
        self,
        value_of: impl Fn(&T) -> V + Clone + Send + Sync + 'static,
    ) -> DataStream<WindowResult<K, f64>> {
        self.aggregate(Average::of(value_of))
    }

    /// All rows put together, two by two, in any order.
    ///
    /// ```
    /// use std::time::Duration;
    /// use riverrun_operators::prelude::*;
    /// # fn job(numbers: DataStream<i64>) {
    /// let largest = numbers
    ///     .key_by(|n| n % 10)
    ///     .window(TumblingWindows::of(Duration::from_secs(5)))
    ///     .reduce(|a, b| a.max(b));
    /// # }
    /// ```
    pub fn reduce(
        self,
        f: impl Fn(T, T) -> T + Clone + Send + Sync + 'static,
    ) -> DataStream<WindowResult<K, T>> {
        self.aggregate(Reduce::by(f))
    }

    /// Any [`Aggregate`].
    pub fn aggregate<A: Aggregate<Input = T>>(
        self,
        aggregate: A,
    ) -> DataStream<WindowResult<K, A::Output>> {
        let description = format!("{}, {}", self.windows, aggregate.name());
        let window = OperatorSpec::new("window", OperatorKind::Keyed).described(&description);
        if matches!(self.windows.shape, Shape::Session { .. }) || self.late_output.is_some() {
            return self.uncombined(aggregate, window);
        }
        let combine = OperatorSpec::new("combine", OperatorKind::Transform).described(&description);
        self.combined(aggregate, combine, window)
    }

    fn combined<A: Aggregate<Input = T>>(
        self,
        aggregate: A,
        combine: OperatorSpec,
        window: OperatorSpec,
    ) -> DataStream<WindowResult<K, A::Output>> {
        let Self { keyed, windows, lateness, .. } = self;
        let (key_of, combined) = (keyed.key_of().clone(), aggregate.clone());
        let partials: DataStream<Partial<K, A::Accumulator>> =
            keyed.stream().transform(combine, move |_| {
                let panes = match windows.time {
                    TimeKind::Event => Panes::EventTime(windows.layout()),
                    TimeKind::Processing => Panes::OnArrival,
                };
                Ok(Box::new(Combine::new(key_of.clone(), combined.clone(), panes)))
            });
        partials
            .partition_by(keyed.described_key(), |key_groups| {
                Box::new(PartialPartitioner::<K, A::Accumulator>::new(key_groups))
            })
            .transform(window, move |_| {
                boxed_window::<_, K, A>(FromCombiner, windows, aggregate.clone(), lateness)
            })
    }

    fn uncombined<A: Aggregate<Input = T>>(
        self,
        aggregate: A,
        window: OperatorSpec,
    ) -> DataStream<WindowResult<K, A::Output>> {
        let Self { keyed, windows, lateness, late_output } = self;
        let key_of = keyed.key_of().clone();
        keyed.exchanged().transform(window, move |_| {
            let (key_of, late_output) = (key_of.clone(), late_output.clone());
            let intake = FromRows { key_of, late_output, _rows: PhantomData };
            boxed_window::<_, K, A>(intake, windows, aggregate.clone(), lateness)
        })
    }
}

fn boxed_window<I, K, A>(
    intake: I,
    windows: Windows,
    aggregate: A,
    lateness: i64,
) -> Result<Box<dyn Operator>>
where
    I: Intake<K, A> + 'static,
    K: Record + Hash + Eq,
    A: Aggregate,
{
    // In processing time nothing is late.
    let lateness = if windows.time == TimeKind::Event { lateness } else { 0 };
    let name = aggregate.name().to_owned();
    Ok(match windows.shape {
        Shape::Session { gap } => {
            let state = SessionState::new(aggregate, gap, lateness);
            Box::new(WindowOperator::<_, _, K, A>::new(intake, state, windows, &name, lateness))
        }
        Shape::Tumbling { .. } | Shape::Sliding { .. } => {
            let state = PaneState::new(aggregate, windows.layout(), lateness);
            Box::new(WindowOperator::<_, _, K, A>::new(intake, state, windows, &name, lateness))
        }
    })
}
