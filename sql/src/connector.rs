//! Connectors: where a table's rows come from and go to, by `'connector' = ...`.
//!
//! | connector | file | source | sink |
//! |---|---|---|---|
//! | `riverrun` (`kafka`, `upsert-kafka`) | `connector/topic.rs` | a topic of the log, of records or columns | append, upsert or changelog, exactly once |
//! | `filesystem` | `connector/filesystem.rs` | files of a folder | append, exactly once |
//! | `socket` | `connector/socket.rs` | lines of a TCP service | |
//! | `datagen` | `connector/datagen.rs` | made-up rows | |
//! | `print` | `connector/print.rs` | | everything |
//! | `blackhole` | `connector/blackhole.rs` | | everything |
//!
//! `connector/options.rs` reads a table's options: one that the connector does not know is an error that suggests the nearest it knows.
//! `connector/format.rs` makes a format of them.
//!
//! [`validate`] says at `CREATE TABLE` whether the options make sense; [`source`] and [`sink`] add to a job what reads and writes the
//! table. A planner asks [`sink_mode`] first whether the table can take what it has.

mod blackhole;
mod datagen;
mod filesystem;
mod format;
mod options;
mod print;
mod socket;
mod topic;

use std::collections::{BTreeMap, BTreeSet};

use arrow_schema::SchemaRef;
use datafusion::logical_expr::Expr;
use riverrun_dataflow::{Columns, DataStream, Environment, Resources};
use riverrun_operators::format::table::sql_type;
use riverrun_operators::{Start, Wanted};

use self::options::Options;
use crate::catalog::{ColumnKind, Table};
use crate::plan::Needs;
use crate::{Error, Result};

/// How a table is to be scanned, beside what its own options say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScanOptions {
    /// The table's present end is its end.
    pub bounded: bool,
    /// Where reading begins, in place of what the table says.
    pub start: Option<Start>,
    /// Only these records are needed: others may be left out, and are where that saves work.
    pub records: Wanted,
    /// Conditions on the columns by which the table is `PARTITIONED`: files of other folders may be left out.
    pub folders: Vec<Expr>,
    /// Of columns that hold rows, by their position in the table: the fields that are needed. The others are null where that saves work.
    pub fields: BTreeMap<usize, BTreeSet<String>>,
}

impl ScanOptions {
    /// A scan of no more than what is needed, by the positions of a relation's columns, which are the table's source columns.
    pub(crate) fn needing(needs: &Needs, table: &Table, bounded: bool) -> Self {
        let read = table.source_columns();
        let fields = needs.fields.iter();
        let fields = fields.filter_map(|(at, fields)| Some((*read.get(*at)?, fields.clone())));
        Self {
            bounded,
            start: None,
            records: needs.records.clone(),
            folders: needs.folders.clone(),
            fields: fields.collect(),
        }
    }
}

/// A table's rows in a job.
pub struct SourceStream {
    /// Batches of the columns that were asked for, in that order; then the weights if there are some.
    pub stream: DataStream<Columns>,
    /// Rows have weights.
    pub retracts: bool,
    /// The positions, among the columns that were asked for, of the primary key by which a row replaces the earlier one: rows of weight +1
    /// are to be taken for upserts, and those of weight -1 (with nulls in all other columns) for the removal of whatever row the
    /// key has. What comes next has to make changes of them; rows of one key come from one partition, in order.
    pub upsert: Option<Vec<usize>>,
    /// Number of subtasks that read.
    pub parallelism: u32,
    /// The stream has an end.
    pub bounded: bool,
}

/// What a table takes as a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinkMode {
    /// Rows that stay.
    Append,
    /// Rows that replace the earlier one of their key, and removals: the positions of the key among the columns that the sink takes.
    /// For each key at most one row may stay, and changes of one key must come in order.
    Upsert {
        /// Positions of the primary key.
        key: Vec<usize>,
    },
    /// Any changes.
    Changelog,
}

/// What a sink is going to get.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SinkInput {
    /// Rows can be taken back.
    pub retracts: bool,
    /// The columns by which the rows are known to be unique, if they are.
    pub upsert_key: Option<Vec<usize>>,
}

/// The connector of a table.
#[derive(Clone, Copy)]
enum Connector {
    Topic,
    Filesystem,
    Socket,
    Datagen,
    Print,
    Blackhole,
}

const CONNECTORS: [(&str, Connector); 8] = [
    ("riverrun", Connector::Topic),
    ("kafka", Connector::Topic),
    ("upsert-kafka", Connector::Topic),
    ("filesystem", Connector::Filesystem),
    ("socket", Connector::Socket),
    ("datagen", Connector::Datagen),
    ("print", Connector::Print),
    ("blackhole", Connector::Blackhole),
];

