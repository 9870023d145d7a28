//! Lines of nginx's access log as columns of a table.

use arrow_schema::{DataType, FieldRef, TimeUnit};

use super::column::{Column, Values, sql_type};
use super::fault::{Fault, UnfitTable};
use crate::nginx::{AccessLine, LineParser, Request, present, text};

/// What a line holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Ip,
    Ident,
    User,
    Time,
    Request,
    Method,
    Path,
    Protocol,
    Status,
    Bytes,
    Referer,
    UserAgent,
}

/// Name, and type in SQL.
const PARTS: [(Part, &str, &str); 12] = [
    (Part::Ip, "ip", "STRING"),
    (Part::Ident, "ident", "STRING"),
    (Part::User, "user", "STRING"),
    (Part::Time, "time", "TIMESTAMP_LTZ(3)"),
    (Part::Request, "request", "STRING"),
    (Part::Method, "method", "STRING"),
    (Part::Path, "path", "STRING"),
    (Part::Protocol, "protocol", "STRING"),
    (Part::Status, "status", "INT"),
    (Part::Bytes, "bytes", "BIGINT"),
    (Part::Referer, "referer", "STRING"),
    (Part::UserAgent, "user_agent", "STRING"),
];

/// Reads lines into columns.
#[derive(Debug, Clone)]
pub(super) struct NginxReader {
    parts: Vec<(Part, usize)>,
    parser: LineParser,
    /// Then a line is not even split into the others.
    ip_and_time_only: bool,
}

impl NginxReader {
    pub(super) fn new<'a>(
        fields: impl Iterator<Item = (&'a FieldRef, usize)>,
    ) -> Result<Self, UnfitTable> {
        let parts = fields
            .map(|(field, column)| Ok((part(field)?, column)))
            .collect::<Result<Vec<_>, UnfitTable>>()?;
        let ip_and_time_only = parts.iter().all(|(part, _)| matches!(part, Part::Ip | Part::Time));
        Ok(Self { parts, parser: LineParser::default(), ip_and_time_only })
    }

    /// As `JsonReader::read`.
    #[inline]
    pub(super) fn read(&mut self, line: &[u8], columns: &mut [Column]) -> Result<(), Fault> {
        let broken = |error: crate::nginx::NginxError| Fault::new(error.to_string());
        if self.ip_and_time_only {
            let (host, time_ms) = self.parser.parse_host_and_time(line).map_err(broken)?;
            for (part, column) in &self.parts {
                let column = &mut columns[*column];
                match part {
                    Part::Ip => column.push_bytes(host)?,
                    _ => push_time(time_ms, column),
                }
            }
            return Ok(());
        }
        let line = self.parser.parse(line).map_err(broken)?;
        for (part, column) in &self.parts {
            push(*part, &line, &mut columns[*column])
                .map_err(|fault| fault.within(PARTS[*part as usize].1))?;
        }
        Ok(())
    }
}

/// Whether the format can give columns of these names and types.
pub(super) fn check(fields: &[FieldRef]) -> Result<(), UnfitTable> {
    fields.iter().try_for_each(|field| part(field).map(|_| ()))
}

fn part(field: &FieldRef) -> Result<Part, UnfitTable> {
    let known = || PARTS.map(|(_, name, of)| format!("{name} {of}")).join(", ");
    let Some((part, _, of)) = PARTS.iter().find(|(_, name, _)| name == field.name()) else {
        return Err(UnfitTable(format!(
            "an access log has no column `{}`; it has {}",
            field.name(),
            known()
        )));
    };
    let fits = match (part, field.data_type()) {
        (Part::Time, DataType::Timestamp(TimeUnit::Millisecond, _)) => true,
        (Part::Status, DataType::Int16 | DataType::Int32 | DataType::Int64) => true,
        (Part::Bytes, DataType::Int64) => true,
        (Part::Time | Part::Status | Part::Bytes, _) => false,
        (_, data_type) => *data_type == DataType::Utf8,
    };
    if fits {
        return Ok(*part);
    }
    Err(UnfitTable(format!(
        "column `{}` of an access log is {of}, not {}; it has {}",
        field.name(),
        sql_type(field.data_type()),
        known()
    )))
}

fn push_time(time_ms: i64, column: &mut Column) {
    if let Values::Timestamp { values, .. } = &mut column.values {
        values.push(time_ms);
        column.valid();
    }
}

#[inline]
fn push(part: Part, line: &AccessLine<'_>, column: &mut Column) -> Result<(), Fault> {
    let bytes = match part {
        Part::Ip => return column.push_bytes(line.host),
        Part::Time => {
            push_time(line.time_ms, column);
            return Ok(());
        }
        Part::Status => {
            match &mut column.values {
                Values::Int16(values) => values.push(line.status.cast_signed()),
                Values::Int32(values) => values.push(line.status.into()),
                Values::Int64(values) => values.push(line.status.into()),
                _ => return column.push_null(),
            }
            column.valid();
            return Ok(());
        }
        Part::Bytes => {
            let size = line.bytes.and_then(|size| i64::try_from(size).ok());
            match (&mut column.values, size) {
                (Values::Int64(values), Some(size)) => values.push(size),
                _ => return column.push_null(),
            }
            column.valid();
            return Ok(());
        }
        Part::Request => Some(line.request),
        Part::Path => Some(Request::split(line.request).path),
        Part::Method => present(Request::split(line.request).method),
        Part::Protocol => present(Request::split(line.request).protocol),
        Part::Ident => present(line.ident),
        Part::User => present(line.user),
        Part::Referer => line.referer.and_then(present),
        Part::UserAgent => line.user_agent.and_then(present),
    };
    match bytes {
        Some(bytes) => column.push_bytes(text(bytes).as_bytes()),
        None => column.push_null(),
    }
}
