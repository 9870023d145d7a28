//! Sources: where a job's rows come from.
//!
//! | source | splits | position | after a restart |
//! |---|---|---|---|
//! | topic | its partitions | offset | goes on exactly there |
//! | files | the files | byte | goes on exactly there |
//! | generator | as many as it was built with | number of the next row | goes on exactly there |
//! | collection | one | index | goes on exactly there |
//! | socket | one | none | what was under way is lost: at most once |
//!
//! Only sources wait. A source that has nothing returns `Pending` and wakes its subtask when that changes: the topic source is
//! woken by the append itself, the socket's by the thread that reads it.

mod alarm;
mod collection;
mod file;
mod generator;
mod lines;
mod socket;
mod topic;

use std::path::PathBuf;

use riverrun_dataflow::{
    Columns, DataStream, Environment, OperatorKind, OperatorSpec, Record, Timestamp,
};

use self::lines::{LineColumns, LineRows};
use crate::Line;
use crate::format::{ColumnDecoder, DecodedColumns, DecodedRows, OnError, RowDecoder};

pub use generator::{GeneratorInput, Numbers};
pub use socket::SocketInput;
pub use topic::{End, Span, Start, TopicCheck, TopicInput, Wanted};

/// Adds sources to an [`Environment`].
///
/// ```
/// use riverrun_dataflow::Environment;
/// use riverrun_operators::{Sources, TopicInput, format::Lines};
///
/// let env = Environment::new("example");
/// let all = env.from_topic("nginx", Lines);
/// let what_is_there = env.from_topic(TopicInput::new("nginx").bounded(), Lines);
/// let numbers = env.from_collection(vec![1u64, 2, 3]);
/// ```
#[expect(
    clippy::wrong_self_convention,
    reason = "named as in Flink, where the environment is what is asked"
)]
pub trait Sources {
    /// Reads a topic's committed records as rows. See [`TopicInput`].
    fn from_topic<D: RowDecoder>(
        &self,
        input: impl Into<TopicInput>,
        format: D,
    ) -> DataStream<D::Row>;

    /// Reads a topic's committed records as columns. See [`TopicInput`].
    fn from_topic_columns<D: ColumnDecoder>(
        &self,
        input: impl Into<TopicInput>,
        format: D,
    ) -> DataStream<Columns>;

    /// Reads files, line by line; those whose name ends in `.gz` are decompressed. Ends with the last file.
    ///
    /// A file is a split, read by subtask (its place in the list) modulo parallelism. A line is what stands before a newline; a
    /// last line without one counts too. Files must not change while they are read.
    fn from_files<P: Into<PathBuf>>(&self, paths: impl IntoIterator<Item = P>) -> DataStream<Line>;

    /// Reads files, line by line, as columns. As [`Sources::from_files`]; `on_error` says what becomes of lines that cannot be decoded.
    fn from_files_columns<P: Into<PathBuf>, D: ColumnDecoder>(
        &self,
        paths: impl IntoIterator<Item = P>,
        format: D,
        on_error: OnError,
    ) -> DataStream<Columns>;

    /// Reads one file. As [`Sources::from_files`].
    fn from_file(&self, path: impl Into<PathBuf>) -> DataStream<Line> {
        self.from_files([path.into()])
    }

    /// Connects to `host:port` and reads lines. See [`SocketInput`].
    fn from_socket(&self, input: impl Into<SocketInput>) -> DataStream<Line>;

    /// Connects to `host:port` and reads lines as columns. See [`SocketInput`].
    fn from_socket_columns<D: ColumnDecoder>(
        &self,
        input: impl Into<SocketInput>,
        format: D,
        on_error: OnError,
    ) -> DataStream<Columns>;

    /// The rows of a collection, in order, without timestamps, in one subtask.
    fn from_collection<T: Record>(&self, rows: impl IntoIterator<Item = T>) -> DataStream<T>;

    /// The rows of a collection with their event timestamps, in order, in one subtask.
    fn from_timestamped<T: Record>(
        &self,
        rows: impl IntoIterator<Item = (T, Timestamp)>,
    ) -> DataStream<T>;

    /// Rows made by a function of their number, which must give the same row for the same number whenever it is asked. See
    /// [`GeneratorInput`].
    fn from_generator<T: Record>(
        &self,
        input: GeneratorInput,
        row: impl Fn(u64) -> (T, Timestamp) + Clone + Send + Sync + 'static,
    ) -> DataStream<T>;

    /// Columns made by a function of the numbers of their rows, and of the processing time. See [`GeneratorInput`]. `name` says what
    /// they are.
    fn from_generator_columns(
        &self,
        name: &str,
        input: GeneratorInput,
        columns: impl Fn(Numbers, Timestamp) -> Columns + Clone + Send + Sync + 'static,
    ) -> DataStream<Columns>;
}

fn spec(name: &str, description: impl Into<String>) -> OperatorSpec {
    OperatorSpec::new(name, OperatorKind::Source).described(description)
}

impl Sources for Environment {
    fn from_topic<D: RowDecoder>(
        &self,
        input: impl Into<TopicInput>,
        format: D,
    ) -> DataStream<D::Row> {
        let input = input.into();
        let description = input.describe(&format.describe());
        self.add_source(spec("topic", description), move |resources| {
            let decoder = DecodedRows::new(format.clone());
            Ok(Box::new(topic::TopicSource::new(input.clone(), decoder, resources)?))
        })
    }

