//! The ways in which a job ends without failing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use riverrun_dataflow::{Batch, Error, Operator, Output as Downstream, RestartStrategy, Result};
use riverrun_jobmanager::JobState;

use crate::kit::{Chaos, Cluster, Numbers, Output, Pipeline, World, check_counts};

#[test]
fn the_final_checkpoint_commits_the_tail() {
    let chaos = Chaos::none();
    let (numbers, output) = (Numbers::bounded(2, 4_000, 10), Arc::new(Output::default()));
    let cluster = Cluster::new(World::new(&chaos));
    let mut pipeline = Pipeline::counting(&numbers, &output, &chaos, 2);
    pipeline.settings.checkpoint_interval = None;
    let report = cluster.start(pipeline.job()).unwrap().wait().unwrap();
    assert_eq!(report.status.completed_checkpoints, 1);
    assert_eq!(numbers.completed.load(Ordering::SeqCst), 1, "sources are told before they close");
    check_counts(&numbers, &output.committed());
    assert_eq!(output.in_doubt(), 0);
}

#[test]
fn stopped_with_a_checkpoint_everything_read_is_committed() {
    let chaos = Chaos::none();
    let (numbers, output) = (Numbers::unbounded(2, 10), Arc::new(Output::default()));
    let cluster = Cluster::new(World::new(&chaos));
    let mut pipeline = Pipeline::counting(&numbers, &output, &chaos, 2);
    // Only the stop itself brings a checkpoint.
    pipeline.settings.checkpoint_interval = Some(Duration::from_secs(3600));
    let handle = cluster.start(pipeline.job()).unwrap();
    numbers.release(5_000);
    handle.stop_with_checkpoint();
    let report = handle.wait().unwrap();
    assert_eq!((report.status.state, report.status.completed_checkpoints), (JobState::Stopped, 1));
    assert_eq!(output.in_doubt(), 0);
    // What was not read by then is read by the next run.
    numbers.end();
    let pipeline = Pipeline::counting(&numbers, &output, &chaos, 1);
    cluster.start(pipeline.job()).unwrap().wait().unwrap();
    check_counts(&numbers, &output.committed());
}

#[test]
fn cancelled_a_job_leaves_nothing_behind_and_goes_on_later() {
    let chaos = Chaos::none();
    let (numbers, output) = (Numbers::unbounded(3, 10), Arc::new(Output::default()));
    let cluster = Cluster::new(World::new(&chaos));
    let handle = cluster.start(Pipeline::counting(&numbers, &output, &chaos, 3).job()).unwrap();
    numbers.release(1_000);
    output.wait_for(3_000);
    numbers.release(20_000);
    handle.cancel();
    assert_eq!(handle.wait().unwrap().status.state, JobState::Cancelled);
    assert_eq!(output.in_doubt(), 0);
    numbers.end();
    let pipeline = Pipeline::counting(&numbers, &output, &chaos, 2);
    cluster.start(pipeline.job()).unwrap().wait().unwrap();
    check_counts(&numbers, &output.committed());
}

/// Fails once it has seen a batch, the first time it runs.
struct FailsOnce(Arc<AtomicBool>);

impl Operator for FailsOnce {
    fn process(&mut self, _: usize, batch: Batch, out: &mut dyn Downstream) -> Result<()> {
        if self.0.swap(false, Ordering::SeqCst) {
            return Err(Error::io("collect", "nobody reads my channel any more"));
        }
        out.emit(batch)
    }
}

#[test]
fn cancelling_ends_the_wait_for_a_full_channel() {
    let chaos = Chaos::none();
    let (numbers, output) = (Numbers::bounded(2, 50_000, 10), Arc::new(Output::default()));
    let cluster = Cluster::new(World::new(&chaos));
    let mut pipeline = Pipeline::counting(&numbers, &output, &chaos, 2);
    let fails = Arc::new(AtomicBool::new(true));
    pipeline.settings.restart = RestartStrategy::FixedDelay { attempts: 1, delay: Duration::ZERO };
    pipeline.insert_before_sink(9, "fails once");
    pipeline.operator(9, move || FailsOnce(fails.clone()));
    // The sources fill the channels of the failed subtask and wait. Only if they can be cancelled
    // is there a second attempt.
    let report = cluster.start(pipeline.job()).unwrap().wait().unwrap();
    assert_eq!(report.status.restarts, 1);
    check_counts(&numbers, &output.committed());
}
