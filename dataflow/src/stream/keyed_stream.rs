//! A stream with a key: what windows, aggregates and process functions start from.

use std::hash::Hash;
use std::marker::PhantomData;

use crate::{DataStream, Record, RowPartitioner};

/// A stream whose rows have a key of type `K`, taken by a function of type `F`.
///
/// The function's type is kept so that it can be compiled into the loops that use it: there is no
/// call through a pointer per row.
pub struct KeyedStream<T, K, F> {
    stream: DataStream<T>,
    key_of: F,
    key_name: String,
    _key: PhantomData<fn() -> K>,
}

impl<T, K, F> KeyedStream<T, K, F>
where
    T: Record,
    K: Record + Hash + Eq,
    F: Fn(&T) -> K + Clone + Send + Sync + 'static,
{
    pub(crate) fn new(stream: DataStream<T>, key_of: F) -> Self {
        Self { stream, key_of, key_name: "key".to_owned(), _key: PhantomData }
    }

    /// What the key is called when the job is drawn.
    pub fn key_name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.key_name);
        self
    }

    /// What the key is called when the job is drawn.
    pub fn described_key(&self) -> &str {
        &self.key_name
    }

    /// The stream before it is spread by key: where rows can be combined locally.
    pub fn stream(&self) -> &DataStream<T> {
        &self.stream
    }

    /// The function that takes the key.
    pub fn key_of(&self) -> &F {
        &self.key_of
    }

    /// The stream spread by key, over a HASH edge, uncombined.
    pub fn exchanged(&self) -> DataStream<T> {
        let key_of = self.key_of.clone();
        self.stream.partition_by(&self.key_name, move |key_groups| {
            Box::new(RowPartitioner::new(key_of.clone(), key_groups))
        })
    }
}
