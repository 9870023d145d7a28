//! Sinks: where a job's results go.
//!
//! | sink | delivery |
//! |---|---|
//! | topic | exactly once: readers of committed records see every result of a committed checkpoint once, and no other |
//! | files | exactly once: a file has its final name when its checkpoint is committed |
//! | print | at least once: what was printed stays printed |
//! | discard | nothing is kept |
//!
//! An exactly-once sink *prepares* at the barrier: its output is durable, but hidden. The committed checkpoint lists
//! what was prepared, and a committer in the JobManager makes it visible; see [`riverrun_dataflow::Committer`].

mod change_print;
mod discard;
mod file;
mod print;
mod topic;

use std::fmt::Display;
use std::path::PathBuf;

use riverrun_dataflow::{Columns, DataStream, Environment, OperatorKind, OperatorSpec, Record};

use crate::format::{
    BatchEncoder, ColumnEncoder, EncodedColumns, EncodedRows, RowEncoder, ToLines,
};

pub use print::SharedWriter;
pub use topic::{Delivery, TopicOutput};

/// Adds sinks to a [`DataStream`] of rows.
///
/// ```
/// use riverrun_dataflow::Environment;
/// use riverrun_operators::{Sinks, Sources, format::ToJson};
///
/// let env = Environment::new("example");
/// let numbers = env.from_collection(vec![1u64, 2, 3]);
/// numbers.to_topic("numbers", ToJson::keyed_with(|n: &u64, key| key.extend_from_slice(n.to_string().as_bytes())));
/// numbers.print();
/// ```
pub trait Sinks<T: Record> {
    /// Writes to a topic, which is created if it does not exist. See [`TopicOutput`].
    fn to_topic<E: RowEncoder<T>>(
        &self,
        output: impl Into<TopicOutput>,
        encoder: E,
    ) -> DataStream<()>;

    /// Writes files into a folder, each record's value a line, exactly once.
    ///
    /// A subtask begins a new file after each checkpoint for which it had rows. Files that are being written, or wait for
    /// their checkpoint, begin with a dot; committed ones are called `part-<sink>-<run>-<subtask>-<number>` and never change.
    /// Several sinks may share a folder.
    fn to_files<E: RowEncoder<T>>(&self, folder: impl Into<PathBuf>, encoder: E) -> DataStream<()>;

    /// Writes files into a folder, each row's text a line. As [`Sinks::to_files`].
    fn to_text_files(&self, folder: impl Into<PathBuf>) -> DataStream<()>
    where
        T: Display,
    {
        self.to_files(folder, ToLines::default())
    }

    /// Prints rows to standard output. With a parallelism above 1, the number of the subtask, counted from 1, comes first: `3> row`.
    fn print(&self) -> DataStream<()>
    where
        T: Display;

    /// Prints rows to a writer; see [`Sinks::print`].
    fn print_to(&self, writer: SharedWriter) -> DataStream<()>
    where
        T: Display;
}

/// Adds sinks to a [`DataStream`] of columns.
pub trait ColumnSinks {
    /// Writes to a topic, which is created if it does not exist. See [`TopicOutput`].
    fn to_topic_columns<E: ColumnEncoder>(
        &self,
        output: impl Into<TopicOutput>,
        encoder: E,
    ) -> DataStream<()>;

    /// Writes files into a folder, each record's value a line, exactly once. As [`Sinks::to_files`]; keys and headers are left out, and a
    /// record without a value is an empty line.
    fn to_files_columns<E: ColumnEncoder>(
        &self,
        folder: impl Into<PathBuf>,
        encoder: E,
    ) -> DataStream<()>;

    /// As [`ColumnSinks::to_files_columns`], with rows spread over folders by the values of some columns, `dt=2015-07-15/hm=00%3A00`: the
    /// encoder writes these columns as the record's key, a JSON object.
    fn to_folders_columns<E: ColumnEncoder>(
        &self,
        folder: impl Into<PathBuf>,
        spread_by: Vec<String>,
        encoder: E,
    ) -> DataStream<()>;

    /// Prints changes, one a line, as Flink does: `+I[1, a]` for a row that is inserted, `-D[1, a]` for one that is taken back. First comes
    /// `identifier` unless it is empty, and with a parallelism above 1 the number of the subtask: `identifier:3> +I[1, a]`.
    fn print_columns(&self, writer: SharedWriter, identifier: &str) -> DataStream<()>;

