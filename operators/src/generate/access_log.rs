//! The lines of an access log.

use std::fmt;
use std::str::FromStr;

use super::draw::{Draws, Zipf};
use super::vocabulary::{Requests, Strings, private_addresses, public_addresses, user_agents};
use crate::nginx::time::write_time;

/// What a generated log looks like.
#[derive(Debug, Clone, PartialEq)]
pub struct GeneratorOptions {
    /// The same seed (and the same other options) gives the same lines.
    pub seed: u64,
    /// How many clients there are; at least one.
    pub ips: u32,
    /// How unequal the clients are: the *k*-th most active one asks in proportion to `1 / k^zipf_exponent`. 0: all equal.
    pub zipf_exponent: f64,
    /// Lines per second of event time; at least one.
    pub lines_per_second: u64,
    /// How far, in milliseconds, a line may lie behind the ones before it. 0: in order.
    pub out_of_orderness_ms: u64,
    /// When the log begins, in milliseconds since 1970-01-01T00:00:00Z. (The first lines may lie out of order, before it.) Kept
    /// within the years 0 to 9999.
    pub start_ms: i64,
    /// How a line looks.
    pub format: LineFormat,
}

impl Default for GeneratorOptions {
    fn default() -> GeneratorOptions {
        GeneratorOptions {
            seed: 0,
            ips: 10_000,
            zipf_exponent: 1.0,
            lines_per_second: 1000,
            out_of_orderness_ms: 0,
            start_ms: 1_431_856_800_000,
            format: LineFormat::Combined,
        }
    }
}

/// Clients ask several times in a row, for a page and what belongs to it: each stretch of so many lines ...
const VISIT_LINES: u64 = 64;
/// ... is made by so many visitors, each of them drawn anew.
const VISITORS: u64 = 16;

/// The years that a timestamp has room for.
const EARLIEST_MS: i64 = -62_167_219_200_000;
const LATEST_MS: i64 = 253_402_300_799_000;

/// How a generated line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineFormat {
    /// nginx's combined format, about 215 bytes a line.
    Combined,
    /// Time of day and address, `14:37:11 192.168.1.3`.
    TimeIp,
}

/// A name that is no line format's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown line format {0:?}: it is either `combined` or `time-ip`")]
pub struct UnknownFormat(String);

impl FromStr for LineFormat {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<LineFormat, UnknownFormat> {
        match name {
            "combined" => Ok(LineFormat::Combined),
            "time-ip" => Ok(LineFormat::TimeIp),
            other => Err(UnknownFormat(other.to_owned())),
        }
    }
}

impl fmt::Display for LineFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LineFormat::Combined => "combined",
            LineFormat::TimeIp => "time-ip",
        })
    }
}

/// The truth about one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// Which client: its rank, 0 for the most active one. See [`AccessLogGenerator::ip`].
    pub client: u32,
    /// When, in milliseconds since 1970-01-01T00:00:00Z. A line shows whole seconds only, so this is a whole second.
    pub time_ms: i64,
}

/// Generates the lines of an access log.
///
/// ```
/// use riverrun_operators::generate::{AccessLogGenerator, GeneratorOptions};
///
/// let mut generator = AccessLogGenerator::new(GeneratorOptions { seed: 7, ..Default::default() });
/// let truth = generator.event(0);
/// let mut line = Vec::new();
/// generator.next_line(&mut line);
/// let access = riverrun_operators::nginx::parse(&line)?;
/// assert_eq!(access.host, generator.ip(truth.client).as_bytes());
/// assert_eq!(access.time_ms, truth.time_ms);
/// # Ok::<(), riverrun_operators::nginx::NginxError>(())
/// ```
pub struct AccessLogGenerator {
    options: GeneratorOptions,
    clients: Zipf,
    addresses: Strings,
    agents: Strings,
    requests: Requests,
    next: u64,
    day: i64,
    /// `17/May/2015:`, the start of the timestamps of `day`.
    date: Vec<u8>,
}