fn connector(table: &Table) -> Result<Connector> {
    let names = || CONNECTORS.map(|(name, _)| name).join(", ");
    let Some(name) = table.option("connector") else {
        return Err(Error::invalid(format!(
            "table `{}` does not say where its rows are: add 'connector' = one of {}",
            table.name,
            names()
        )));
    };
    let found = CONNECTORS.iter().find(|(known, _)| *known == name);
    found.map(|(_, connector)| *connector).ok_or_else(|| {
        let nearest = crate::catalog::nearest(name, CONNECTORS.iter().map(|(known, _)| *known));
        let hint = nearest.map(|n| format!("; did you mean '{n}'?")).unwrap_or_default();
        Error::invalid(format!(
            "table `{}`: there is no connector '{name}', only {}{hint}",
            table.name,
            names()
        ))
    })
}

/// Whether a table's options, columns and connector fit each other.
///
/// # Errors
/// [`Error::Invalid`] naming the table, the option or column, and the remedy.
pub fn validate(table: &Table) -> Result<()> {
    let options = Options::new(table);
    let connector = connector(table)?;
    if !table.partitioned_by.is_empty() && !matches!(connector, Connector::Filesystem) {
        return Err(options.wrong(
            "PARTITIONED BY is for 'connector' = 'filesystem'; how many partitions a topic has is the option 'sink.partitions'",
        ));
    }
    match connector {
        Connector::Topic => topic::TopicTable::of(table).map(|_| ()),
        Connector::Filesystem => filesystem::FileTable::of(table).map(|_| ()),
        Connector::Socket => socket::SocketTable::of(table).map(|_| ()),
        Connector::Datagen => datagen::DatagenTable::of(table).map(|_| ()),
        Connector::Print => print::PrintTable::of(table).map(|_| ()),
        Connector::Blackhole => blackhole::check(options),
    }
}

/// Adds a table's rows to a job: the columns at these positions of the table, physical or metadata, in this order.
///
/// Of a table whose rows replace each other ([`SourceStream::upsert`]) the primary key must be among them.
///
/// # Errors
/// [`Error::Invalid`] as [`validate`], and for a connector that has no rows to read.
pub fn source(
    env: &Environment,
    table: &Table,
    columns: &[usize],
    scan: &ScanOptions,
) -> Result<SourceStream> {
    let computed = |at: &&usize| matches!(table.columns[**at].kind, ColumnKind::Computed { .. });
    if let Some(at) = columns.iter().find(computed) {
        return Err(Error::invalid(format!(
            "column `{}` of table `{}` is computed: it is not read",
            table.columns[*at].name, table.name
        )));
    }
    match connector(table)? {
        Connector::Topic => topic::TopicTable::of(table)?.source(env, columns, scan),
        Connector::Filesystem => filesystem::FileTable::of(table)?.source(env, columns, scan),
        Connector::Socket => socket::SocketTable::of(table)?.source(env, columns, scan),
        Connector::Datagen => datagen::DatagenTable::of(table)?.source(env, columns, scan),
        Connector::Print | Connector::Blackhole => Err(Error::invalid(format!(
            "table `{}` cannot be read: its connector '{}' only takes rows",
            table.name,
            table.option("connector").unwrap_or_default()
        ))),
    }
}

/// What a table takes as a sink.
///
/// # Errors
/// [`Error::Invalid`] as [`validate`], and [`Error::Refused`] for a connector that takes no rows.
pub fn sink_mode(table: &Table) -> Result<SinkMode> {
    match connector(table)? {
        Connector::Topic => topic::TopicTable::of(table)?.sink_mode(),
        Connector::Filesystem => Ok(filesystem::FileTable::of(table)?.sink_mode()),
        Connector::Print | Connector::Blackhole => Ok(SinkMode::Changelog),
        Connector::Socket | Connector::Datagen => Err(read_only(table)),
    }
}

/// Settings of a topic whose records replace each other. The segment that is written to is never compacted, so it is kept small: what the topic
/// takes stays in proportion to the rows that there are.
pub(crate) const COMPACTED: [(&str, &str); 3] = [
    ("cleanup.policy", "compact"),
    ("segment.bytes", "16777216"),
    ("max.compaction.lag.ms", "3600000"),
];

/// The option that says how long a looked up table is taken to be as it was.
const LOOKUP_REFRESH: &str = "lookup.cache.ttl";

/// Whether a table can be read to its present end.
///
/// # Errors
/// [`Error::Invalid`] if it has no connector that is known.
pub fn has_present_end(table: &Table) -> Result<bool> {
    Ok(matches!(connector(table)?, Connector::Topic | Connector::Filesystem))
}

/// How long a looked up table is to be taken to be as it was, if it says so.
///
/// # Errors
/// [`Error::Invalid`] if that is no duration.
pub fn lookup_refresh(table: &Table) -> Result<Option<std::time::Duration>> {
    Options::new(table).duration(LOOKUP_REFRESH)
}

