//! A job from its first row to its last commit.

use std::sync::Arc;

use riverrun_jobmanager::JobState;

use crate::kit::{Chaos, Cluster, Numbers, Output, Pipeline, World, check_counts};

#[test]
fn every_row_is_counted_once() {
    let chaos = Chaos::none();
    let (numbers, output) = (Numbers::bounded(4, 3_000, 100), Arc::new(Output::default()));
    let cluster = Cluster::new(World::new(&chaos));
    let handle = cluster.start(Pipeline::counting(&numbers, &output, &chaos, 2).job()).unwrap();
    let report = handle.wait().unwrap();
    check_counts(&numbers, &output.committed());
    assert_eq!(report.status.state, JobState::Finished);
    assert_eq!((report.records_read(), report.records_written()), (12_000, 12_000));
    let last = cluster.world.records().pop().unwrap();
    assert!(last.finished);
    assert_eq!(Some(last.checkpoint), report.status.last_checkpoint.map(|c| c.checkpoint));
}
