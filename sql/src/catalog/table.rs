//! A table's definition.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};

/// A table as `CREATE TABLE` defines it: what its rows are, and where they come from or go to.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Columns in the order of the definition.
    pub columns: Vec<Column>,
    /// How event time follows from a row, if it does.
    pub watermark: Option<WatermarkDefinition>,
    /// Names of the primary key's columns; empty if there is none. Nobody checks that rows are unique by it ("not enforced").
    pub primary_key: Vec<String>,
    /// Names of the columns by whose values rows are spread over folders (`PARTITIONED BY`); empty if they are not.
    pub partitioned_by: Vec<String>,
    /// The options of `WITH (...)`, as written.
    pub options: BTreeMap<String, String>,
}

/// A column of a [`Table`].
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The type of its values.
    pub data_type: DataType,
    /// Whether values may be missing.
    pub nullable: bool,
    /// Where values come from.
    pub kind: ColumnKind,
}

/// Where a column's values come from.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnKind {
    /// The record's value (or key), as the format decodes it.
    Physical,
    /// Something about the record that its value does not hold: `offset`, `partition`, `timestamp`, `key`, `headers`.
    Metadata {
        /// Which.
        key: String,
        /// True if it is only read: a sink has no such column.
        is_virtual: bool,
    },
    /// An expression over the other columns, computed when the table is read. A sink has no such column.
    Computed {
        /// The expression as SQL text.
        expression: String,
    },
}

/// `WATERMARK FOR column AS expression`.
#[derive(Debug, Clone, PartialEq)]
pub struct WatermarkDefinition {
    /// The event time column.
    pub column: String,
    /// The expression as SQL text; usually `column - INTERVAL '..'`.
    pub expression: String,
}

impl Column {
    /// The column as a field of a schema.
    pub fn field(&self) -> FieldRef {
        Arc::new(Field::new(&self.name, self.data_type.clone(), self.nullable))
    }
}

impl Table {
    /// All columns: what a query sees.
    pub fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(self.columns.iter().map(Column::field).collect::<Vec<_>>()))
    }

    /// Positions of the columns that a source reads: the physical and the metadata columns.
    pub fn source_columns(&self) -> Vec<usize> {
        self.positions(|kind| !matches!(kind, ColumnKind::Computed { .. }))
    }

    /// Positions of the columns that a sink takes: the physical ones, and metadata that can be written.
    pub fn sink_columns(&self) -> Vec<usize> {
        self.positions(|kind| {
            matches!(kind, ColumnKind::Physical | ColumnKind::Metadata { is_virtual: false, .. })
        })
    }

    /// The columns that a sink takes, as a schema.
    pub fn sink_schema(&self) -> SchemaRef {
        let columns = self.sink_columns().into_iter().map(|at| self.columns[at].field());
        Arc::new(Schema::new(columns.collect::<Vec<_>>()))
    }

    /// The position of the column of this name.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// An option of `WITH (...)`.
    pub fn option(&self, key: &str) -> Option<&str> {
        self.options.get(key).map(String::as_str)
    }

    fn positions(&self, which: impl Fn(&ColumnKind) -> bool) -> Vec<usize> {
        (0..self.columns.len()).filter(|at| which(&self.columns[*at].kind)).collect()
    }
}