    /// Throws everything away.
    fn discard(&self) -> DataStream<()>;
}

fn spec(name: &str, description: impl Into<String>) -> OperatorSpec {
    OperatorSpec::new(name, OperatorKind::Sink).described(description)
}

/// What tells a job's sink from every other sink on the same log or folder: the job's name, where it writes, and which of its
/// sinks with that aim it is. The same after a restart of the same program, as operators' ids are.
fn sink_key(env: &Environment, name: &str, aim: &str) -> String {
    // A graph that cannot be built yet has no such sink either.
    let operators = env.graph().map(|graph| graph.vertices).unwrap_or_default();
    let same = operators
        .iter()
        .flat_map(|vertex| &vertex.operators)
        .filter(|operator| {
            operator.name == name && operator.description.split(", ").next() == Some(aim)
        })
        .count();
    let escaped = |text: &str| text.replace('%', "%25").replace('/', "%2F");
    format!("{}/{}/{same}", escaped(&env.name()), escaped(aim))
}

impl<T: Record> Sinks<T> for DataStream<T> {
    fn to_topic<E: RowEncoder<T>>(
        &self,
        output: impl Into<TopicOutput>,
        encoder: E,
    ) -> DataStream<()> {
        let output = output.into();
        let description = output.describe(&encoder.describe());
        topic::add(self, output, description, move || EncodedRows::new(encoder.clone()))
    }

    fn to_files<E: RowEncoder<T>>(&self, folder: impl Into<PathBuf>, encoder: E) -> DataStream<()> {
        let description = encoder.describe();
        add_files(self, folder.into(), Vec::new(), description, move || {
            EncodedRows::<T, E>::new(encoder.clone())
        })
    }

    fn print(&self) -> DataStream<()>
    where
        T: Display,
    {
        self.print_to(SharedWriter::stdout())
    }

    fn print_to(&self, writer: SharedWriter) -> DataStream<()>
    where
        T: Display,
    {
        self.add_sink(spec("print", ""), move |_| {
            Ok(Box::new(print::PrintSink::<T>::new(writer.clone())))
        })
    }
}

impl ColumnSinks for DataStream<Columns> {
    fn to_topic_columns<E: ColumnEncoder>(
        &self,
        output: impl Into<TopicOutput>,
        encoder: E,
    ) -> DataStream<()> {
        let output = output.into();
        let description = output.describe(&encoder.describe());
        topic::add(self, output, description, move || EncodedColumns(encoder.clone()))
    }

    fn to_files_columns<E: ColumnEncoder>(
        &self,
        folder: impl Into<PathBuf>,
        encoder: E,
    ) -> DataStream<()> {
        self.to_folders_columns(folder, Vec::new(), encoder)
    }

    fn to_folders_columns<E: ColumnEncoder>(
        &self,
        folder: impl Into<PathBuf>,
        spread_by: Vec<String>,
        encoder: E,
    ) -> DataStream<()> {
        let description = encoder.describe();
        let encoder = move || EncodedColumns(encoder.clone());
        add_files(self, folder.into(), spread_by, description, encoder)
    }

    fn print_columns(&self, writer: SharedWriter, identifier: &str) -> DataStream<()> {
        let identifier = identifier.to_owned();
        self.add_sink(spec("print", identifier.as_str()), move |_| {
            let sink = change_print::ChangePrintSink::new(writer.clone(), identifier.clone());
            Ok(Box::new(sink))
        })
    }

    fn discard(&self) -> DataStream<()> {
        self.add_sink(spec("discard", ""), |_| Ok(Box::new(discard::Discard)))
    }
}

/// Ends a stream in files.
fn add_files<T, E: BatchEncoder + 'static>(
    stream: &DataStream<T>,
    folder: PathBuf,
    spread_by: Vec<String>,
    format: String,
    encoder: impl Fn() -> E + Send + Sync + 'static,
) -> DataStream<()> {
    let sink = sink_key(stream.environment(), "file sink", &folder.display().to_string());
    let (committed_in, committed_as) = (folder.clone(), sink.clone());
    stream.add_committing_sink(
        spec("file sink", format!("{}, {format}", folder.display())),
        move |_| {
            let spread_by = spread_by.clone();
            Ok(Box::new(file::FileSink::new(folder.clone(), &sink, spread_by, encoder())))
        },
        move |_| Ok(Box::new(file::FileCommitter::new(committed_in.clone(), &committed_as))),
    )
}

#[cfg(test)]
mod tests;