/// Something that is different when a table's rows are; `None` if that cannot be told without reading them.
///
/// # Errors
/// [`Error::Io`] if the table cannot be looked at.
pub fn present_version(table: &Table) -> Result<Option<u64>> {
    match connector(table)? {
        Connector::Filesystem => filesystem::FileTable::of(table)?.present_version().map(Some),
        _ => Ok(None),
    }
}

/// The columns to read for those at these positions: they themselves, then what is missing of the key by which the table's rows replace
/// each other, if they do.
pub(crate) fn columns_to_read(table: &Table, columns: &[usize]) -> Vec<usize> {
    let mut read = columns.to_vec();
    if matches!(sink_mode(table), Ok(SinkMode::Upsert { .. })) {
        let key = table.primary_key.iter().filter_map(|name| table.position(name));
        read.extend(key.filter(|at| !columns.contains(at)));
    }
    read
}

/// Of the records that a query needs, those that a scan can be told to keep to.
pub(crate) fn records_to_read(table: &Table, needed: Wanted) -> Wanted {
    match sink_mode(table) {
        Ok(SinkMode::Append) => needed,
        // What an earlier record says must be known even if it is too old to be asked for; but all of a key are in one partition.
        Ok(_) => Wanted { partitions: needed.partitions, ..Wanted::default() },
        Err(_) => Wanted::default(),
    }
}

fn read_only(table: &Table) -> Error {
    Error::Refused(format!(
        "table `{}` takes no rows: its connector '{}' is only for reading",
        table.name,
        table.option("connector").unwrap_or_default()
    ))
}

/// Whether these columns of a table can be read as it is now: whether its topic is there, and holds them.
///
/// # Errors
/// [`Error::Invalid`] saying what is missing or does not fit, and what to do about it.
pub fn check_source(table: &Table, columns: &[usize], resources: &Resources) -> Result<()> {
    match connector(table)? {
        Connector::Topic => topic::TopicTable::of(table)?.check(columns, resources),
        _ => Ok(()),
    }
}

/// Makes what a table's rows are written to, if it can and must be made: its topic. Who reads the table finds it there before the
/// first row was written.
///
/// # Errors
/// [`Error::Invalid`] saying why if the topic is there and takes other rows.
pub fn make(table: &Table, resources: &Resources) -> Result<()> {
    match connector(table)? {
        Connector::Topic => topic::TopicTable::of(table)?.make(resources),
        _ => Ok(()),
    }
}

/// Ends a stream in a table. The stream's columns are `schema`: those of [`Table::sink_schema`], in that order, then the weights if there
/// are some.
///
/// # Errors
/// [`Error::Invalid`] as [`validate`]; [`Error::Refused`] if the table cannot take what comes, saying why.
pub fn sink(
    stream: &DataStream<Columns>,
    table: &Table,
    schema: &SchemaRef,
    input: &SinkInput,
) -> Result<()> {
    check_schema(table, schema)?;
    if input.retracts && sink_mode(table)? == SinkMode::Append {
        return Err(Error::Refused(format!(
            "the query takes rows back that it has given, and table `{}` only takes rows that stay: {}, or write to a \
             table with 'format' = 'debezium-json'",
            table.name,
            match table.option("format") {
                Some("arrow") => "set 'changelog.mode' = 'all'",
                _ => "declare a PRIMARY KEY",
            }
        )));
    }
    match connector(table)? {
        Connector::Topic => topic::TopicTable::of(table)?.sink(stream),
        Connector::Filesystem => filesystem::FileTable::of(table)?.sink(stream),
        Connector::Print => print::PrintTable::of(table).map(|print| print.sink(stream)),
        Connector::Blackhole => {
            blackhole::check(Options::new(table))?;
            blackhole::sink(stream);
            Ok(())
        }
        Connector::Socket | Connector::Datagen => Err(read_only(table)),
    }
}

/// The rows that come must have the columns that the table takes.
fn check_schema(table: &Table, schema: &SchemaRef) -> Result<()> {
    let takes = table.sink_schema();
    let types = |schema: &SchemaRef| {
        let types = schema.fields().iter().map(|field| sql_type(field.data_type()));
        types.collect::<Vec<_>>().join(", ")
    };
    let fits = takes.fields().len() == schema.fields().len()
        && takes
            .fields()
            .iter()
            .zip(schema.fields())
            .all(|(takes, comes)| takes.data_type().equals_datatype(comes.data_type()));
    if fits {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "table `{}` takes ({}), and the rows are ({})",
        table.name,
        types(&takes),
        types(schema)
    )))
}

/// Metadata that only topics have.
fn no_metadata(table: &Table) -> Result<()> {
    let metadata = |kind: &ColumnKind| matches!(kind, ColumnKind::Metadata { .. });
    match table.columns.iter().find(|column| metadata(&column.kind)) {
        None => Ok(()),
        Some(column) => Err(Error::invalid(format!(
            "column `{}` of table `{}` is METADATA, which the connector '{}' does not have",
            column.name,
            table.name,
            table.option("connector").unwrap_or_default()
        ))),
    }
}

#[cfg(test)]
mod tests;
