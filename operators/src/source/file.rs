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
    Error, OperatorContext, OperatorMetrics, RestoredState, Result, Source, SourceEvent,
    SplitIndex, SplitStatus,
};

use super::lines::LineTarget;
use crate::line::LineCutter;

/// Bytes read at once; their lines make a batch.
const PIECE: usize = 512 << 10;

/// Yields the lines of its share of a list of files.
pub(super) struct FileSource<T> {
    target: T,
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

impl<T: LineTarget> FileSource<T> {
    pub(super) fn new(paths: Vec<PathBuf>, target: T) -> Self {
        Self {
            target,
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

    /// Reads the next lines; says how many bytes they have, `None` at the end.
    fn read(&mut self, target: &mut impl LineTarget) -> io::Result<Option<usize>> {
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
        if filled == 0 {
            return Ok(self.cutter.finish().map(|(line, bytes)| {
                target.line(line, self.position);
                self.position += bytes as u64;
                bytes
            }));
        }
        self.cutter.cut(&Bytes::from(piece), |line, bytes| {
            target.line(line, self.position);
            self.position += bytes as u64;
        });
        Ok(Some(filled))
    }
}

impl<T: LineTarget> Source for FileSource<T> {
    fn open(&mut self, context: &OperatorContext, restored: Option<RestoredState>) -> Result<()> {
        self.operator.clone_from(&context.operator);
        self.metrics = Some(context.metrics.clone());
        self.target.open(context);
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
                return Poll::Ready(self.target.flush().map(|()| SourceEvent::End));
            };
            match file.read(&mut self.target) {
                Ok(Some(read)) => {
                    if let Some(metrics) = &self.metrics {
                        OperatorMetrics::add(&metrics.bytes, read as u64);
                    }
                    match self.target.finish(file.index, &file.name()) {
                        Ok(batch) if batch.is_empty() => {}
                        batch => return Poll::Ready(batch.map(SourceEvent::Batch)),
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
        self.target.flush()?;
        let encode =
            |file: &OpenFile| Ok((file.name(), super::encoded(&self.operator, &file.position)?));
        self.files.iter().map(encode).collect()
    }

    fn close(&mut self) -> Result<()> {
        self.files.clear();
        Ok(())
    }
}