impl AccessLogGenerator {
    /// A generator that stands at line 0.
    pub fn new(options: GeneratorOptions) -> AccessLogGenerator {
        let options = GeneratorOptions {
            ips: options.ips.max(1),
            lines_per_second: options.lines_per_second.max(1),
            start_ms: options.start_ms.clamp(EARLIEST_MS, LATEST_MS),
            ..options
        };
        AccessLogGenerator {
            clients: Zipf::new(options.ips, options.zipf_exponent),
            addresses: match options.format {
                LineFormat::Combined => public_addresses(options.seed, options.ips),
                LineFormat::TimeIp => private_addresses(options.ips),
            },
            agents: user_agents(options.seed),
            requests: Requests::new(options.seed),
            next: 0,
            day: i64::MIN,
            date: Vec::new(),
            options,
        }
    }

    /// The options, as they are in effect.
    pub fn options(&self) -> &GeneratorOptions {
        &self.options
    }

    /// The index of the next line.
    pub fn position(&self) -> u64 {
        self.next
    }

    /// Goes on, or back, to the line with this index.
    pub fn seek(&mut self, index: u64) {
        self.next = index;
    }

    /// The truth about the line with this index.
    pub fn event(&self, index: u64) -> Event {
        self.draw_event(index, &mut Draws::new(self.options.seed, index))
    }

    /// The address of a client.
    ///
    /// # Panics
    /// If there are not that many clients.
    pub fn ip(&self, client: u32) -> &str {
        std::str::from_utf8(self.addresses.get(client as usize)).expect("addresses are ASCII")
    }

    /// Appends the next line, without a newline, and says what is true of it.
    pub fn next_line(&mut self, out: &mut Vec<u8>) -> Event {
        let mut draws = Draws::new(self.options.seed, self.next);
        let event = self.draw_event(self.next, &mut draws);
        self.next += 1;
        let second = event.time_ms.div_euclid(1000);
        let address = self.addresses.get(event.client as usize);
        match self.options.format {
            LineFormat::TimeIp => {
                out.extend_from_slice(&time_of_day(second));
                out.push(b' ');
                out.extend_from_slice(address);
            }
            LineFormat::Combined => {
                let day = second.div_euclid(86_400);
                if day != self.day {
                    self.date.clear();
                    write_time(event.time_ms, 0, &mut self.date);
                    self.date.truncate(12);
                    self.day = day;
                }
                let exchange = self.requests.draw(&mut draws);
                // A client keeps its user agent.
                let agent =
                    event.client.wrapping_mul(0x9e37_79b1) as u64 * self.agents.len() as u64;
                out.reserve(512);
                out.extend_from_slice(address);
                out.extend_from_slice(b" - - [");
                out.extend_from_slice(&self.date);
                out.extend_from_slice(&time_of_day(second));
                out.extend_from_slice(b" +0000] ");
                out.extend_from_slice(exchange.head);
                write_number(exchange.size, out);
                out.extend_from_slice(b" \"");
                out.extend_from_slice(exchange.referer);
                out.push(b'"');
                out.extend_from_slice(self.agents.get((agent >> 32) as usize));
            }
        }
        event
    }

    #[inline]
    fn draw_event(&self, index: u64, draws: &mut Draws) -> Event {
        let visit = index / VISIT_LINES * VISITORS + draws.below(VISITORS);
        let client = self.clients.draw(&mut Draws::new(!self.options.seed, visit));
        let rate = self.options.lines_per_second;
        let elapsed =
            (index / rate).saturating_mul(1000).saturating_add(index % rate * 1000 / rate);
        let elapsed = elapsed.min(2 * LATEST_MS as u64) as i64;
        let behind = match self.options.out_of_orderness_ms {
            0 => 0,
            most => draws.below(most.min(LATEST_MS as u64) + 1) as i64,
        };
        let time_ms = (self.options.start_ms + elapsed - behind).clamp(EARLIEST_MS, LATEST_MS);
        Event { client, time_ms: time_ms - time_ms.rem_euclid(1000) }
    }
}

impl fmt::Debug for AccessLogGenerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessLogGenerator")
            .field("options", &self.options)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

/// `10:05:03`
#[inline]
fn time_of_day(second: i64) -> [u8; 8] {
    let second = second.rem_euclid(86_400) as u32;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let digit = |n: u32| b'0' + (n % 10) as u8;
    [
        digit(hour / 10),
        digit(hour),
        b':',
        digit(minute / 10),
        digit(minute),
        b':',
        digit(second / 10),
        digit(second),
    ]
}

#[inline]
fn write_number(mut number: u32, out: &mut Vec<u8>) {
    let mut digits = [0; 10];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}
