//! Whatever fails, and whenever: nothing is lost, nothing doubled.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use riverrun_dataflow::{
    Barrier, Batch, Error, Operator, OperatorKind, OperatorState, Output as Downstream,
    RestartStrategy, Result, Snapshot,
};
use riverrun_jobmanager::JobState;

use crate::kit::{Chaos, Cluster, Numbers, Output, Pipeline, World, check_counts};

fn seeds() -> u64 {
    std::env::var("RIVERRUN_SIM_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(40)
}

#[test]
fn nothing_is_lost_or_doubled_by_failures_anywhere() {
    let (mut restarts, mut checkpoints, mut objects) = (0, 0, 0);
    for seed in 0..seeds() {
        println!("seed {seed}");
        // Few keys stay within the commit record, many go to the storage.
        let keys = if seed % 2 == 0 { 50 } else { 3_000 };
        let chaos = Chaos::new(seed, 8, 100 + 100 * (seed as u32 % 10));
        let (numbers, output) = (Numbers::bounded(3, 5_000, keys), Arc::new(Output::default()));
        let cluster = Cluster::new(World::new(&chaos));
        let mut pipeline = Pipeline::counting(&numbers, &output, &chaos, 1 + seed as u32 % 3);
        pipeline.settings.checkpoint_interval = Some(Duration::from_micros(100));
        let handle = cluster.start(pipeline.job()).unwrap();
        let report = handle.wait().unwrap();
        check_counts(&numbers, &output.committed());
        assert_eq!(output.in_doubt(), 0);
        restarts += report.status.restarts;
        checkpoints += report.status.completed_checkpoints;
        let records = cluster.world.records();
        assert!(records.windows(2).all(|pair| pair[0].checkpoint < pair[1].checkpoint));
        assert!(records.last().unwrap().finished);
        let left = cluster.world.objects();
        let newest = format!("{:?}", records.last().unwrap());
        assert!(left.iter().all(|path| newest.contains(path)), "not deleted: {left:?}");
        objects += left.len();
    }
    println!("{restarts} restarts, {checkpoints} checkpoints, {objects} objects");
    assert!(restarts > seeds() && checkpoints > 2 * restarts && objects > 0, "too tame");
}

/// Fails on every batch.
struct Broken(fn() -> Error);

impl Operator for Broken {
    fn process(&mut self, _: usize, _: Batch, _: &mut dyn Downstream) -> Result<()> {
        Err(self.0())
    }
}

fn broken(error: fn() -> Error, restart: RestartStrategy) -> (Error, JobState, u64) {
    let chaos = Chaos::none();
    let (numbers, output) = (Numbers::bounded(2, 10_000, 10), Arc::new(Output::default()));
    let mut pipeline = Pipeline::counting(&numbers, &output, &chaos, 2);
    pipeline.settings.restart = restart;
    pipeline.operator(3, move || Broken(error));
    let handle = Cluster::new(World::new(&chaos)).start(pipeline.job()).unwrap();
    let error = handle.wait().unwrap_err();
    assert_eq!(output.in_doubt(), 0);
    assert!(handle.wait().unwrap_err().to_string().contains(&error.to_string()));
    (error, handle.status().state, handle.status().attempt)
}

/// Does not finish its snapshot before one of the two sources has taken a later one, which they only do when
/// the checkpoint was given up.
struct Stall {
    numbers: Arc<Numbers>,
    stalls: Arc<AtomicU32>,
}

impl Operator for Stall {
    fn process(&mut self, _: usize, batch: Batch, out: &mut dyn Downstream) -> Result<()> {
        out.emit(batch)
    }

    fn snapshot(&mut self, barrier: Barrier) -> Result<Snapshot> {
        let left = |left: u32| left.checked_sub(1);
        if self.stalls.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left).is_err() {
            return Ok(Snapshot::Nothing);
        }
        let numbers = self.numbers.clone();
        Ok(Snapshot::Deferred(Box::new(move || {
            numbers.wait_for_snapshots(2 * barrier.checkpoint + 1);
            Ok(OperatorState::default())
        })))
    }
}

