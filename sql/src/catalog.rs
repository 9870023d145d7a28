//! What statements can name: tables and views.
//!
//! | file | what |
//! |---|---|
//! | `catalog/table.rs` | a table's definition |
//! | `catalog/memory.rs` | tables whose rows are in memory |
//! | `catalog/entry.rs` | what a name stands for; all names together |

mod entry;
mod memory;
mod table;

pub(crate) use entry::nearest;
pub use entry::{Catalog, Entry, MaterializedView, View};
pub use memory::MemoryTable;
pub use table::{Column, ColumnKind, Table, WatermarkDefinition};
