//! Windows against slow models: under disorder, any cut into batches, any interleaving of channels, snapshots,
//! and restarts into another parallelism.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use riverrun_dataflow::testing::Collected;
use riverrun_dataflow::{
    Batch, Job, OperatorMetrics, OperatorState, Rows, SnapshotKind, SplitStatus, WatermarkFrontier,
};

use super::*;
use crate::prelude::*;
use crate::test_job::{job_of, stream_of};
use crate::test_pipeline::Pipeline;

type Row = (u8, i64);
type Counts = BTreeMap<(Window, u8), u64>;

fn ms(n: i64) -> Duration {
    Duration::from_millis(n.unsigned_abs())
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Tumbling { size: i64, offset: i64 },
    Sliding { size: i64, slide: i64, offset: i64 },
    Session { gap: i64 },
}

impl Kind {
    fn windows(self) -> Windows {
        match self {
            Self::Tumbling { size, offset } => {
                TumblingWindows::of(ms(size)).offset_ms(offset).into()
            }
            Self::Sliding { size, slide, offset } => {
                SlidingWindows::of(ms(size), ms(slide)).offset_ms(offset).into()
            }
            Self::Session { gap } => SessionWindows::with_gap(ms(gap)).into(),
        }
    }

    /// All windows of a row; for sessions the row's own, not merged.
    fn of(self, at: i64) -> Vec<Window> {
        let (size, slide, offset) = match self {
            Self::Tumbling { size, offset } => (size, size, offset),
            Self::Sliding { size, slide, offset } => (size, slide, offset),
            Self::Session { gap } => return vec![Window { start: at, end: at + gap }],
        };
        (at - size + 1..=at)
            .filter(|start| (start - offset).rem_euclid(slide) == 0)
            .map(|start| Window { start, end: start + size })
            .collect()
    }

    /// What complete rows come to.
    fn counts(self, rows: &[Row]) -> Counts {
        let mut counts = Counts::new();
        if let Self::Session { gap } = self {
            let mut rows = rows.to_vec();
            rows.sort_unstable();
            for of_key in rows.chunk_by(|a, b| a.0 == b.0 && b.1 - a.1 < gap) {
                let (first, last) = (of_key[0], of_key[of_key.len() - 1]);
                let window = Window { start: first.1, end: last.1 + gap };
                counts.insert((window, first.0), of_key.len() as u64);
            }
            return counts;
        }
        for (key, at) in rows {
            for window in self.of(*at) {
                *counts.entry((window, *key)).or_default() += 1;
            }
        }
        counts
    }
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        (1i64..30, -20i64..20).prop_map(|(size, offset)| Kind::Tumbling { size, offset }),
        (2i64..40, 1i64..40, -20i64..20).prop_map(|(size, slide, offset)| Kind::Sliding {
            size,
            slide: slide.min(size),
            offset
        }),
        (1i64..15).prop_map(|gap| Kind::Session { gap }),
    ]
}

fn job(kind: Kind, out_of_orderness: Option<i64>, lateness: i64, late_output: bool) -> Job {
    let mut rows = stream_of::<Row>();
    if let Some(bound) = out_of_orderness {
        let strategy = WatermarkStrategy::bounded_out_of_orderness(ms(bound));
        rows = rows.assign_timestamps(strategy, |row| row.1);
    }
    let mut windowed =
        rows.key_by(|row| row.0).window(kind.windows()).allowed_lateness(ms(lateness));
    if late_output {
        windowed = windowed.late_output("late");
    }
    job_of(&windowed.count())
}

fn batch(rows: &[Row], split: Option<u32>) -> Batch {
    let timestamps = rows.iter().map(|row| row.1).collect();
    Batch::rows(Rows { values: rows.to_vec(), timestamps }, split)
}

