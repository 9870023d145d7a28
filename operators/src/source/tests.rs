//! Sources as a subtask drives them.

use std::io::Write;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use riverrun_dataflow::{
    ManualClock, NO_TIMESTAMP, OperatorContext, RestoredState, Source, SourceEvent, SplitIndex,
    SplitStatus, testing,
};

use super::collection::CollectionSource;
use super::file::FileSource;
use super::generator::{GeneratorInput, GeneratorSource, RowByRow};
use super::socket::{SocketInput, SocketSource};
use super::*;

/// Remembers that it was woken, and can be waited for.
#[derive(Default)]
pub(super) struct Woken {
    yes: Mutex<bool>,
    changed: Condvar,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        *self.yes.lock().unwrap() = true;
        self.changed.notify_all();
    }
}

impl Woken {
    pub(super) fn wait(&self) {
        let mut woken = self.changed.wait_while(self.yes.lock().unwrap(), |yes| !*yes).unwrap();
        *woken = false;
    }
    pub(super) fn take(&self) -> bool {
        std::mem::take(&mut *self.yes.lock().unwrap())
    }
}

/// What a source said.
#[derive(Debug, PartialEq)]
pub(super) enum Said<T> {
    Rows(SplitIndex, Vec<(T, Timestamp)>),
    Split(SplitIndex, SplitStatus),
    End,
}

/// A source with its surroundings.
pub(super) struct Driven<S> {
    pub source: S,
    pub woken: Arc<Woken>,
}

impl<S: Source> Driven<S> {
    pub(super) fn open(source: S, restored: Option<RestoredState>) -> Self {
        Self::open_as(source, restored, |_| {})
    }

    pub(super) fn open_as(
        mut source: S,
        restored: Option<RestoredState>,
        change: impl FnOnce(&mut OperatorContext),
    ) -> Self {
        let mut context = testing::context(Arc::<ManualClock>::default(), Arc::default());
        change(&mut context);
        source.open(&context, restored).unwrap();
        Self { source, woken: Arc::default() }
    }

    pub(super) fn next<T: Record>(&mut self) -> Poll<Said<T>> {
        let waker = Waker::from(self.woken.clone());
        self.source.poll(&mut Context::from_waker(&waker)).map(|event| match event.unwrap() {
            SourceEvent::Batch(batch) => {
                let split = batch.split.unwrap();
                let rows = batch.into_rows::<T>("test").unwrap();
                assert!(!rows.is_empty());
                Said::Rows(split, rows.values.into_iter().zip(rows.timestamps).collect())
            }
            SourceEvent::Split(split, status) => Said::Split(split, status),
            SourceEvent::End => Said::End,
        })
    }

    /// Everything until there is nothing now, or no more ever.
    pub(super) fn all<T: Record>(&mut self) -> Vec<Said<T>> {
        let mut said = Vec::new();
        while let Poll::Ready(next) = self.next() {
            let end = matches!(next, Said::End);
            said.push(next);
            if end {
                break;
            }
        }
        said
    }

    /// All rows until the end, with waits in between.
    pub(super) fn rows_to_end<T: Record>(&mut self) -> Vec<T> {
        let mut rows = Vec::new();
        loop {
            match self.next() {
                Poll::Ready(Said::Rows(_, more)) => rows.extend(more.into_iter().map(|(r, _)| r)),
                Poll::Ready(Said::Split(..)) => {}
                Poll::Ready(Said::End) => return rows,
                Poll::Pending => self.woken.wait(),
            }
        }
    }

    pub(super) fn state(&mut self) -> RestoredState {
        RestoredState { positions: self.source.snapshot().unwrap(), ..RestoredState::default() }
    }
}

/// The rows among what was said.
pub(super) fn rows<T>(said: Vec<Said<T>>) -> Vec<T> {
    said.into_iter()
        .filter_map(|said| match said {
            Said::Rows(_, rows) => Some(rows.into_iter().map(|(row, _)| row)),
            _ => None,
        })
        .flatten()
        .collect()
}

#[test]
fn a_collection_goes_on_where_it_was() {
    let all: Vec<(u32, Timestamp)> = (0..2500).map(|n| (n, i64::from(n) - 5)).collect();
    let mut first = Driven::open(CollectionSource::new(all.clone()), None);
    assert_eq!(first.next::<u32>(), Poll::Ready(Said::Split(0, SplitStatus::Active)));
    assert_eq!(first.next(), Poll::Ready(Said::Rows(0, all[..1024].to_vec())));
    let state = first.state();
    let mut second = Driven::open(CollectionSource::new(all), Some(state));
    assert_eq!(rows(second.all::<u32>()), (1024..2500).collect::<Vec<_>>());
}

