use std::collections::{HashMap, HashSet};

use super::access_log::*;
use super::draw::{Draws, Zipf};
use crate::nginx;

fn lines(options: &GeneratorOptions, count: usize) -> Vec<Vec<u8>> {
    let mut generator = AccessLogGenerator::new(options.clone());
    (0..count)
        .map(|_| {
            let mut line = Vec::new();
            generator.next_line(&mut line);
            line
        })
        .collect()
}

#[test]
fn same_seed_same_lines() {
    let options = GeneratorOptions { seed: 42, out_of_orderness_ms: 5000, ..Default::default() };
    let first = lines(&options, 2000);
    assert_eq!(first, lines(&options, 2000));
    let other = lines(&GeneratorOptions { seed: 43, ..options }, 2000);
    let same = first.iter().zip(&other).filter(|(a, b)| a == b).count();
    assert!(same < 20, "{same} of 2000 lines are the same for another seed");
}

#[test]
fn lines_never_change() {
    // Benchmarks and recorded results rely on it: a change of vocabulary or of draws is a change of all of them.
    let options = GeneratorOptions { seed: 1, ..Default::default() };
    let hash =
        lines(&options, 100).concat().iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
    assert_eq!(format!("{hash:016x}"), "87d760a2a4f1a1a5");
}

#[test]
fn every_line_parses_to_the_truth_about_it() {
    let options = GeneratorOptions {
        seed: 3,
        out_of_orderness_ms: 60_000,
        lines_per_second: 7,
        // So that the lines cross midnight and a month's end.
        start_ms: 1_709_250_900_000,
        ..Default::default()
    };
    let mut generator = AccessLogGenerator::new(options.clone());
    let (mut v6, mut bytes) = (0, 0);
    for (index, line) in lines(&options, 20_000).into_iter().enumerate() {
        let access = nginx::parse(&line).unwrap();
        let truth = generator.event(index as u64);
        assert_eq!(access.host, generator.ip(truth.client).as_bytes());
        assert_eq!(access.time_ms, truth.time_ms);
        let nominal = options.start_ms + (index as i64 * 1000) / 7;
        assert!((0..=61_000).contains(&(nominal - truth.time_ms)), "line {index}");
        let request = nginx::Request::split(access.request);
        assert!(!request.method.is_empty());
        v6 += usize::from(access.host.contains(&b':'));
        bytes += line.len();
    }
    assert!(v6 > 100, "{v6} lines from IPv6 addresses");
    let average = bytes / 20_000;
    assert!((200..=235).contains(&average), "{average} bytes a line");
    // Random access gives the same line as reading on to it.
    generator.seek(777);
    let mut line = Vec::new();
    assert_eq!(generator.next_line(&mut line), generator.event(777));
    assert_eq!(line, lines(&options, 778)[777]);
    assert_eq!(generator.position(), 778);
}

#[test]
fn clients_follow_the_zipf_distribution_and_come_back() {
    let generator = AccessLogGenerator::new(GeneratorOptions::default());
    let clients: Vec<u32> = (0..200_000).map(|index| generator.event(index).client).collect();
    let of_first = clients.iter().filter(|&&client| client == 0).count() as f64 / 200_000.0;
    // One in the 10,000th harmonic number; a visit is four lines on average, so one in 50,000 visits.
    assert!((of_first - 0.1022).abs() < 0.01, "{of_first}");
    let distinct = clients.iter().collect::<HashSet<_>>().len();
    assert!((6000..=10_000).contains(&distinct), "{distinct} of 10,000 clients");
    let back = clients.windows(64).filter(|lines| lines[1..].contains(&lines[0])).count();
    assert!(back > 150_000, "{back} of 200,000 lines are followed by another of the same client");
}

#[test]
fn addresses_are_distinct() {
    for format in [LineFormat::Combined, LineFormat::TimeIp] {
        let options = GeneratorOptions { ips: 70_000, format, ..Default::default() };
        let generator = AccessLogGenerator::new(options);
        let distinct: HashSet<&str> = (0..70_000).map(|client| generator.ip(client)).collect();
        assert_eq!(distinct.len(), 70_000);
        assert!(distinct.iter().all(|ip| ip.parse::<std::net::IpAddr>().is_ok()));
    }
}

#[test]
fn time_ip_lines() {
    let options = GeneratorOptions {
        format: LineFormat::TimeIp,
        ips: 3,
        start_ms: (14 * 3600 + 37 * 60 + 11) * 1000,
        ..Default::default()
    };
    for line in lines(&options, 100) {
        let text = std::str::from_utf8(&line).unwrap();
        let (time, ip) = text.split_once(' ').unwrap();
        assert_eq!(time, "14:37:11");
        assert!(["192.168.1.1", "192.168.1.2", "192.168.1.3"].contains(&ip), "{ip}");
    }
}

#[test]
fn extreme_options() {
    let options = GeneratorOptions {
        ips: 0,
        lines_per_second: 0,
        out_of_orderness_ms: u64::MAX,
        start_ms: i64::MIN,
        ..Default::default()
    };
    assert_eq!(lines(&options, 3).len(), 3);
}

#[test]
fn format_names() {
    for format in [LineFormat::Combined, LineFormat::TimeIp] {
        assert_eq!(format.to_string().parse(), Ok(format));
    }
    let error = "json".parse::<LineFormat>().unwrap_err().to_string();
    assert_eq!(error, "unknown line format \"json\": it is either `combined` or `time-ip`");
}

#[test]
fn zipf_draws_follow_the_weights() {
    for (n, exponent) in [(1, 1.0), (10, 0.0), (100, 1.0), (1000, 1.3)] {
        let zipf = Zipf::new(n, exponent);
        let mut draws = Draws::new(5, 5);
        let total = 200_000;
        let mut counts: HashMap<u32, u32> = HashMap::new();
        for _ in 0..total {
            *counts.entry(zipf.draw(&mut draws)).or_default() += 1;
        }
        let sum: f64 = (1..=n).map(|rank| f64::from(rank).powf(-exponent)).sum();
        for rank in 0..n.min(20) {
            let expected = f64::from(total) * f64::from(rank + 1).powf(-exponent) / sum;
            let found = f64::from(counts[&rank]);
            // Six standard deviations.
            assert!(
                (found - expected).abs() < 6.0 * expected.sqrt() + 1.0,
                "{n} {exponent} {rank}"
            );
        }
        assert!(counts.keys().all(|&rank| rank < n));
    }
}
