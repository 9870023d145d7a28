//! Stopped at one parallelism, started at another.

use std::sync::Arc;
use std::time::Duration;

use riverrun_jobmanager::JobState;

use crate::kit::{Chaos, Cluster, Numbers, Output, Pipeline, World, check_counts};

#[test]
fn keyed_state_moves_with_its_key_groups() {
    for keys in [40, 4_000] {
        let chaos = Chaos::none();
        let (numbers, output) = (Numbers::unbounded(5, keys), Arc::new(Output::default()));
        let cluster = Cluster::new(World::new(&chaos));
        let mut rows = 0;
        for parallelism in [1, 3, 2, 4, 1] {
            let pipeline = Pipeline::counting(&numbers, &output, &chaos, parallelism);
            let handle = cluster.start(pipeline.job()).unwrap();
            // In portions, so that there are deltas.
            for _ in 0..6 {
                numbers.release(400);
                rows += 5 * 400;
                output.wait_for(rows);
            }
            handle.stop_with_checkpoint();
            let status = handle.wait().unwrap().status;
            assert_eq!(status.state, JobState::Stopped);
            assert!(status.completed_checkpoints >= 6);
            check_counts(&numbers, &output.committed());
        }
        assert!(output.committed().len() == rows);
    }
}

#[test]
fn a_finished_job_goes_on_when_there_is_more() {
    let chaos = Chaos::none();
    let (numbers, output) = (Numbers::bounded(3, 1_000, 100), Arc::new(Output::default()));
    let cluster = Cluster::new(World::new(&chaos));
    for (parallelism, read) in [(1, 3_000), (3, 3_000), (2, 3_000)] {
        let mut pipeline = Pipeline::counting(&numbers, &output, &chaos, parallelism);
        pipeline.settings.checkpoint_interval =
            (parallelism > 1).then_some(Duration::from_millis(1));
        let report = cluster.start(pipeline.job()).unwrap().wait().unwrap();
        assert_eq!((report.status.state, report.records_read()), (JobState::Finished, read));
        check_counts(&numbers, &output.committed());
        numbers.release(1_000);
    }
}