#[test]
fn a_generators_splits_make_each_row_once_at_any_parallelism() {
    let row = |n: u64| (n, n as i64);
    let make = || GeneratorSource::new(GeneratorInput::bounded(10_001).splits(3), RowByRow(row));
    let mut whole = Vec::new();
    let mut positions = std::collections::BTreeMap::new();
    let mut before = Driven::open(make(), None);
    while whole.len() < 5000 {
        if let Poll::Ready(Said::Rows(_, rows)) = before.next::<u64>() {
            whole.extend(rows.into_iter().map(|(row, _)| row));
        }
    }
    positions.extend(before.source.snapshot().unwrap());
    for index in 0..2 {
        let state = RestoredState { positions: positions.clone(), ..RestoredState::default() };
        let mut after = Driven::open_as(make(), Some(state), |context| {
            context.parallelism = 2;
            context.subtask.index = index;
        });
        whole.extend(rows(after.all::<u64>()));
    }
    whole.sort_unstable();
    assert_eq!(whole, (0..10_001).collect::<Vec<_>>());
}

#[test]
fn a_generator_keeps_to_its_rate() {
    let clock = Arc::new(ManualClock::new(1_000));
    let input = GeneratorInput::endless().rate(100).splits(1);
    let mut source = Driven::open_as(
        GeneratorSource::new(input, RowByRow(|n| (n, NO_TIMESTAMP))),
        None,
        |context| context.clock = clock.clone(),
    );
    assert!(rows(source.all::<u64>()).is_empty());
    clock.set(1_050);
    assert_eq!(rows(source.all::<u64>()), [0, 1, 2, 3, 4]);
    clock.set(2_000);
    assert_eq!(rows(source.all::<u64>()).len(), 95);
    source.woken.wait();
}

#[test]
fn files_go_on_at_the_byte_plain_or_compressed() {
    let dir = tempfile::tempdir().unwrap();
    let text: String = (0..40_000).map(|n| format!("line number {n}, {}\n", n * 7)).collect();
    let text = text + "without a newline";
    let plain = dir.path().join("a.log");
    std::fs::write(&plain, &text).unwrap();
    let packed = dir.path().join("b.log.gz");
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(text.as_bytes()).unwrap();
    std::fs::write(&packed, writer.finish().unwrap()).unwrap();

    let lines: Vec<Line> = text.lines().map(Line::from).collect();
    for path in [plain, packed] {
        let mut whole = Vec::new();
        let mut state = None;
        // A new source after each batch: every position that there is.
        loop {
            let mut source =
                Driven::open(FileSource::new(vec![path.clone()], LineRows::default()), state);
            let more = loop {
                match source.next::<Line>() {
                    Poll::Ready(Said::Rows(0, rows)) => break rows,
                    Poll::Ready(Said::End) => break Vec::new(),
                    _ => {}
                }
            };
            if more.is_empty() {
                break;
            }
            whole.extend(more.into_iter().map(|(line, _)| line));
            state = Some(source.state());
        }
        assert!(whole == lines, "{} lines of {}", whole.len(), lines.len());
    }
}

#[test]
fn files_follow_one_another_and_hold_back_time_only_while_they_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let paths: Vec<_> = ["a", "b"].map(|name| dir.path().join(name)).into();
    std::fs::write(&paths[0], "1\r\n2\n").unwrap();
    std::fs::write(&paths[1], "").unwrap();
    let mut source = Driven::open(FileSource::new(paths.clone(), LineRows::default()), None);
    let line = |text: &str| (Line::from(text), NO_TIMESTAMP);
    let expected = [
        Said::Split(0, SplitStatus::Active),
        Said::Rows(0, vec![line("1"), line("2")]),
        Said::Split(1, SplitStatus::Active),
        Said::Split(0, SplitStatus::Finished),
        Said::Split(1, SplitStatus::Finished),
        Said::End,
    ];
    assert_eq!(source.all::<Line>(), expected);

    let state = source.state();
    std::fs::write(&paths[0], "1").unwrap();
    let mut changed = FileSource::new(paths, LineRows::default());
    let context = testing::context(Arc::<ManualClock>::default(), Arc::default());
    changed.open(&context, Some(state)).unwrap();
    let mut context = Context::from_waker(Waker::noop());
    assert!(matches!(changed.poll(&mut context), Poll::Ready(Ok(SourceEvent::Split(..)))));
    let Poll::Ready(Err(error)) = changed.poll(&mut context) else { panic!("it is another file") };
    assert!(error.to_string().contains("it is another file now"), "{error}");
}

