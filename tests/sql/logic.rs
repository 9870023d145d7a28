//! SQL logic tests: the files of `tests/sql/logic`, each a list of statements with what they answer, in batch mode, and in streaming mode at parallelism 1 and 3.
//!
//! A file holds for all modes; what holds for one stands behind `onlyif batch` or `onlyif streaming`. Beside what a file makes itself there is the table `bids`
//! (see [`bids`]), whose rows come out of order in several batches and have a watermark.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use riverrun_sql::catalog::{MemoryTable, WatermarkDefinition};
use riverrun_sql::session::{Outcome, Session};
use riverrun_sql::{Changes, Error};
use sqllogictest::{DB, DBOutput, DefaultColumnType, Runner};

use crate::kit::Cluster;

/// A session to which a test file talks.
struct Connection {
    session: Session,
    mode: &'static str,
}

impl Connection {
    fn open(mode: &'static str, parallelism: &str) -> Self {
        let engine = Cluster::engine();
        engine.register_memory("bids", bids());
        let mut session = Session::new(engine);
        session.settings_mut().set("execution.runtime-mode", mode).unwrap();
        session.settings_mut().set("parallelism.default", parallelism).unwrap();
        Self { session, mode }
    }
}

impl DB for Connection {
    type Error = Error;
    type ColumnType = DefaultColumnType;

    fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Error> {
        let mut output = DBOutput::StatementComplete(0);
        for parsed in self.session.statements(sql)? {
            output = match self.session.execute(&parsed)? {
                Outcome::Done(_) => DBOutput::StatementComplete(0),
                Outcome::Rows { schema, batches } => shown(&schema, &batches)?,
                Outcome::Query(query) => {
                    let schema = query.schema().clone();
                    shown(&schema, &[query.net()?])?
                }
                Outcome::Job { job, .. } => {
                    job.wait()?;
                    DBOutput::StatementComplete(0)
                }
            };
        }
        Ok(output)
    }

    fn engine_name(&self) -> &str {
        self.mode
    }
}

fn shown(
    schema: &SchemaRef,
    batches: &[RecordBatch],
) -> Result<DBOutput<DefaultColumnType>, Error> {
    let options = FormatOptions::new()
        .with_null("NULL")
        .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.3f"))
        .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.3fZ"));
    let types = schema.fields().iter().map(|field| match field.data_type() {
        one if one.is_integer() => DefaultColumnType::Integer,
        one if one.is_numeric() => DefaultColumnType::FloatingPoint,
        _ => DefaultColumnType::Text,
    });
    let mut rows = Vec::new();
    for batch in batches {
        let columns = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| Error::io("showing a result", error))?;
        for row in 0..batch.num_rows() {
            rows.push(columns.iter().map(|column| cell(&column.value(row).to_string())).collect());
        }
    }
    Ok(DBOutput::Rows { types: types.collect(), rows })
}

/// An empty text would not be seen between the others.
fn cell(text: &str) -> String {
    if text.is_empty() { "(empty)".to_owned() } else { text.to_owned() }
}

/// Bids (auction, bidder, price, ts), a minute long:
///
/// | auction | bidder | price | at second |
/// |---|---|---|---|
/// | 1 | ann | 10 | 1 |
/// | 1 | bob | 12 | 4 |
/// | 2 | ann | 7 | 3 |
/// | 2 | cid | 9 | 12 |
/// | 1 | cid | 20 | 17 |
/// | 3 | bob | 5 | 14 |
/// | 1 | ann | 21 | 31 |
/// | 3 | NULL | 6 | 58 |
fn bids() -> MemoryTable {
    let schema = Arc::new(Schema::new(vec![
        Field::new("auction", DataType::Int64, true),
        Field::new("bidder", DataType::Utf8, true),
        Field::new("price", DataType::Int64, true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), false),
    ]));
    type Bid = (i64, Option<&'static str>, i64, i64);
    let batch = |bids: &[Bid]| {
        let columns: Vec<arrow_array::ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(bids.iter().map(|bid| bid.0))),
            Arc::new(bids.iter().map(|bid| bid.1).collect::<StringArray>()),
            Arc::new(Int64Array::from_iter_values(bids.iter().map(|bid| bid.2))),
            Arc::new(TimestampMillisecondArray::from_iter_values(
                bids.iter().map(|bid| bid.3 * 1000),
            )),
        ];
        Changes::inserts(RecordBatch::try_new(schema.clone(), columns).unwrap())
    };
    MemoryTable {
        schema: schema.clone(),
        batches: vec![
            batch(&[(1, Some("ann"), 10, 1), (1, Some("bob"), 12, 4), (2, Some("ann"), 7, 3)]),
            batch(&[(2, Some("cid"), 9, 12), (1, Some("cid"), 20, 17), (3, Some("bob"), 5, 14)]),
            batch(&[(1, Some("ann"), 21, 31), (3, None, 6, 58)]),
        ],
        watermark: Some(WatermarkDefinition {
            column: "ts".to_owned(),
            expression: "ts - INTERVAL '5' SECOND".to_owned(),
        }),
    }
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sql/logic");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "slt"))
        .collect();
    files.sort();
    files
}

