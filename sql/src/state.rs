//! Keyed state of SQL's operators: rows as bytes.
//!
//! | file | what |
//! |---|---|
//! | `state/rows.rs` | columns to bytes and back: [`RowCodec`], [`RowBytes`] |
//! | `state/multimap.rs` | for each key an ordered set of values: [`Multimap`] |
//! | `state/buckets.rs` | the rows of two sides by key: [`Buckets`] |
//! | `state/layout.rs` | the rows of a key as bytes in an order: [`RowLayout`] |
//! | `state/partitioner.rs` | rows over a HASH edge: [`RowKeyPartitioner`] |
//!
//! Keys and values of state are rows in arrow-row's encoding, which sorts as its columns do. A
//! [`StateTable`](riverrun_dataflow::StateTable) with [`RowBytes`] as key spreads them by the hash of their bytes, and so does the
//! partitioner of the HASH edge before the operator.

mod buckets;
mod growing;
mod layout;
mod multimap;
mod partitioner;
mod rows;

pub use buckets::{Buckets, Layout, Record};
pub use growing::GrowingSets;
pub use layout::{LaidOut, RowLayout};
pub use multimap::{Iter as ValueIter, KeyValues, Multimap, Values};
pub use partitioner::RowKeyPartitioner;
pub use rows::{EncodedRows, RowBytes, RowCodec, key_group_of_row};
