//! Lines of files.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use riverrun_dataflow::{
    Batch, Error, NO_TIMESTAMP, OperatorContext, OperatorMetrics, RestoredState, Result, Rows,
    Source, SourceEvent, SplitIndex, SplitStatus,
};

use crate::line::LineCutter;

/// Bytes read at once; their lines make a batch.
const PIECE: usize = 512 << 10;

/// Yields the lines of its share of a list of files.
pub(super) struct FileSource {
    paths: Vec<PathBuf>,
    files: Vec<OpenFile>,
    /// Index of the file that is being read.
    current: usize,
    events: VecDeque<SourceEvent>,
    operator: String,
    metrics: Option<Arc<OperatorMetrics>>,
}

struct OpenFile {
    index: SplitIndex,
    path: PathBuf,
    /// Bytes up to the end of the last line that was put out; of the text, for compressed files.
    position: u64,
    reader: Option<Box<dyn Read + Send>>,
    cutter: LineCutter,
}

impl FileSource {
    pub(super) fn new(paths: Vec<PathBuf>) -> Self {
        Self {
            paths,
            files: Vec::new(),
            current: 0,
            events: VecDeque::new(),
            operator: String::new(),
            metrics: None,
        }
    }
}

impl OpenFile {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        let mut file = File::open(&self.path)?;
        if self.path.extension().is_some_and(|extension| extension == "gz") {
            let mut text = MultiGzDecoder::new(io::BufReader::with_capacity(128 << 10, file));
            let skipped = io::copy(&mut text.by_ref().take(self.position), &mut io::sink())?;
            self.check(skipped)?;
            return Ok(Box::new(text));
        }
        self.check(file.metadata()?.len().min(self.position))?;
        file.seek(SeekFrom::Start(self.position))?;
        Ok(Box::new(file))
    }

    fn check(&self, there: u64) -> io::Result<()> {
        if there == self.position {
            return Ok(());
        }
        let reason = format!(
            "it has {there} bytes, but {} were read before: it is another file now",
            self.position
        );
        Err(io::Error::other(reason))
    }

    /// The next lines; `None` at the end.
    fn read(&mut self) -> io::Result<Option<(Rows<crate::Line>, usize)>> {
        if self.reader.is_none() {
            self.reader = Some(self.open()?);
        }
        let reader = self.reader.as_mut().expect("it was just opened");
        let mut piece = vec![0; PIECE];
        let mut filled = 0;
        while filled < piece.len() {
            match reader.read(&mut piece[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        piece.truncate(filled);
        let mut rows = Rows::with_capacity(filled / 128 + 1);
        let before = self.position;
        if filled == 0 {
            if let Some((line, bytes)) = self.cutter.finish() {
                self.position += bytes as u64;
                rows.push(line, NO_TIMESTAMP);
            }
            return Ok((!rows.is_empty()).then(|| (rows, (self.position - before) as usize)));
        }
        self.cutter.cut(&Bytes::from(piece), |line, bytes| {
            self.position += bytes as u64;
            rows.push(line, NO_TIMESTAMP);
        });
        Ok(Some((rows, filled)))
    }
}

impl Source for FileSource {
    fn open(&mut self, context: &OperatorContext, restored: Option<RestoredState>) -> Result<()> {
        self.operator.clone_from(&context.operator);
        self.metrics = Some(context.metrics.clone());
        let positions = restored.map(|state| state.positions).unwrap_or_default();
        let ours = |index: &usize| *index as u32 % context.parallelism == context.subtask.index;
        for index in (0..self.paths.len()).filter(ours) {
            let mut file = OpenFile {
                index: index as SplitIndex,
                path: self.paths[index].clone(),
                position: 0,
                reader: None,
                cutter: LineCutter::default(),
            };
            if let Some(bytes) = positions.get(&file.name()) {
                file.position = super::position(&self.operator, &file.name(), bytes)?;
            }
            self.files.push(file);
        }
        // Files are read one after the other, so a file holds back event time only while it is read.
        if let Some(first) = self.files.first() {
            self.events.push_back(SourceEvent::Split(first.index, SplitStatus::Active));
        }
        Ok(())
    }

    fn poll(&mut self, _context: &mut Context<'_>) -> Poll<Result<SourceEvent>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(Ok(event));
            }
            let Some(file) = self.files.get_mut(self.current) else {
                return Poll::Ready(Ok(SourceEvent::End));
            };
            match file.read() {
                Ok(Some((rows, read))) => {
                    if let Some(metrics) = &self.metrics {
                        OperatorMetrics::add(&metrics.bytes, read as u64);
                    }
                    if !rows.is_empty() {
                        let batch = Batch::rows(rows, Some(file.index));
                        return Poll::Ready(Ok(SourceEvent::Batch(batch)));
                    }
                }
                Ok(None) => {
                    file.reader = None;
                    let ended = file.index;
                    self.current += 1;
                    if let Some(next) = self.files.get(self.current) {
                        self.events.push_back(SourceEvent::Split(next.index, SplitStatus::Active));
                    }
                    self.events.push_back(SourceEvent::Split(ended, SplitStatus::Finished));
                }
                Err(error) => {
                    let what = format!("reading {}", file.name());
                    return Poll::Ready(Err(Error::io(what, error)));
                }
            }
        }
    }

    fn snapshot(&mut self) -> Result<BTreeMap<String, Vec<u8>>> {
        let encode =
            |file: &OpenFile| Ok((file.name(), super::encoded(&self.operator, &file.position)?));
        self.files.iter().map(encode).collect()
    }

    fn close(&mut self) -> Result<()> {
        self.files.clear();
        Ok(())
    }
}
