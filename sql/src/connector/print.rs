//! Standard output, for people.

use riverrun_dataflow::{Columns, DataStream};
use riverrun_operators::{ColumnSinks, SharedWriter};

use super::options::Options;
use crate::Result;
use crate::catalog::Table;

/// How a table is printed.
pub(super) struct PrintTable {
    identifier: String,
    standard_error: bool,
}

impl PrintTable {
    pub(super) fn of(table: &Table) -> Result<Self> {
        let options = Options::new(table);
        super::no_metadata(table)?;
        options.accept(&["sink.parallelism"]);
        let identifier = options.text("print-identifier").unwrap_or_default().to_owned();
        let standard_error = options.boolean("standard-error", false)?;
        options.finish()?;
        Ok(Self { identifier, standard_error })
    }

    pub(super) fn sink(&self, stream: &DataStream<Columns>) {
        let writer = match self.standard_error {
            true => SharedWriter::stderr(),
            false => SharedWriter::stdout(),
        };
        stream.print_columns(writer, &self.identifier);
    }
}
