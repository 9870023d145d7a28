//! Keyed state: tables in memory, and the bytes that checkpoints hold of them.
//!
//! A [`StateTable`] maps (namespace, key) to a value. The namespace is what state is dropped by: the
//! pane of a window, or 0. A table remembers what changed since the last snapshot, so a snapshot can be
//! full or a delta; both are [`Entries`], sorted into key groups when they are encoded.

mod entries;
mod table;

pub use entries::{Change, Entries, KeyedState, decode_entries};
pub use table::{StateTable, TableSnapshot};
