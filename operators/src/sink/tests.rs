//! Sinks that need no log.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

use riverrun_dataflow::testing::Harness;
use riverrun_dataflow::{Batch, Committer, Operator, OperatorContext, Output, Rows, SnapshotKind};

use super::file::{FileCommitter, FileSink};
use super::print::PrintSink;
use super::*;
use crate::Sources;
use crate::format::RecordOut;

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Lets a test say which subtask an operator is.
struct As<O>(O, u32, u32);

impl<O: Operator> Operator for As<O> {
    fn open(&mut self, context: &OperatorContext) -> Result<(), riverrun_dataflow::Error> {
        let mut context = context.clone();
        (context.subtask.index, context.parallelism) = (self.1, self.2);
        self.0.open(&context)
    }
    fn process(
        &mut self,
        input: usize,
        batch: Batch,
        out: &mut dyn Output,
    ) -> riverrun_dataflow::Result<()> {
        self.0.process(input, batch, out)
    }
}

#[test]
fn printed_rows_tell_their_subtask_if_there_are_several() {
    for (index, parallelism, expected) in [(0, 1, "7\n8\n"), (2, 4, "3> 7\n3> 8\n")] {
        let written = Shared::default();
        let sink = PrintSink::<u32>::new(SharedWriter::new(written.clone()));
        let mut harness = Harness::open(As(sink, index, parallelism)).unwrap();
        harness.process([(7u32, 0), (8, 0)]).unwrap();
        assert_eq!(String::from_utf8_lossy(&written.0.lock().unwrap()), expected);
    }
}

type TestSink = FileSink<EncodedRows<u32, ToLines>>;

fn sink(folder: &Path) -> Harness<TestSink> {
    named_sink(folder, "job/out/0")
}

fn named_sink(folder: &Path, name: &str) -> Harness<TestSink> {
    let encoder = EncodedRows::new(ToLines::default());
    Harness::open(FileSink::new(folder.to_owned(), name, Vec::new(), encoder)).unwrap()
}

fn write(sink: &mut Harness<TestSink>, rows: std::ops::Range<u32>) {
    let mut batch = Rows::default();
    rows.for_each(|row| batch.push(row, 0));
    let batch = Batch::rows(batch, None);
    sink.operator.process(0, batch, &mut sink.out).unwrap();
}

fn prepare(sink: &mut Harness<TestSink>) -> Vec<Vec<u8>> {
    sink.snapshot(SnapshotKind::Full).unwrap().prepared
}

/// Visible lines, by file.
fn visible(folder: &Path) -> BTreeMap<String, String> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()))
        .filter(|(name, _)| !name.starts_with('.'))
        .map(|(name, path)| (name, std::fs::read_to_string(path).unwrap()))
        .collect()
}

#[test]
fn files_appear_with_their_checkpoint_and_only_then() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("out");
    let mut committer = FileCommitter::new(folder.clone(), "job/out/0");
    committer.recover(1, &[]).unwrap();
    let mut first = sink(&folder);
    write(&mut first, 0..2);
    let one = prepare(&mut first);
    assert_eq!((one.len(), visible(&folder).len()), (1, 0));
    // The next epoch begins before the first is committed; the first checkpoint is given up.
    write(&mut first, 2..3);
    let two = prepare(&mut first);
    assert_eq!(two.len(), 2, "what was not committed is prepared again");
    committer.commit(&two).unwrap();
    committer.commit(&two).unwrap();
    assert_eq!(visible(&folder).into_values().collect::<String>(), "0\n1\n2\n");
    first.operator.on_checkpoint_complete(2).unwrap();
    assert!(prepare(&mut first).is_empty(), "no rows, no file");

    // A crash after the third record was written, before its commit; with the fourth under way.
    write(&mut first, 3..4);
    let three = prepare(&mut first);
    write(&mut first, 4..5);
    let four = prepare(&mut first);
    assert_eq!(four.len(), 2);
    write(&mut first, 5..6);
    drop(first);
    FileCommitter::new(folder.clone(), "job/out/0").recover(1, &three).unwrap();
    assert_eq!(visible(&folder).into_values().collect::<String>(), "0\n1\n2\n3\n");
    let files = std::fs::read_dir(&folder).unwrap().count();
    assert_eq!(files, visible(&folder).len(), "leftovers are gone");

    // The same run tries again: its file names go on.
    let mut again = sink(&folder);
    write(&mut again, 4..5);
    let four = prepare(&mut again);
    committer.commit(&four).unwrap();
    assert_eq!(visible(&folder).into_values().collect::<String>(), "0\n1\n2\n3\n4\n");
    write(&mut again, 9..10);
    again.operator.close().unwrap();
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), visible(&folder).len());
}

#[test]
fn sinks_that_share_a_folder_leave_each_others_files_alone() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let (mut one, mut other) = (named_sink(folder, "job/out/0"), named_sink(folder, "job/out/1"));
    write(&mut one, 0..1);
    write(&mut other, 7..8);
    let (first, second) = (prepare(&mut one), prepare(&mut other));
    FileCommitter::new(folder.to_owned(), "job/out/0").recover(2, &first).unwrap();
    FileCommitter::new(folder.to_owned(), "job/out/1").recover(2, &second).unwrap();
    let mut lines: Vec<String> = visible(folder).into_values().collect();
    lines.sort();
    assert_eq!(lines, ["0\n", "7\n"]);
}

