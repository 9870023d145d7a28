//! Lines of nginx's access log, combined or common, one a record.

use std::marker::PhantomData;

use compact_str::CompactString;
use riverrun_dataflow::{Columns, Record, Result, Rows};

use super::{BatchRecords, ColumnDecoder, Rejects, RowDecoder};
use crate::nginx::{Access, AccessHit, LineParser, NginxColumns, NginxError, UnknownColumn};

/// A row that a line of an access log can become.
pub trait NginxRow: Record {
    /// Parses one line.
    ///
    /// # Errors
    /// Those of [`crate::nginx::parse`].
    fn parse(parser: &mut LineParser, line: &[u8]) -> Result<Self, NginxError>;

    /// When it was logged, in milliseconds since the epoch.
    fn time_ms(&self) -> i64;
}

impl NginxRow for Access {
    #[inline]
    fn parse(parser: &mut LineParser, line: &[u8]) -> Result<Self, NginxError> {
        parser.parse(line).map(Access::from)
    }
    #[inline]
    fn time_ms(&self) -> i64 {
        self.time_ms
    }
}

impl NginxRow for AccessHit {
    #[inline]
    fn parse(parser: &mut LineParser, line: &[u8]) -> Result<Self, NginxError> {
        let (host, time_ms) = parser.parse_host_and_time(line)?;
        // The parser lets only printable ASCII through as a host; to look once more costs a tenth of a check of UTF-8.
        let ip = if host.is_ascii() {
            // SAFETY: ASCII is UTF-8.
            unsafe { CompactString::from_utf8_unchecked(host) }
        } else {
            CompactString::from_utf8_lossy(host)
        };
        Ok(AccessHit { ip, time_ms })
    }
    #[inline]
    fn time_ms(&self) -> i64 {
        self.time_ms
    }
}

/// A record's value is a line of an access log. The row's timestamp is the line's own time, whatever the record says.
///
/// ```
/// use riverrun_dataflow::Environment;
/// use riverrun_operators::{Sources, format::Nginx};
/// let env = Environment::new("example");
/// let hits = env.from_topic("nginx", Nginx::hits()); // who and when: nothing else is decoded
/// let all = env.from_topic("nginx", Nginx::accesses());
/// ```
#[derive(Debug)]
pub struct Nginx<T> {
    parser: LineParser,
    _row: PhantomData<fn() -> T>,
}

impl Nginx<AccessHit> {
    /// Only who and when.
    pub fn hits() -> Self {
        Self { parser: LineParser::default(), _row: PhantomData }
    }
}

impl Nginx<Access> {
    /// All fields.
    pub fn accesses() -> Self {
        Self { parser: LineParser::default(), _row: PhantomData }
    }
}

impl<T> Clone for Nginx<T> {
    fn clone(&self) -> Self {
        Self { parser: self.parser.clone(), _row: PhantomData }
    }
}

impl<T: NginxRow> RowDecoder for Nginx<T> {
    type Row = T;

    fn describe(&self) -> String {
        "nginx".into()
    }

    fn decode(
        &mut self,
        records: &BatchRecords<'_>,
        rejects: &mut Rejects,
        out: &mut Rows<T>,
    ) -> Result<()> {
        records.try_for_each(|record| {
            let parsed = T::parse(&mut self.parser, record.value.unwrap_or_default());
            match parsed {
                Ok(row) => {
                    let time = row.time_ms();
                    out.push(row, time);
                    Ok(())
                }
                Err(error) => rejects.reject(record, error),
            }
        })
    }
}

/// A record's value is a line of an access log, of which some fields become columns.
///
/// If the column `time` is among them it is the event time column.
#[derive(Debug)]
pub struct NginxFields {
    names: Vec<String>,
    columns: NginxColumns,
}

impl NginxFields {
    /// The fields of these names, in this order; [`NginxColumns`] lists what there is.
    ///
    /// # Errors
    /// [`UnknownColumn`] if an access log has no field of one of the names.
    pub fn new(names: &[&str]) -> Result<Self, UnknownColumn> {
        let columns = NginxColumns::new(names)?;
        Ok(Self { names: names.iter().map(|name| (*name).to_owned()).collect(), columns })
    }
}

impl Clone for NginxFields {
    fn clone(&self) -> Self {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        Self::new(&names).expect("the names were checked when the original was made")
    }
}

impl ColumnDecoder for NginxFields {
    fn describe(&self) -> String {
        format!("nginx columns {}", self.names.join(", "))
    }

    fn decode(&mut self, records: &BatchRecords<'_>, rejects: &mut Rejects) -> Result<()> {
        records.try_for_each(|record| match self.columns.push(record.value.unwrap_or_default()) {
            Ok(()) => Ok(()),
            Err(error) => rejects.reject(record, error),
        })
    }

    fn len(&self) -> usize {
        self.columns.len()
    }

    fn finish(&mut self) -> Columns {
        let batch = self.columns.finish();
        Columns {
            batch,
            time_column: self.names.iter().position(|name| name == "time"),
            weight_column: None,
        }
    }
}
