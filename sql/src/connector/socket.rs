//! Lines of a TCP service. At most once: what was under way in a crash is lost.

use riverrun_dataflow::Environment;
use riverrun_operators::format::OnError;
use riverrun_operators::format::table::{TableDecoder, TableFormat};
use riverrun_operators::{SocketInput, Sources};

use super::options::Options;
use super::{ScanOptions, SourceStream, format, topic};
use crate::Result;
use crate::catalog::Table;

/// Where a table's lines come from.
pub(super) struct SocketTable<'a> {
    table: &'a Table,
    address: String,
    format: TableFormat,
    on_error: OnError,
}

impl<'a> SocketTable<'a> {
    pub(super) fn of(table: &'a Table) -> Result<Self> {
        let options = Options::new(table);
        super::no_metadata(table)?;
        let host = options.required("hostname", "the host to connect to")?;
        options.required("port", "the port to connect to")?;
        let port = options.number("port", 1)?.unwrap_or_default();
        let newline = options.number("byte-delimiter", 0)?.unwrap_or(10);
        if port > 65_535 {
            return Err(options.bad("port", &port.to_string(), "a port from 1 to 65535"));
        }
        if newline != 10 {
            return Err(options.bad(
                "byte-delimiter",
                &newline.to_string(),
                "10: lines end in newlines",
            ));
        }
        let format = format::of_value(&options)?;
        let on_error = topic::on_error(&options, &format!("{host}-{port}"))?;
        options.finish()?;
        let made = Self { table, address: format!("{host}:{port}"), format, on_error };
        made.decoder(&[], &ScanOptions::default())?;
        Ok(made)
    }

    fn decoder(&self, columns: &[usize], scan: &ScanOptions) -> Result<TableDecoder> {
        topic::decoder_of_lines(self.table, &self.format, columns, scan)
    }

    pub(super) fn source(
        &self,
        env: &Environment,
        columns: &[usize],
        scan: &ScanOptions,
    ) -> Result<SourceStream> {
        let mut input = SocketInput::new(&self.address);
        if scan.bounded {
            input = input.until_closed();
        }
        let stream =
            env.from_socket_columns(input, self.decoder(columns, scan)?, self.on_error.clone());
        Ok(SourceStream {
            stream,
            retracts: self.format.retracts(),
            upsert: None,
            parallelism: 1,
            bounded: scan.bounded,
        })
    }
}
