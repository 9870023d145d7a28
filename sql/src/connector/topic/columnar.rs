//! Columnar topics: a table's rows as they are, column by column.
//!
//! A topic that a table makes has the table's columns. Of one that is there already the columns are found by their names; that
//! they fit is looked at when a statement is planned, and again when its job starts.

use arrow_schema::{DataType, TimeUnit};
use riverrun_operators::format::arrow::{ArrowTable, ArrowTableColumn, ToArrow};
use riverrun_operators::format::table::{Metadata, WriteMode, sql_type};

use super::TopicTable;
use crate::catalog::ColumnKind;
use crate::connector::format;
use crate::{Error, Result};

impl TopicTable<'_> {
    /// What reads these columns.
    pub(super) fn columns(&self, columns: &[usize]) -> Result<ArrowTable> {
        let unfit = format::unfit(self.table);
        let column = |at: &usize| -> Result<ArrowTableColumn> {
            let metadata = match &self.table.columns[*at].kind {
                ColumnKind::Metadata { key, .. } => Some(Metadata::named(key).map_err(&unfit)?),
                ColumnKind::Physical | ColumnKind::Computed { .. } => None,
            };
            Ok(ArrowTableColumn { field: self.field(*at), metadata })
        };
        let columns = columns.iter().map(column).collect::<Result<_>>()?;
        let table = ArrowTable::new(columns).map_err(&unfit)?;
        Ok(if self.mode == WriteMode::Changelog { table.weighted() } else { table })
    }

    /// What writes the table's columns.
    pub(super) fn to_columns(&self) -> Result<ToArrow> {
        let unfit = format::unfit(self.table);
        let comes = self.table.sink_columns();
        for at in &comes {
            let column = &self.table.columns[*at];
            if let ColumnKind::Metadata { key, .. } = &column.kind {
                return Err(Error::Refused(format!(
                    "table `{}`: column `{}` cannot be written: a columnar topic keeps no {key} for each row; declare it METADATA \
                     VIRTUAL, or as a column of the rows",
                    self.table.name, column.name
                )));
            }
        }
        let schema = self.table.sink_schema();
        let encoder = match self.mode {
            WriteMode::Changelog => ToArrow::changes(&schema),
            WriteMode::Append | WriteMode::Upsert => ToArrow::new(schema),
        };
        let encoder = encoder.map_err(&unfit)?;
        // The log finds rows by their event time, if the table has one.
        let time = self.table.watermark.as_ref().and_then(|watermark| {
            let at = self.table.position(&watermark.column)?;
            let data_type = &self.table.columns[at].data_type;
            let place = comes.iter().position(|column| *column == at)?;
            matches!(data_type, DataType::Timestamp(TimeUnit::Millisecond, _)).then_some(place)
        });
        Ok(match time {
            Some(time) => encoder.time_column(time),
            None => encoder,
        })
    }

    /// What `riverrun topic create` needs to be told beside the topic's name.
    pub(super) fn columns_option(&self) -> String {
        if self.format != format::Format::Arrow {
            return String::new();
        }
        let schema = self.table.sink_schema();
        let columns = schema.fields().iter().map(|field| {
            let null = if field.is_nullable() { "" } else { " NOT NULL" };
            format!("{} {}{null}", field.name(), sql_type(field.data_type()))
        });
        format!(" --columns \"{}\"", columns.collect::<Vec<_>>().join(", "))
    }
}