#[test]
fn checkpoints_that_are_given_up_lose_and_double_nothing() {
    for keys in [50, 3_000] {
        let chaos = Chaos::none();
        let (numbers, output) = (Numbers::unbounded(3, keys), Arc::new(Output::default()));
        let cluster = Cluster::new(World::new(&chaos));
        let mut pipeline = Pipeline::counting(&numbers, &output, &chaos, 2);
        pipeline.settings.checkpoint_timeout = Duration::from_millis(50);
        let stalls = Arc::new(AtomicU32::new(3));
        let (n, s) = (numbers.clone(), stalls.clone());
        pipeline.graph.vertices[0].operators.push(crate::kit::node(
            9,
            "stall",
            OperatorKind::Transform,
        ));
        pipeline.graph.edges[0].from_operator = riverrun_dataflow::OperatorId(9);
        pipeline.operator(9, move || Stall { numbers: n.clone(), stalls: s.clone() });
        let handle = cluster.start(pipeline.job()).unwrap();
        for n in 1..=20 {
            numbers.release(200);
            output.wait_for(n * 600);
        }
        numbers.end();
        let report = handle.wait().unwrap();
        assert_eq!((stalls.load(Ordering::SeqCst), report.status.restarts), (0, 0));
        check_counts(&numbers, &output.committed());
        assert_eq!(output.in_doubt(), 0);
    }
}

#[test]
fn a_restart_strategy_that_is_used_up_fails_the_job() {
    let delay = Duration::from_millis(1);
    let io = || Error::io("the disk", "on fire");
    let (error, state, attempts) = broken(io, RestartStrategy::FixedDelay { attempts: 3, delay });
    assert_eq!(
        (error.to_string().as_str(), state, attempts),
        ("the disk: on fire", JobState::Failed, 4)
    );
}

#[test]
fn an_error_that_no_restart_can_cure_fails_the_job_at_once() {
    let state = || Error::state("count", "of another type");
    let (_, state, attempts) = broken(state, RestartStrategy::default());
    assert_eq!((state, attempts), (JobState::Failed, 1));
}

#[test]
fn a_panic_is_a_failure_that_names_operator_and_message() {
    let panics = || panic!("the user's code");
    let (error, ..) = broken(panics, RestartStrategy::None);
    let text = error.to_string();
    assert!(
        text.contains("operator `count` of count ") && text.contains("the user's code"),
        "{text}"
    );
}

#[test]
fn state_that_nobody_takes_is_an_error_unless_allowed() {
    let chaos = Chaos::none();
    let (numbers, output) = (Numbers::bounded(2, 500, 10), Arc::new(Output::default()));
    let cluster = Cluster::new(World::new(&chaos));
    cluster.start(Pipeline::counting(&numbers, &output, &chaos, 1).job()).unwrap().wait().unwrap();
    let without_count = |allow| {
        let mut pipeline = Pipeline::new();
        let source = (1, "numbers", OperatorKind::Source);
        pipeline.vertex(1, &[source, (4, "collect", OperatorKind::Sink)]);
        let full = Pipeline::counting(&numbers, &output, &chaos, 1);
        pipeline.parts = full.parts;
        pipeline.settings.allow_non_restored_state = allow;
        cluster.start(pipeline.job()).unwrap().wait()
    };
    let text = without_count(false).unwrap_err().to_string();
    assert!(text.contains("`count`") && text.contains("allow_non_restored_state"), "{text}");
    let report = without_count(true).unwrap();
    assert_eq!(report.records_read(), 0, "the source goes on behind what it had read");
}

#[test]
fn too_few_slots_are_refused_with_what_to_do() {
    let chaos = Chaos::none();
    let (numbers, output) = (Numbers::bounded(2, 5, 10), Arc::new(Output::default()));
    let mut cluster = Cluster::new(World::new(&chaos));
    cluster.slots = 2;
    let Err(error) = cluster.start(Pipeline::counting(&numbers, &output, &chaos, 3).job()) else {
        panic!("three subtasks do not fit into two slots")
    };
    assert!(error.to_string().contains("lower its parallelism"), "{error}");
}
