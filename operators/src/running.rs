//! Running aggregates: an updated result of a key with every row, without windows.

use std::hash::Hash;

use riverrun_dataflow::{
    Barrier, Batch, DataStream, Error, KeyedStream, Operator, OperatorContext, OperatorKind,
    OperatorSpec, OperatorState, Output, Record, RestoredState, Result, Rows, Snapshot, StateTable,
    codec,
};
use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, Average, Count, Max, Min, Number, Reduce, Sum};

/// What an aggregate has come to for one key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Running<K, R> {
    /// The key.
    pub key: K,
    /// The result over all rows of the key so far.
    pub value: R,
}

/// Aggregates over all rows of a key so far. As in Flink each row gives an updated result, with the row's
/// timestamp; so rows cross the HASH edge one by one, and state is kept for as long as the job lives.
///
/// ```
/// use riverrun_operators::prelude::*;
/// # fn job(words: DataStream<String>) {
/// let counts: DataStream<Running<String, u64>> = words.key_by(|word| word.clone()).count();
/// # }
/// ```
pub trait RunningAggregates<T: Record, K: Record> {
    /// The number of rows.
    fn count(&self) -> DataStream<Running<K, u64>> {
        self.aggregate(Count::default())
    }

    /// The sum of a value of each row.
    fn sum<V: Number>(
        &self,
        value_of: impl Fn(&T) -> V + Clone + Send + Sync + 'static,
    ) -> DataStream<Running<K, V>> {
        self.aggregate(Sum::of(value_of))
    }

    /// The smallest value of the rows.
    fn min<V: Record + PartialOrd>(
        &self,
        value_of: impl Fn(&T) -> V + Clone + Send + Sync + 'static,
    ) -> DataStream<Running<K, V>> {
        self.aggregate(Min::of(value_of))
    }

    /// The largest value of the rows.
    fn max<V: Record + PartialOrd>(
        &self,
        value_of: impl Fn(&T) -> V + Clone + Send + Sync + 'static,
    ) -> DataStream<Running<K, V>> {
        self.aggregate(Max::of(value_of))
    }

    /// The mean of a value of each row.
    fn average<V: Number>(
        &self,
        value_of: impl Fn(&T) -> V + Clone + Send + Sync + 'static,
    ) -> DataStream<Running<K, f64>> {
        self.aggregate(Average::of(value_of))
    }

    /// All rows put together, two by two, in their order.
    fn reduce(
        &self,
        f: impl Fn(T, T) -> T + Clone + Send + Sync + 'static,
    ) -> DataStream<Running<K, T>> {
        self.aggregate(Reduce::by(f))
    }

    /// Any [`Aggregate`].
    fn aggregate<A: Aggregate<Input = T>>(&self, aggregate: A)
    -> DataStream<Running<K, A::Output>>;
}

impl<T, K, F> RunningAggregates<T, K> for KeyedStream<T, K, F>
where
    T: Record,
    K: Record + Hash + Eq,
    F: Fn(&T) -> K + Clone + Send + Sync + 'static,
{
    fn aggregate<A: Aggregate<Input = T>>(
        &self,
        aggregate: A,
    ) -> DataStream<Running<K, A::Output>> {
        let key_of = self.key_of().clone();
        let spec = OperatorSpec::new("running", OperatorKind::Keyed).described(aggregate.name());
        self.exchanged().transform(spec, move |_| {
            Ok(Box::new(RunningOperator::new(key_of.clone(), aggregate.clone())))
        })
    }
}

/// The operator.
struct RunningOperator<F, K, A: Aggregate> {
    operator: String,
    key_groups: u16,
    key_of: F,
    aggregate: A,
    table: StateTable<K, A::Accumulator>,
}

impl<F, K: Record + Hash + Eq, A: Aggregate> RunningOperator<F, K, A> {
    fn new(key_of: F, aggregate: A) -> Self {
        let table = StateTable::default();
        Self { operator: "running".to_owned(), key_groups: 1, key_of, aggregate, table }
    }
}

impl<F, K, A> Operator for RunningOperator<F, K, A>
where
    F: Fn(&A::Input) -> K + Send,
    K: Record + Hash + Eq,
    A: Aggregate,
{
    fn restore(&mut self, state: RestoredState) -> Result<()> {
        for bytes in &state.list {
            let name: String = codec::decode(bytes).map_err(|e| {
                Error::state(&self.operator, format!("the name of its aggregate: {e}"))
            })?;
            if name != self.aggregate.name() {
                return Err(Error::state(
                    &self.operator,
                    format!(
                        "the checkpoint holds `{name}` and the job now says `{}`; set it back, or give the \
                         operator a new uid to start it empty",
                        self.aggregate.name()
                    ),
                ));
            }
        }
        state.keyed.iter().try_for_each(|chain| self.table.restore(&self.operator, 0, chain))
    }

    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.operator.clone_from(&context.operator);
        self.key_groups = context.key_groups;
        Ok(())
    }

    fn process(&mut self, _input: usize, batch: Batch, out: &mut dyn Output) -> Result<()> {
        let rows = batch.into_rows::<A::Input>(&self.operator)?;
        let mut values = Vec::with_capacity(rows.len());
        for row in rows.values {
            let key = (self.key_of)(&row);
            let accumulator = self.table.entry(0, key.clone(), || self.aggregate.create());
            self.aggregate.add(accumulator, row);
            values.push(Running { key, value: self.aggregate.result(accumulator.clone()) });
        }
        out.emit(Batch::rows(Rows { values, timestamps: rows.timestamps }, None))
    }

    fn snapshot(&mut self, barrier: Barrier) -> Result<Snapshot> {
        let table = self.table.snapshot(barrier.kind);
        let (operator, key_groups) = (self.operator.clone(), self.key_groups);
        let name = self.aggregate.name().to_owned();
        Ok(Snapshot::Deferred(Box::new(move || {
            let name = codec::encode(&name).map_err(|e| Error::state(&operator, e))?;
            Ok(OperatorState {
                keyed: Some(table.encode(&operator, 0, key_groups)?),
                list: vec![name],
                ..OperatorState::default()
            })
        })))
    }
}

#[cfg(test)]
mod tests;
