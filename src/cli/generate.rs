//! `riverrun generate`: made-up data.

pub(super) mod nexmark;

use std::io::{BufWriter, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use riverrun_dataflow::Clock;
use riverrun_operators::generate::{AccessLogGenerator, GeneratorOptions, LineFormat};

use crate::embedded::MachineClock;

/// What can be generated.
#[derive(clap::Subcommand)]
pub(super) enum Generate {
    /// Lines of an access log
    AccessLog(AccessLog),
    /// Events of the Nexmark benchmark: people, auctions and bids
    Nexmark(nexmark::Nexmark),
}

impl Generate {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::AccessLog(command) => command.run(),
            Self::Nexmark(command) => command.run(),
        }
    }
}

/// Options of `generate access-log`.
#[derive(clap::Args)]
pub(super) struct AccessLog {
    /// How a line looks: `combined` (nginx) or `time-ip` (`14:37:11 192.168.1.3`)
    #[arg(long, default_value = "combined", value_name = "FORMAT")]
    format: LineFormat,
    /// Be a line service: every client that connects gets lines until it goes away
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "output")]
    serve: Option<String>,
    /// Write to this file instead of standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// How many lines [default: without end with --rate or --serve, else 10000]
    #[arg(long, value_name = "N")]
    lines: Option<u64>,
    /// Lines per second, as time goes by [default: as fast as possible; 10 with --serve]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    rate: Option<u64>,
    /// Lines per second of event time, if they are not written at a --rate
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    event_rate: u64,
    /// The same seed gives the same lines
    #[arg(long, default_value_t = 0, value_name = "S")]
    seed: u64,
    /// How many clients there are
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    ips: Option<u32>,
    /// How far lines may lie behind the ones before, e.g. 59s
    #[arg(long, value_name = "DURATION", value_parser = crate::parse_duration)]
    out_of_orderness: Option<Duration>,
}

impl AccessLog {
    fn run(self) -> anyhow::Result<()> {
        if let Some(address) = &self.serve {
            return self.serve(address);
        }
        match &self.output {
            Some(path) => {
                let file = std::fs::File::create(path)
                    .with_context(|| format!("cannot write {}", path.display()))?;
                self.write(file, self.rate)
                    .with_context(|| format!("cannot write {}", path.display()))
            }
            None => Ok(self.write(std::io::stdout().lock(), self.rate)?),
        }
    }

    /// Lines that are written as time goes by bear the time of day; the others begin at a fixed time, so that the same
    /// seed gives the same bytes.
    fn generator(&self, rate: Option<u64>) -> AccessLogGenerator {
        let defaults = GeneratorOptions::default();
        let demo_ips = if self.format == LineFormat::TimeIp { 10 } else { defaults.ips };
        AccessLogGenerator::new(GeneratorOptions {
            seed: self.seed,
            ips: self.ips.unwrap_or(demo_ips),
            lines_per_second: rate.unwrap_or(self.event_rate),
            out_of_orderness_ms: self.out_of_orderness.map_or(0, |d| d.as_millis() as u64),
            start_ms: if rate.is_some() { MachineClock.now() } else { defaults.start_ms },
            format: self.format,
            ..defaults
        })
    }

    fn write(&self, out: impl Write, rate: Option<u64>) -> std::io::Result<()> {
        let mut generator = self.generator(rate);
        let endless = rate.is_some();
        let lines = self.lines.unwrap_or(if endless { u64::MAX } else { 10_000 });
        let mut out = BufWriter::with_capacity(1 << 16, out);
        let mut line = Vec::with_capacity(512);
        let mut pace = rate.map(Pace::new);
        for _ in 0..lines {
            if let Some(pace) = &mut pace
                && pace.must_wait()
            {
                out.flush()?;
                pace.wait();
            }
            line.clear();
            generator.next_line(&mut line);
            if line.last() != Some(&b'\n') {
                line.push(b'\n');
            }
            out.write_all(&line)?;
        }
        out.flush()
    }

    fn serve(&self, address: &str) -> anyhow::Result<()> {
        let listener = TcpListener::bind(address).with_context(|| {
            format!("cannot listen on {address}: is the port taken? name another HOST:PORT")
        })?;
        let rate = self.rate.unwrap_or(10);
        eprintln!("serving {} lines a second on {}", rate, listener.local_addr()?);
        std::thread::scope(|scope| {
            for stream in listener.incoming() {
                let stream: TcpStream = stream.context("cannot accept a connection")?;
                scope.spawn(move || {
                    let peer = stream
                        .peer_addr()
                        .map_or_else(|_| "a client".to_owned(), |p| p.to_string());
                    eprintln!("{peer} connected");
                    // A client that goes away is how a service is left.
                    match self.write(stream, Some(rate)) {
                        Ok(()) => eprintln!("{peer} has all lines"),
                        Err(_) => eprintln!("{peer} went away"),
                    }
                });
            }
            Ok(())
        })
    }
}

/// Spreads lines over time: line i is due i/rate seconds after the first.
struct Pace {
    rate: u64,
    begun: Instant,
    sent: u64,
}

#[expect(clippy::disallowed_methods, reason = "the edge: lines at a rate of real time")]
impl Pace {
    fn new(rate: u64) -> Self {
        Self { rate, begun: Instant::now(), sent: 0 }
    }

    fn due(&self) -> Duration {
        Duration::from_secs_f64(self.sent as f64 / self.rate as f64)
    }

    /// Counts a line, and tells whether it is early.
    fn must_wait(&mut self) -> bool {
        let early = self.begun.elapsed() < self.due();
        self.sent += 1;
        early
    }

    fn wait(&self) {
        let due = Duration::from_secs_f64((self.sent - 1) as f64 / self.rate as f64);
        if let Some(left) = due.checked_sub(self.begun.elapsed()) {
            std::thread::sleep(left);
        }
    }
}