    fn from_topic_columns<D: ColumnDecoder>(
        &self,
        input: impl Into<TopicInput>,
        format: D,
    ) -> DataStream<Columns> {
        let input = input.into();
        let description = input.describe(&format.describe());
        self.add_source(spec("topic", description), move |resources| {
            let decoder = DecodedColumns(format.clone());
            Ok(Box::new(topic::TopicSource::new(input.clone(), decoder, resources)?))
        })
    }

    fn from_files<P: Into<PathBuf>>(&self, paths: impl IntoIterator<Item = P>) -> DataStream<Line> {
        let paths: Vec<PathBuf> = paths.into_iter().map(Into::into).collect();
        self.add_source(spec("files", listed(&paths)), move |_| {
            Ok(Box::new(file::FileSource::new(paths.clone(), LineRows::default())))
        })
    }

    fn from_files_columns<P: Into<PathBuf>, D: ColumnDecoder>(
        &self,
        paths: impl IntoIterator<Item = P>,
        format: D,
        on_error: OnError,
    ) -> DataStream<Columns> {
        let paths: Vec<PathBuf> = paths.into_iter().map(Into::into).collect();
        let description = format!("{}, {}", listed(&paths), format.describe());
        self.add_source(spec("files", description), move |resources| {
            let target = LineColumns::new(format.clone(), on_error.clone(), resources)?;
            Ok(Box::new(file::FileSource::new(paths.clone(), target)))
        })
    }

    fn from_socket(&self, input: impl Into<SocketInput>) -> DataStream<Line> {
        let input = input.into();
        self.add_source(spec("socket", input.address()).single(), move |_| {
            Ok(Box::new(socket::SocketSource::new(input.clone(), LineRows::default())))
        })
    }

    fn from_socket_columns<D: ColumnDecoder>(
        &self,
        input: impl Into<SocketInput>,
        format: D,
        on_error: OnError,
    ) -> DataStream<Columns> {
        let input = input.into();
        let description = format!("{}, {}", input.address(), format.describe());
        self.add_source(spec("socket", description).single(), move |resources| {
            let target = LineColumns::new(format.clone(), on_error.clone(), resources)?;
            Ok(Box::new(socket::SocketSource::new(input.clone(), target)))
        })
    }

    fn from_collection<T: Record>(&self, rows: impl IntoIterator<Item = T>) -> DataStream<T> {
        self.from_timestamped(rows.into_iter().map(|row| (row, riverrun_dataflow::NO_TIMESTAMP)))
    }

    fn from_timestamped<T: Record>(
        &self,
        rows: impl IntoIterator<Item = (T, Timestamp)>,
    ) -> DataStream<T> {
        let rows: Vec<(T, Timestamp)> = rows.into_iter().collect();
        let description = format!("{} rows", rows.len());
        // A row need not be `Sync`: each subtask gets its own copy from behind the lock.
        let rows = std::sync::Mutex::new(rows);
        self.add_source(spec("collection", description).single(), move |_| {
            let rows = rows.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
            Ok(Box::new(collection::CollectionSource::new(rows)))
        })
    }

    fn from_generator<T: Record>(
        &self,
        input: GeneratorInput,
        row: impl Fn(u64) -> (T, Timestamp) + Clone + Send + Sync + 'static,
    ) -> DataStream<T> {
        let input = input.with_splits(self.parallelism());
        self.add_source(spec("generator", input.describe()), move |_| {
            let make = generator::RowByRow(row.clone());
            Ok(Box::new(generator::GeneratorSource::new(input.clone(), make)))
        })
    }

    fn from_generator_columns(
        &self,
        name: &str,
        input: GeneratorInput,
        columns: impl Fn(Numbers, Timestamp) -> Columns + Clone + Send + Sync + 'static,
    ) -> DataStream<Columns> {
        let input = input.with_splits(self.parallelism());
        let description = format!("{name}, {}", input.describe());
        self.add_source(spec("generator", description), move |_| {
            let make = generator::ByColumn(columns.clone());
            Ok(Box::new(generator::GeneratorSource::new(input.clone(), make)))
        })
    }
}

fn listed(paths: &[PathBuf]) -> String {
    match paths {
        [one] => one.display().to_string(),
        [first, rest @ ..] => format!("{} and {} more", first.display(), rest.len()),
        [] => "none".to_owned(),
    }
}

/// Decodes a position that a snapshot holds.
fn position<T: serde::de::DeserializeOwned>(
    operator: &str,
    split: &str,
    bytes: &[u8],
) -> riverrun_dataflow::Result<T> {
    riverrun_dataflow::codec::decode(bytes).map_err(|error| {
        riverrun_dataflow::Error::state(
            operator,
            format!("the position of {split} {error}; start the job anew, or from an older state"),
        )
    })
}

/// Encodes a position for a snapshot.
fn encoded<T: serde::Serialize>(
    operator: &str,
    position: &T,
) -> riverrun_dataflow::Result<Vec<u8>> {
    riverrun_dataflow::codec::encode(position)
        .map_err(|error| riverrun_dataflow::Error::state(operator, error))
}

#[cfg(test)]
mod tests;
