//! The tutorial: lines from a socket, counted per IP each five seconds, printed.
//!
//! ```text
//! cargo run -- generate access-log --format time-ip --serve 127.0.0.1:9999
//! nc localhost 9999                                     # shows lines such as: 14:37:11 192.168.1.3
//! cargo run --example socket_window_ip_count            # prints lines such as: 1> 18:40:10 192.168.1.2 23
//! ```
//!
//! The number in front is the subtask's. When the service goes away, the job waits and connects again.

use std::time::Duration;

use compact_str::CompactString;
use riverrun::prelude::*;

riverrun::main!(socket_window_ip_count);

/// Count lines per IP each few seconds from a line service.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The service
    #[arg(long, default_value = "localhost:9999", value_name = "HOST:PORT")]
    socket: String,
    /// Length of a window
    #[arg(long, default_value = "5s", value_parser = riverrun::parse_duration)]
    window: Duration,
    /// Subtasks that count
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=128))]
    counters: u32,
}

/// `14:37:11 192.168.1.3` -> the address.
fn ip_of(line: &str) -> Option<CompactString> {
    let (time, ip) = line.trim_end().split_once(' ')?;
    let is_time = time.len() == 8 && time.split(':').all(|part| part.parse::<u8>().is_ok());
    (is_time && !ip.is_empty() && !ip.contains(' ')).then(|| ip.into())
}

fn socket_window_ip_count(env: &Environment, options: Options) -> anyhow::Result<()> {
    let counters = options.counters.max(env.parallelism());
    env.from_socket(options.socket.as_str())
        .filter_map(|line| ip_of(&line.to_str_lossy()))
        .name("parse")
        .parallelism(1)
        .key_by(|ip: &CompactString| ip.clone())
        .key_name("ip")
        .window(TumblingWindows::of(options.window).processing_time())
        .count()
        .parallelism(counters)
        .map(|counted| {
            let end = counted.window.end.div_euclid(1000).rem_euclid(86_400);
            let (hours, minutes, seconds) = (end / 3600, end / 60 % 60, end % 60);
            format!("{hours:02}:{minutes:02}:{seconds:02} {} {}", counted.key, counted.value)
        })
        .parallelism(counters)
        .print()
        .parallelism(counters);
    Ok(())
}