#[test]
fn sinks_of_a_job_are_told_apart() {
    let env = Environment::new("a/b");
    let numbers = env.from_collection([1u32]);
    assert_eq!(sink_key(&env, "topic sink", "out"), "a%2Fb/out/0");
    numbers.to_topic("out", ToLines::default());
    numbers.to_topic("other", ToLines::default());
    assert_eq!(sink_key(&env, "topic sink", "out"), "a%2Fb/out/1");
    assert_eq!(sink_key(&env, "topic sink", "out2"), "a%2Fb/out2/0");
    let graph = env.graph().unwrap();
    assert!(graph.vertices.iter().any(|v| v.name.contains("topic sink")), "{graph:?}");
}

#[test]
fn changes_are_printed_as_flink_prints_them() {
    use arrow_array::{ArrayRef, Int64Array, RecordBatch};
    use riverrun_dataflow::Columns;

    use super::change_print::ChangePrintSink;
    use crate::format::table::WEIGHT;

    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from(vec![Some(1), None, Some(3)]))),
        ("name", Arc::new(arrow_array::StringArray::from(vec!["a", "b, c", "d"]))),
        ("at", Arc::new(arrow_array::TimestampMillisecondArray::from(vec![0, 1_500, 0]))),
        (WEIGHT, Arc::new(Int64Array::from(vec![1, -1, 2]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let columns = Columns { batch, time_column: None, weight_column: Some(3) };
    let rows = [
        "+I[1, a, 1970-01-01T00:00:00]",
        "-D[null, b, c, 1970-01-01T00:00:01.5]",
        "+I[3, d, 1970-01-01T00:00:00]",
        "+I[3, d, 1970-01-01T00:00:00]",
    ];
    for (identifier, index, parallelism, prefix) in
        [("", 0, 1, ""), ("", 2, 4, "3> "), ("out", 0, 1, "out> "), ("out", 2, 4, "out:3> ")]
    {
        let written = Shared::default();
        let sink = ChangePrintSink::new(SharedWriter::new(written.clone()), identifier.to_owned());
        let mut harness = Harness::open(As(sink, index, parallelism)).unwrap();
        let batch = Batch::columns(columns.clone(), None);
        harness.operator.process(0, batch, &mut harness.out).unwrap();
        let expected: String = rows.iter().map(|row| format!("{prefix}{row}\n")).collect();
        assert_eq!(String::from_utf8_lossy(&written.0.lock().unwrap()), expected);
    }
}

/// Numbers as lines, with their tens and what is left of seven as the key.
#[derive(Clone)]
struct ByTens;

impl RowEncoder<u32> for ByTens {
    fn describe(&self) -> String {
        "by tens".to_owned()
    }

    fn encode(
        &mut self,
        rows: &Rows<u32>,
        out: &mut impl RecordOut,
    ) -> riverrun_dataflow::Result<()> {
        for (row, time) in rows.values.iter().zip(&rows.timestamps) {
            let key = format!(r#"{{"kind":"{}:{}","tens":{}}}"#, row % 7, 0, row / 10);
            out.push(*time, Some(key.as_bytes()), Some(row.to_string().as_bytes()))?;
        }
        Ok(())
    }
}

#[test]
fn rows_are_spread_over_folders_by_their_key() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, name) = (dir.path().join("out"), "job/out/0");
    let spread_by = vec!["tens".to_owned(), "kind".to_owned()];
    let open = || {
        let encoder = EncodedRows::new(ByTens);
        Harness::open(FileSink::new(folder.clone(), name, spread_by.clone(), encoder)).unwrap()
    };
    let write = |sink: &mut Harness<FileSink<EncodedRows<u32, ByTens>>>, from, to| {
        let mut batch = Rows::default();
        (from..to).for_each(|row: u32| batch.push(row, 0));
        sink.operator.process(0, Batch::rows(batch, None), &mut sink.out).unwrap();
    };
    let lines = || {
        let mut lines = BTreeMap::<String, Vec<u32>>::new();
        for file in super::file::files_below(&folder).unwrap() {
            if !file.file_name().unwrap().to_string_lossy().starts_with('.') {
                let below = file.parent().unwrap().strip_prefix(&folder).unwrap();
                let text = std::fs::read_to_string(&file).unwrap();
                let rows = text.lines().map(|line| line.parse::<u32>().unwrap());
                lines.entry(below.display().to_string()).or_default().extend(rows);
            }
        }
        lines
    };
    let mut committer = FileCommitter::new(folder.clone(), name);
    let mut sink = open();
    // More keys than files may be open at the same time, and again in the next epoch.
    write(&mut sink, 0, 200);
    write(&mut sink, 0, 200);
    let prepared = sink.snapshot(SnapshotKind::Full).unwrap().prepared;
    assert!(lines().is_empty(), "nothing is visible before its checkpoint is committed");
    committer.commit(&prepared).unwrap();
    write(&mut sink, 0, 10);
    drop(sink);
    committer.recover(2, &prepared).unwrap();

    let mut expected = BTreeMap::<String, Vec<u32>>::new();
    for row in (0..200).chain(0..200) {
        expected.entry(format!("tens={}/kind={}%3A0", row / 10, row % 7)).or_default().push(row);
    }
    let mut found = lines();
    found.values_mut().chain(expected.values_mut()).for_each(|rows| rows.sort_unstable());
    assert_eq!(found, expected);
    let leftovers = super::file::files_below(&folder).unwrap();
    let hidden = leftovers.iter().filter(|file| file.to_string_lossy().ends_with(".inprogress"));
    assert_eq!(hidden.count(), 0, "leftovers are gone");
}
