//! Lines of a TCP service.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Read};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use riverrun_dataflow::{
    Error, OperatorContext, OperatorMetrics, RestoredState, Result, Source, SourceEvent,
    SplitStatus,
};

use super::lines::LineTarget;
use crate::Line;
use crate::line::LineCutter;

/// Bytes read at once.
const PIECE: usize = 64 << 10;

/// Pieces that wait for the source; then the reading thread waits, and TCP makes the service wait.
const QUEUE: usize = 32;

/// A line longer than this is no line.
const MAX_LINE: usize = 16 << 20;

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Connects to a service that sends lines, each ended by a newline, and reads them in one subtask, without
/// timestamps.
///
/// When the service goes away it is connected to again, with growing waits from 100 ms to 5 s; what stands behind the last newline
/// is then dropped. A service cannot be asked to send again: rows that were read but not yet covered by
/// a checkpoint are lost in a restart (*at most once*). For anything that counts, ingest into a topic first.
#[derive(Debug, Clone)]
pub struct SocketInput {
    address: String,
    reconnect: bool,
}

impl SocketInput {
    /// Reads from `host:port`.
    pub fn new(address: impl Into<String>) -> Self {
        Self { address: address.into(), reconnect: true }
    }

    /// The stream ends when the service closes the connection. A service that cannot be reached at first is still waited for.
    pub fn until_closed(mut self) -> Self {
        self.reconnect = false;
        self
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }
}

impl From<&str> for SocketInput {
    fn from(address: &str) -> Self {
        Self::new(address)
    }
}

impl From<String> for SocketInput {
    fn from(address: String) -> Self {
        Self::new(address)
    }
}

/// Yields the lines that a thread reads from a socket.
pub(super) struct SocketSource<T> {
    input: SocketInput,
    target: T,
    /// Number of the next line.
    next: u64,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    announced: bool,
    metrics: Option<Arc<OperatorMetrics>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    lines: VecDeque<(Vec<Line>, usize)>,
    waker: Option<Waker>,
    /// To interrupt a read.
    stream: Option<TcpStream>,
    ended: bool,
    closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for as long as `while_` holds, at most `longest`. False if the source was closed.
    fn wait(&self, longest: Option<Duration>, while_: impl Fn(&State) -> bool) -> bool {
        let blocked = |state: &mut State| !state.closed && while_(state);
        let state = self.lock();
        let state = match longest {
            None => self.changed.wait_while(state, blocked).unwrap_or_else(PoisonError::into_inner),
            Some(longest) => {
                self.changed
                    .wait_timeout_while(state, longest, blocked)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
            }
        };
        !state.closed
    }

    /// Hands lines over; waits while there is no room. False if the source was closed.
    fn push(&self, lines: Vec<Line>, bytes: usize) -> bool {
        if !self.wait(None, |state| state.lines.len() >= QUEUE) {
            return false;
        }
        let mut state = self.lock();
        state.lines.push_back((lines, bytes));
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
        true
    }

    /// Connects and reads until the source is closed, or the service closes and that is the end.
    fn run(&self, input: &SocketInput) {
        let mut wait = FIRST_WAIT;
        loop {
            match connect(&input.address) {
                Ok(stream) => {
                    tracing::info!("connected to {}", input.address);
                    let Some(received) = self.read(stream, &input.address) else { return };
                    if !input.reconnect {
                        let mut state = self.lock();
                        state.ended = true;
                        if let Some(waker) = state.waker.take() {
                            waker.wake();
                        }
                        return;
                    }
                    if received {
                        wait = FIRST_WAIT;
                    }
                }
                Err(error) => tracing::warn!(
                    "cannot connect to {}: {error}; trying again in {wait:?}",
                    input.address
                ),
            }
            if !self.wait(Some(wait), |_| true) {
                return;
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// Reads until the service goes away. Says whether it sent something; `None` if the source was closed.
    fn read(&self, mut stream: TcpStream, address: &str) -> Option<bool> {
        {
            let mut state = self.lock();
            if state.closed {
                return None;
            }
            state.stream = stream.try_clone().ok();
        }
        let mut cutter = LineCutter::default();
        let mut buffer = vec![0; PIECE];
        let mut received = false;
        let reason = loop {
            match stream.read(&mut buffer) {
                Ok(0) => break "it closed the connection".to_owned(),
                Ok(read) => {
                    received = true;
                    let mut lines = Vec::new();
                    cutter
                        .cut(&Bytes::copy_from_slice(&buffer[..read]), |line, _| lines.push(line));
                    if !lines.is_empty() && !self.push(lines, read) {
                        return None;
                    }
                    if cutter.pending() > MAX_LINE {
                        break format!("it sent more than {MAX_LINE} bytes without a newline");
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break error.to_string(),
            }
        };
        if self.lock().closed {
            return None;
        }
        tracing::warn!("{address} went away: {reason}");
        Some(received)
    }
}

fn connect(address: &str) -> io::Result<TcpStream> {
    let mut failed = io::Error::other("the name has no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

impl<T: LineTarget> SocketSource<T> {
    pub(super) fn new(input: SocketInput, target: T) -> Self {
        Self {
            input,
            target,
            next: 0,
            shared: Arc::default(),
            thread: None,
            announced: false,
            metrics: None,
        }
    }
}

impl<T: LineTarget> Source for SocketSource<T> {
    fn open(&mut self, context: &OperatorContext, _restored: Option<RestoredState>) -> Result<()> {
        self.metrics = Some(context.metrics.clone());
        self.target.open(context);
        if context.subtask.index != 0 {
            self.shared.lock().ended = true;
            self.announced = true;
            return Ok(());
        }
        let (shared, input) = (self.shared.clone(), self.input.clone());
        let thread = std::thread::Builder::new()
            .name("socket-source".into())
            .spawn(move || shared.run(&input))
            .map_err(|error| Error::io(format!("reading {}", self.input.address), error))?;
        self.thread = Some(thread);
        Ok(())
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<SourceEvent>> {
        if !self.announced {
            self.announced = true;
            return Poll::Ready(Ok(SourceEvent::Split(0, SplitStatus::Active)));
        }
        loop {
            let mut state = self.shared.lock();
            let Some((lines, bytes)) = state.lines.pop_front() else {
                if state.ended {
                    drop(state);
                    return Poll::Ready(self.target.flush().map(|()| SourceEvent::End));
                }
                state.waker = Some(context.waker().clone());
                return Poll::Pending;
            };
            drop(state);
            self.shared.changed.notify_one();
            if let Some(metrics) = &self.metrics {
                OperatorMetrics::add(&metrics.bytes, bytes as u64);
            }
            for line in lines {
                self.target.line(line, self.next);
                self.next += 1;
            }
            match self.target.finish(0, &self.input.address) {
                Ok(batch) if batch.is_empty() => {}
                batch => return Poll::Ready(batch.map(SourceEvent::Batch)),
            }
        }
    }

    fn snapshot(&mut self) -> Result<BTreeMap<String, Vec<u8>>> {
        self.target.flush()?;
        Ok(BTreeMap::new())
    }

    fn close(&mut self) -> Result<()> {
        {
            let mut state = self.shared.lock();
            state.closed = true;
            if let Some(stream) = state.stream.take() {
                // It may be closed already.
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            return Err(Error::io(
                format!("reading {}", self.input.address),
                "its thread panicked",
            ));
        }
        Ok(())
    }
}