fn run(mode: &'static str, parallelism: &'static str) {
    let files = files();
    assert!(files.len() > 10, "the files are there");
    let mut failures = Vec::new();
    for file in files {
        let mut runner = Runner::new(|| async move { Ok(Connection::open(mode, parallelism)) });
        runner.with_column_validator(sqllogictest::strict_column_validator);
        if let Err(error) = runner.run_file(&file) {
            failures.push(error.to_string());
        }
    }
    assert!(failures.is_empty(), "{mode} at parallelism {parallelism}:\n{}", failures.join("\n"));
}

#[test]
fn files_hold_in_batch_mode() {
    run("batch", "1");
}

#[test]
fn files_hold_in_streaming_mode() {
    run("streaming", "1");
}

#[test]
fn files_hold_in_streaming_mode_in_parallel() {
    run("streaming", "3");
}

/// What only who knows the insides understands.
const INSIDES: [&str; 10] = [
    "DataFusion",
    "Arrow error",
    "Schema error",
    "Error during planning",
    "This feature is not implemented",
    "hysical plan",
    "Candidate functions",
    "Utf8",
    "Int64",
    "Timestamp(",
];

/// Each wrong statement is told what is wrong with it: the parts of `tests/sql/malformed.txt`, in both modes.
#[test]
fn wrong_statements_are_told_what_is_wrong() {
    let mut failures = Vec::new();
    let mut statements = 0;
    for mode in ["batch", "streaming"] {
        let mut connection = Connection::open(mode, "1");
        for line in include_str!("malformed.txt").lines().filter(|line| !line.starts_with('#')) {
            let (statement, told) =
                line.rsplit_once(" => ").expect("statement => part of an error");
            statements += 1;
            match connection.run(statement) {
                Ok(_) => failures.push(format!("{mode}: {statement}: no error")),
                Err(error) => {
                    // Whose fault the statement is, that it says where.
                    if error.position().is_none() && matches!(error, Error::Invalid { .. }) {
                        failures.push(format!("{mode}: {statement}: no place: {error}"));
                    }
                    let error = error.to_string();
                    if let Some(inside) = INSIDES.iter().find(|inside| error.contains(**inside)) {
                        failures.push(format!("{mode}: {statement}: says `{inside}`: {error}"));
                    }
                    if !told.split('|').any(|part| error.contains(part)) {
                        failures.push(format!("{mode}: {statement}: {error}"));
                    }
                }
            }
        }
    }
    assert!(statements >= 400, "{statements} statements");
    assert!(failures.is_empty(), "{} of {statements}:\n{}", failures.len(), failures.join("\n"));
}

/// Functions that the guide names: words in capitals before a parenthesis or alone, in the first column of its tables.
fn documented_functions() -> Vec<String> {
    let mut functions = Vec::new();
    for line in include_str!("../../docs/src/sql-functions.md").lines() {
        let line = line.replace("\\|", "");
        let Some(cell) = line.strip_prefix('|').and_then(|rest| rest.split('|').next()) else {
            continue;
        };
        for code in cell.split('`').skip(1).step_by(2) {
            let end = code.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let (name, rest) = code.split_at(end.unwrap_or(code.len()));
            let named = rest.is_empty() || rest.starts_with('(');
            let known = name.len() > 1 && name.chars().all(|c| !c.is_lowercase());
            if named && known && name.starts_with(|c: char| c.is_ascii_uppercase()) {
                functions.push(name.to_owned());
            }
        }
    }
    functions
}

#[test]
fn every_documented_function_is_asked_for_an_answer() {
    let functions = documented_functions();
    assert!(functions.len() > 150, "{} functions", functions.len());
    let mut asked = std::collections::HashSet::new();
    for file in files() {
        let text = std::fs::read_to_string(file).unwrap().to_uppercase();
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        asked.extend(words.map(str::to_owned));
    }
    let missing: Vec<_> = functions.iter().filter(|name| !asked.contains(*name)).collect();
    assert!(missing.is_empty(), "no file of tests/sql/logic uses {missing:?}");
}