#[test]
fn a_socket_is_connected_to_again_and_half_lines_are_dropped() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut source =
        Driven::open(SocketSource::new(SocketInput::new(address), LineRows::default()), None);
    assert_eq!(source.next::<Line>(), Poll::Ready(Said::Split(0, SplitStatus::Active)));
    for (sent, expected) in [("one\ntwo\nha", vec!["one", "two"]), ("three\r\n", vec!["three"])] {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(sent.as_bytes()).unwrap();
        let mut got = Vec::new();
        while got.len() < expected.len() {
            match source.next::<Line>() {
                Poll::Ready(Said::Rows(0, rows)) => {
                    got.extend(rows.into_iter().map(|(line, _)| line.to_string()));
                }
                Poll::Pending => source.woken.wait(),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(got, expected);
    }
    source.source.close().unwrap();
}

#[test]
fn a_socket_may_end_with_its_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let input = SocketInput::new(listener.local_addr().unwrap().to_string()).until_closed();
    let mut source = Driven::open(SocketSource::new(input, LineRows::default()), None);
    let lines: String = (0..5000).map(|n| format!("{n}\n")).collect();
    let done = Arc::new(AtomicBool::new(false));
    let service = {
        let (done, lines) = (done.clone(), lines.clone());
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(lines.as_bytes()).unwrap();
            done.store(true, Ordering::SeqCst);
        })
    };
    let got: Vec<String> = source.rows_to_end::<Line>().iter().map(Line::to_string).collect();
    assert!(got.iter().map(String::as_str).eq(lines.lines()));
    service.join().unwrap();
    source.source.close().unwrap();
}

mod columns {
    use arrow_array::cast::AsArray;
    use arrow_array::types::Int64Type;
    use arrow_schema::{DataType, Field};
    use riverrun_dataflow::Resources;

    use super::*;
    use crate::format::OnError;
    use crate::format::table::*;
    use crate::source::lines::LineColumns;

    fn target(on_error: OnError) -> LineColumns<TableDecoder> {
        let field = Arc::new(Field::new("n", DataType::Int64, false));
        let layout = TableLayout {
            format: TableFormat::Csv(CsvOptions::default()),
            fields: vec![field.clone()],
            key: None,
            columns: vec![LayoutColumn { field, origin: Origin::Value(0) }],
            upsert: false,
        };
        LineColumns::new(TableDecoder::new(layout).unwrap(), on_error, &Resources::default())
            .unwrap()
    }

    /// All numbers to the end, or the first error.
    fn numbers<S: Source>(
        driven: &mut Driven<S>,
        batches: usize,
    ) -> riverrun_dataflow::Result<Vec<i64>> {
        let mut numbers = Vec::new();
        let mut left = batches;
        while left > 0 {
            let waker = Waker::from(driven.woken.clone());
            match driven.source.poll(&mut Context::from_waker(&waker)) {
                Poll::Pending => driven.woken.wait(),
                Poll::Ready(event) => match event? {
                    SourceEvent::Batch(batch) => {
                        let columns = batch.into_columns("test")?.batch;
                        numbers.extend(columns.column(0).as_primitive::<Int64Type>().values());
                        left -= 1;
                    }
                    SourceEvent::Split(..) => {}
                    SourceEvent::End => break,
                },
            }
        }
        Ok(numbers)
    }

    /// More than a piece of a file, with a broken line here and there: what is left of it after a stop is what was not read before.
    #[test]
    fn lines_of_files_become_columns_and_go_on_where_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("numbers");
        let text: String = (0..200_000)
            .map(|n| if n % 1000 == 7 { "x\n".to_owned() } else { format!("{n}\n") })
            .collect();
        std::fs::write(&path, &text).unwrap();
        let paths = vec![path.clone()];
        let expected: Vec<i64> = (0..200_000).filter(|n| n % 1000 != 7).collect();
        let mut first = Driven::open(FileSource::new(paths.clone(), target(OnError::Skip)), None);
        let mut read = numbers(&mut first, 1).unwrap();
        let state = first.state();
        let mut second =
            Driven::open(FileSource::new(paths.clone(), target(OnError::Skip)), Some(state));
        read.extend(numbers(&mut second, usize::MAX).unwrap());
        assert_eq!(read, expected);
        let mut strict = Driven::open(FileSource::new(paths, target(OnError::Fail)), None);
        let error = numbers(&mut strict, usize::MAX).unwrap_err().to_string();
        let at = text.find('x').unwrap();
        assert_eq!(
            error,
            format!("{}@{at}: field `n`: expected BIGINT, found \"x\"", path.display())
        );
    }

    #[test]
    fn lines_of_a_socket_become_columns() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let service = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"1\n2\nx\n3\n").unwrap();
        });
        let input = SocketInput::new(address).until_closed();
        let mut source = Driven::open(SocketSource::new(input, target(OnError::Skip)), None);
        assert_eq!(numbers(&mut source, usize::MAX).unwrap(), [1, 2, 3]);
        source.source.close().unwrap();
        service.join().unwrap();
    }
}
