//! What statements can name: tables, views, functions.

mod table;

pub use table::{Column, ColumnKind, Table, WatermarkDefinition};
