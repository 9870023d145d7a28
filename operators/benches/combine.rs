//! Rows per second of the combiner, the hot loop of windowed counts, with the operators around it.
//!
//! `cargo bench -p riverrun-operators --bench combine`. Numbers are printed, nothing is asserted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use compact_str::{CompactString, format_compact};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use rand_distr::{Distribution, Zipf};
use riverrun_dataflow::testing::{Collected, context};
use riverrun_dataflow::{
    Batch, Error, OperatorKind, OperatorSpec, Resources, Rows, WatermarkFrontier,
};
use riverrun_operators::prelude::*;

const ROWS: usize = 10_000_000;
const BATCH: usize = 4096;

#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct Request {
    ip: CompactString,
    at: i64,
}

fn main() {
    for (name, addresses, per_ms, disorder) in [
        ("10,000 zipf addresses, in order, 100 rows/ms", 10_000, 100, 0),
        ("10,000 zipf addresses, 1 s out of order, 100 rows/ms", 10_000, 100, 1_000),
        ("10,000 zipf addresses, 59 s out of order, 1 row/ms", 10_000, 1, 59_000),
        ("100 zipf addresses, in order, 100 rows/ms", 100, 100, 0),
    ] {
        let batches = generate(addresses, per_ms, disorder);
        run(name, batches, disorder);
    }
}

fn generate(addresses: usize, per_ms: i64, disorder: i64) -> Vec<Batch> {
    let mut rng = SmallRng::seed_from_u64(7);
    let zipf = Zipf::new(addresses as f64, 1.0).expect("valid parameters");
    let ips: Vec<CompactString> = (0..addresses)
        .map(|n| format_compact!("{}.{}.{}.{}", 1 + n % 223, n / 223, n % 256, 1 + n % 254))
        .collect();
    let starts = (0..ROWS).step_by(BATCH);
    starts
        .map(|start| {
            let mut rows = Rows::with_capacity(BATCH);
            for n in start..(start + BATCH).min(ROWS) {
                let at = 1_700_000_000_000 + n as i64 / per_ms - rng.random_range(0..=disorder);
                let ip = ips[zipf.sample(&mut rng) as usize - 1].clone();
                rows.push(Request { ip, at }, at);
            }
            Batch::rows(rows, Some(0))
        })
        .collect()
}

fn run(name: &str, batches: Vec<Batch>, disorder: i64) {
    let env = Environment::new("bench");
    let requests: DataStream<Request> = env
        .add_source(OperatorSpec::new("source", OperatorKind::Source), |_| {
            Err(Error::io("source", "is not run"))
        });
    let counts = requests
        .key_by(|request| request.ip.clone())
        .window(TumblingWindows::of(Duration::from_secs(5)))
        .count();
    let job = counts.environment().build(Resources::default()).expect("a valid job");
    let mut operators =
        job.graph.vertices.iter().flat_map(|vertex| &vertex.operators).skip(1).map(|node| {
            let mut operator = job.factory.operator(node.id).expect("an operator");
            operator.open(&context(Arc::default(), Arc::default())).expect("opens");
            operator
        });
    let mut combine = operators.next().expect("combine");
    let mut window = operators.next().expect("window");
    let mut partitioner = job.factory.partitioner(0).expect("a hash edge");

    let mut frontier = WatermarkFrontier::default();
    let (mut at, mut partials, mut results) = (1_700_000_000_000, 0, 0);
    let (mut combining, mut rest) = (Duration::ZERO, Duration::ZERO);
    let mut out = Collected::default();
    let mut end = Collected::default();
    for batch in batches {
        at = batch
            .as_rows::<Request>()
            .and_then(|rows| rows.timestamps.last().copied())
            .unwrap_or(at);
        let watermark = frontier.advance_to(at - 2 * disorder - 1);
        let start = now();
        combine.process(0, batch, &mut out).expect("combines");
        if let Some(watermark) = watermark {
            combine.on_watermark(watermark, &mut out).expect("passes on");
        }
        let combined = now();
        combining += combined - start;
        for batch in out.batches.drain(..) {
            partials += batch.len();
            let mut parts = Vec::new();
            let sent = partitioner.split(batch, 1, &mut |_, part| {
                parts.push(part);
                Ok(())
            });
            sent.expect("one target");
            for part in parts {
                window.process(0, part, &mut end).expect("merges");
            }
        }
        if let Some(watermark) = watermark {
            window.on_watermark(watermark, &mut end).expect("fires");
        }
        results += end.batches.drain(..).map(|batch| batch.len()).sum::<usize>();
        rest += now() - combined;
    }
    let rate = |time: Duration| ROWS as f64 / time.as_secs_f64() / 1e6;
    println!(
        "{name}: combine {:.1} M rows/s, with the window behind it {:.1} M rows/s ({partials} partial results, {results} results)",
        rate(combining),
        rate(combining + rest),
    );
}

#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
fn now() -> Instant {
    Instant::now()
}
