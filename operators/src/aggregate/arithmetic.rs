//! The aggregates that come with Riverrun.

use std::marker::PhantomData;

use riverrun_dataflow::Record;

use super::{Aggregate, Number};

/// An aggregate over what a function takes from each row.
macro_rules! over_a_function {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub struct $name<T, V, G> {
            value_of: G,
            _types: PhantomData<fn(T) -> V>,
        }

        impl<T, V, G: Clone> Clone for $name<T, V, G> {
            fn clone(&self) -> Self {
                Self { value_of: self.value_of.clone(), _types: PhantomData }
            }
        }

        impl<T, V, G: Fn(&T) -> V> $name<T, V, G> {
            /// Over the values that `value_of` takes from rows.
            pub fn of(value_of: G) -> Self {
                Self { value_of, _types: PhantomData }
            }
        }
    };
}

/// The number of rows.
pub struct Count<T>(PhantomData<fn(T)>);

impl<T> Clone for Count<T> {
    fn clone(&self) -> Self {
        Self(PhantomData)
    }
}

impl<T> Default for Count<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: Record> Aggregate for Count<T> {
    type Input = T;
    type Accumulator = u64;
    type Output = u64;

    fn create(&self) -> u64 {
        0
    }
    #[inline]
    fn add(&self, accumulator: &mut u64, _row: T) {
        *accumulator += 1;
    }
    fn merge(&self, into: &mut u64, from: u64) {
        *into += from;
    }
    fn result(&self, accumulator: u64) -> u64 {
        accumulator
    }
    fn name(&self) -> &str {
        "count"
    }
}

over_a_function! {
    /// The sum of a value of each row. A sum of integers that leaves the type's range stops the job.
    Sum
}

impl<T, V, G> Aggregate for Sum<T, V, G>
where
    T: Record,
    V: Number,
    G: Fn(&T) -> V + Clone + Send + Sync + 'static,
{
    type Input = T;
    type Accumulator = V;
    type Output = V;

    fn create(&self) -> V {
        V::ZERO
    }
    #[inline]
    fn add(&self, accumulator: &mut V, row: T) {
        *accumulator = accumulator.plus((self.value_of)(&row));
    }
    fn merge(&self, into: &mut V, from: V) {
        *into = into.plus(from);
    }
    fn result(&self, accumulator: V) -> V {
        accumulator
    }
    fn name(&self) -> &str {
        "sum"
    }
}

/// Keeps the better of two values. A value that does not even equal itself (NaN) loses against all.
fn keep<V: PartialOrd>(current: &mut Option<V>, new: V, better: std::cmp::Ordering) {
    let replace = match current {
        None => true,
        Some(old) => new.partial_cmp(old) == Some(better) || old.partial_cmp(&old).is_none(),
    };
    if replace {
        *current = Some(new);
    }
}

macro_rules! extreme {
    ($name:ident, $better:expr, $text:literal) => {
        impl<T, V, G> Aggregate for $name<T, V, G>
        where
            T: Record,
            V: Record + PartialOrd,
            G: Fn(&T) -> V + Clone + Send + Sync + 'static,
        {
            type Input = T;
            type Accumulator = Option<V>;
            type Output = V;

            fn create(&self) -> Option<V> {
                None
            }
            #[inline]
            fn add(&self, accumulator: &mut Option<V>, row: T) {
                keep(accumulator, (self.value_of)(&row), $better);
            }
            fn merge(&self, into: &mut Option<V>, from: Option<V>) {
                if let Some(value) = from {
                    keep(into, value, $better);
                }
            }
            fn result(&self, accumulator: Option<V>) -> V {
                accumulator.expect("a result is asked only of accumulators that have seen a row")
            }
            fn name(&self) -> &str {
                $text
            }
        }
    };
}

over_a_function! {
    /// The smallest value of the rows. NaN counts only if there is nothing else.
    Min
}
extreme!(Min, std::cmp::Ordering::Less, "min");

over_a_function! {
    /// The largest value of the rows. NaN counts only if there is nothing else.
    Max
}
extreme!(Max, std::cmp::Ordering::Greater, "max");

over_a_function! {
    /// The arithmetic mean of a value of each row, computed in `f64`.
    Average
}

impl<T, V, G> Aggregate for Average<T, V, G>
where
    T: Record,
    V: Number,
    G: Fn(&T) -> V + Clone + Send + Sync + 'static,
{
    type Input = T;
    type Accumulator = (f64, u64);
    type Output = f64;

    fn create(&self) -> (f64, u64) {
        (0.0, 0)
    }
    #[inline]
    fn add(&self, accumulator: &mut (f64, u64), row: T) {
        accumulator.0 += (self.value_of)(&row).as_f64();
        accumulator.1 += 1;
    }
    fn merge(&self, into: &mut (f64, u64), from: (f64, u64)) {
        into.0 += from.0;
        into.1 += from.1;
    }
    fn result(&self, (sum, count): (f64, u64)) -> f64 {
        sum / count as f64
    }
    fn name(&self) -> &str {
        "average"
    }
}

/// Two rows into one, again and again. The function must give the same in whatever order rows are put together.
pub struct Reduce<T, G> {
    reduce: G,
    _row: PhantomData<fn(T)>,
}

impl<T, G: Clone> Clone for Reduce<T, G> {
    fn clone(&self) -> Self {
        Self { reduce: self.reduce.clone(), _row: PhantomData }
    }
}

impl<T, G: Fn(T, T) -> T> Reduce<T, G> {
    /// With this function.
    pub fn by(reduce: G) -> Self {
        Self { reduce, _row: PhantomData }
    }
}

impl<T, G> Aggregate for Reduce<T, G>
where
    T: Record,
    G: Fn(T, T) -> T + Clone + Send + Sync + 'static,
{
    type Input = T;
    type Accumulator = Option<T>;
    type Output = T;

    fn create(&self) -> Option<T> {
        None
    }
    #[inline]
    fn add(&self, accumulator: &mut Option<T>, row: T) {
        *accumulator = Some(match accumulator.take() {
            Some(before) => (self.reduce)(before, row),
            None => row,
        });
    }
    fn merge(&self, into: &mut Option<T>, from: Option<T>) {
        if let Some(row) = from {
            self.add(into, row);
        }
    }
    fn result(&self, accumulator: Option<T>) -> T {
        accumulator.expect("a result is asked only of accumulators that have seen a row")
    }
    fn name(&self) -> &str {
        "reduce"
    }
}