fn results(output: Vec<Collected>) -> Vec<(Window, u8, u64)> {
    output
        .into_iter()
        .flat_map(|mut collected| collected.take_rows::<WindowResult<u8, u64>>())
        .map(|(row, timestamp)| {
            assert_eq!(timestamp, row.window.end - 1);
            (row.window, row.key, row.value)
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    /// When no row is late, each window of each key comes to the exact count, once: for any number of senders and
    /// receivers, and across restarts.
    #[test]
    fn complete_rows_give_exact_counts_once(kind in kinds(), lateness in prop_oneof![Just(0i64), 0i64..30], late_output: bool, seed: u64) {
        let mut rng = SmallRng::seed_from_u64(seed);
        const DISORDER: i64 = 20;
        let splits: Vec<Vec<Row>> = (0..4)
            .map(|_| {
                let mut time = 0;
                (0..rng.random_range(1..80))
                    .map(|_| {
                        time += rng.random_range(0..6);
                        (rng.random_range(0..6), time - rng.random_range(0..=DISORDER))
                    })
                    .collect()
            })
            .collect();
        let job = job(kind, Some(DISORDER), lateness, late_output);

        let mut committed: Vec<(Window, u8, u64)> = Vec::new();
        let mut positions = [0usize; 4];
        let mut saved: Option<Vec<Vec<OperatorState>>> = None;
        let mut finished = false;
        while !finished {
            let (senders, receivers) = (rng.random_range(1..=4), rng.random_range(1..=3));
            let mut pipeline = Pipeline::new(&job, senders, receivers, rng.random(), saved.as_deref());
            let mut at = positions;
            let mut has_snapshot = false;
            for split in 0..4u32 {
                pipeline.split((split % senders) as usize, split, SplitStatus::Active);
            }
            for sender in 4..senders {
                pipeline.idle(sender as usize);
            }
            for step in 0.. {
                let open: Vec<usize> = (0..4).filter(|s| at[*s] < splits[*s].len()).collect();
                if open.is_empty() {
                    pipeline.end();
                    finished = true;
                    committed.extend(results(pipeline.take_output()));
                    prop_assert_eq!(OperatorMetrics::read(&pipeline.metrics.late_records), 0);
                    break;
                }
                let split = open[rng.random_range(0..open.len())];
                let rows = &splits[split][at[split]..];
                let rows = &rows[..rng.random_range(1..=rows.len().min(9))];
                at[split] += rows.len();
                let sender = split % senders as usize;
                pipeline.send(sender, batch(rows, Some(split as u32)));
                if at[split] == splits[split].len() {
                    pipeline.split(sender, split as u32, SplitStatus::Finished);
                }
                pipeline.deliver(rng.random_range(0..6));
                match rng.random_range(0..20) {
                    0 => {
                        let kind = if has_snapshot && rng.random() { SnapshotKind::Delta } else { SnapshotKind::Full };
                        pipeline.snapshot(kind);
                        has_snapshot = true;
                        saved = Some(pipeline.saved());
                        committed.extend(results(pipeline.take_output()));
                        positions = at;
                    }
                    // The job fails: what came since the last snapshot is lost, and read again.
                    1 if step > 3 => break,
                    _ => {}
                }
            }
        }
        let all: Vec<Row> = splits.concat();
        let mut expected: Vec<_> = kind.counts(&all).into_iter().map(|((w, k), n)| (w, k, n)).collect();
        expected.sort_unstable();
        committed.sort_unstable();
        prop_assert_eq!(committed, expected);
    }

    /// With one sender it is exact which rows are late: the model takes rows and watermarks one by one.
    #[test]
    fn late_rows_are_exact(kind in kinds(), lateness in prop_oneof![Just(0i64), 0i64..30], late_output: bool, seed: u64) {
        let mut rng = SmallRng::seed_from_u64(seed);
        let job = job(kind, None, lateness, late_output);
        let mut model = Model { kind, lateness, watermark: i64::MIN, ..Model::default() };
        let mut frontier = WatermarkFrontier::default();
        let mut pipeline = Pipeline::new(&job, 1, 2, seed, None);
        let (mut late_counted, mut late_rows) = (0, Vec::new());
        let mut last: Counts = Counts::new();
        let mut seen = Vec::new();
        let mut time = 0;
        let mut take = |pipeline: &mut Pipeline, last: &mut Counts, late_rows: &mut Vec<Row>| {
            let mut output = pipeline.take_output();
            for (_, batch) in output.iter_mut().flat_map(|out| std::mem::take(&mut out.side)) {
                late_rows.extend(batch.as_rows::<Row>().unwrap().values.clone());
            }
            for (window, key, count) in results(output) {
                seen.push((window, key));
                last.insert((window, key), count);
            }
        };
        for _ in 0..rng.random_range(5..60) {
            match rng.random_range(0..10) {
                0..6 => {
                    let rows: Vec<Row> = (0..rng.random_range(1..8))
                        .map(|_| (rng.random_range(0..3), time + rng.random_range(-60..25)))
                        .collect();
                    model.rows(&rows);
                    pipeline.send(0, batch(&rows, None));
                    pipeline.drain();
                }
                6..8 => {
                    time += rng.random_range(0..20);
                    if let Some(watermark) = frontier.advance_to(time) {
                        model.watermark(time);
                        pipeline.watermark(0, watermark);
                        pipeline.drain();
                    }
                }
                8 => {
                    // A restart right behind a snapshot, into another parallelism.
                    pipeline.snapshot(SnapshotKind::Full);
                    if rng.random() {
                        pipeline.snapshot(SnapshotKind::Delta);
                    }
                    take(&mut pipeline, &mut last, &mut late_rows);
                    late_counted += OperatorMetrics::read(&pipeline.metrics.late_records);
                    let saved = pipeline.saved();
                    pipeline = Pipeline::new(&job, 1, rng.random_range(1..=3), rng.random(), Some(&saved));
                }
                _ => {
                    pipeline.idle(0);
                    pipeline.drain();
                }
            }
        }
        pipeline.end();
        model.watermark(i64::MAX);
        take(&mut pipeline, &mut last, &mut late_rows);
        late_counted += OperatorMetrics::read(&pipeline.metrics.late_records);
        prop_assert_eq!(late_counted, model.late.len() as u64);
        if late_output {
            late_rows.sort_unstable();
            model.late.sort_unstable();
            prop_assert_eq!(late_rows, model.late);
        }
        prop_assert_eq!(last, model.results);
        if lateness == 0 {
            let results = seen.len();
            seen.sort_unstable();
            seen.dedup();
            prop_assert_eq!(seen.len(), results);
        }
    }

    /// Runs to the end, each on the state of the one before, at any parallelism: no window of a key has two results, and
    /// every row counts or is late. Subtasks end at different times, so this needs progress by key group.
    #[test]
    fn finished_runs_are_continued_without_doubles(kind in kinds(), seed: u64) {
        let mut rng = SmallRng::seed_from_u64(seed);
        let job = job(kind, Some(5), 0, rng.random());
        let (mut saved, mut seen, mut counted, mut rows_in, mut late) = (None::<Vec<Vec<OperatorState>>>, Vec::new(), 0, 0, 0);
        let mut time = 0;
        for _ in 0..rng.random_range(2..5) {
            let mut pipeline = Pipeline::new(&job, 2, rng.random_range(1..=4), rng.random(), saved.as_deref());
            for _ in 0..rng.random_range(0..12) {
                time += rng.random_range(0..15);
                let rows: Vec<Row> = (0..rng.random_range(1..4))
                    .map(|_| (rng.random_range(0..10), time + rng.random_range(-40..10)))
                    .collect();
                rows_in += rows.len() as u64;
                pipeline.send(rng.random_range(0..2), batch(&rows, None));
                pipeline.deliver(rng.random_range(0..9));
            }
            pipeline.end();
            late += OperatorMetrics::read(&pipeline.metrics.late_records);
            for (window, key, count) in results(pipeline.take_output()) {
                seen.push((window, key));
                counted += count;
            }
            pipeline.snapshot(SnapshotKind::Full);
            saved = Some(pipeline.saved());
        }
        let results = seen.len();
        seen.sort_unstable();
        seen.dedup();
        prop_assert_eq!(seen.len(), results);
        if !matches!(kind, Kind::Sliding { .. }) {
            prop_assert_eq!(counted + late, rows_in);
        }
    }

    /// In processing time every row counts in the windows of the time at which it arrives, also across restarts.
    #[test]
    fn processing_time_counts_by_arrival(kind in kinds(), seed: u64) {
        let mut rng = SmallRng::seed_from_u64(seed);
        let stream = stream_of::<Row>().key_by(|row| row.0).window(Windows { time: assigner::TimeKind::Processing, ..kind.windows() });
        let job = job_of(&stream.count());
        let mut pipeline = Pipeline::new(&job, 2, 2, seed, None);
        let (mut now, mut arrived, mut output) = (1000, Vec::new(), Vec::new());
        for _ in 0..rng.random_range(5..60) {
            now += rng.random_range(0..8);
            pipeline.time(now);
            let rows: Vec<Row> = (0..rng.random_range(0..6))
                .map(|_| (rng.random_range(0..3), rng.random_range(0..5000)))
                .collect();
            arrived.extend(rows.iter().map(|row| (row.0, now)));
            pipeline.send(rng.random_range(0..2), batch(&rows, None));
            pipeline.drain();
            if rng.random_range(0..8) == 0 {
                pipeline.snapshot(SnapshotKind::Full);
                output.extend(results(pipeline.take_output()));
                let saved = pipeline.saved();
                pipeline = Pipeline::new(&job, 2, rng.random_range(1..=3), rng.random(), Some(&saved));
                pipeline.time(now);
            }
        }
        pipeline.end();
        output.extend(results(pipeline.take_output()));
        output.sort_unstable();
        let mut expected: Vec<_> = kind.counts(&arrived).into_iter().map(|((w, k), n)| (w, k, n)).collect();
        expected.sort_unstable();
        prop_assert_eq!(output, expected);
    }
}

fn cases() -> u32 {
    std::env::var("RIVERRUN_WINDOW_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(150)
}

/// Windows the slow way.
#[derive(Default)]
struct Model {
    kind: Kind,
    lateness: i64,
    watermark: i64,
    /// Live windows by key: window, count.
    live: BTreeMap<u8, Vec<(Window, u64)>>,
    results: Counts,
    late: Vec<Row>,
}

impl Default for Kind {
    fn default() -> Self {
        Self::Session { gap: 1 }
    }
}

impl Model {
    fn rows(&mut self, rows: &[Row]) {
        rows.iter().for_each(|row| self.row(*row));
        // Windows that had fired before fire anew once a batch.
        for (key, _) in rows {
            for (window, count) in self.live.get(key).into_iter().flatten() {
                if window.end - 1 <= self.watermark {
                    self.results.insert((*window, *key), *count);
                }
            }
        }
    }

    fn row(&mut self, (key, at): Row) {
        let alive = |window: &Window| window.end - 1 + self.lateness > self.watermark;
        let live = self.live.entry(key).or_default();
        let mut admitted = false;
        match self.kind {
            Kind::Session { .. } => {
                let own = self.kind.of(at)[0];
                let (mut window, mut count) = (own, 1);
                let touched: Vec<_> = live
                    .iter()
                    .copied()
                    .filter(|(w, _)| alive(w) && w.start < own.end && own.start < w.end)
                    .collect();
                for (w, n) in &touched {
                    window.start = window.start.min(w.start);
                    window.end = window.end.max(w.end);
                    count += n;
                }
                if alive(&window) {
                    live.retain(|entry| !touched.contains(entry));
                    live.push((window, count));
                    admitted = true;
                }
            }
            _ => {
                for window in self.kind.of(at).into_iter().filter(alive) {
                    let known = live.iter().position(|(w, _)| *w == window);
                    let at = known.unwrap_or_else(|| {
                        live.push((window, 0));
                        live.len() - 1
                    });
                    live[at].1 += 1;
                    admitted = true;
                }
            }
        }
        if !admitted {
            self.late.push((key, at));
        }
    }

    fn watermark(&mut self, to: i64) {
        for (key, windows) in &mut self.live {
            for (window, count) in windows.iter() {
                if window.end - 1 > self.watermark && window.end - 1 <= to {
                    self.results.insert((*window, *key), *count);
                }
            }
            windows.retain(|(window, _)| (window.end - 1).saturating_add(self.lateness) > to);
        }
        self.watermark = to;
    }
}
