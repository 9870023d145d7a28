//! Queries that run once over what is there now, on DataFusion's own engine.
//!
//! The optimised plan is the one that a streaming query has. What DataFusion does not know is put into its words first ([`lower()`]); tables are read
//! through the sources that streaming jobs use, up to their present end.
//!
//! | file | what |
//! |---|---|
//! | `batch/lower.rs` | windowing functions and event time in DataFusion's words |
//! | `batch/scan.rs` | tables as streams of batches |
//! | `batch/drive.rs` | a source driven to its end, outside of a job |
//! | `batch/net.rs` | weighted rows to the rows that are left |

mod drive;
#[cfg(test)]
pub(crate) use drive::drive;
mod lower;
mod net;
mod scan;

use datafusion::execution::{SendableRecordBatchStream, SessionState};
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{SessionConfig, SessionContext};

pub use lower::lower;
pub use net::net_rows;
pub(crate) use scan::{BatchScan, scan};

use crate::plan::{config_options, invalid, pruned, read_less};
use crate::{Error, Result};

/// Starts a batch query. Must be called, and the stream polled, within a tokio runtime.
///
/// # Errors
/// [`Error::Invalid`] for what cannot be planned; the stream fails with what happens while it is read.
pub async fn execute(plan: &LogicalPlan, parallelism: u32) -> Result<SendableRecordBatchStream> {
    let config = SessionConfig::from(config_options()).with_target_partitions(parallelism as usize);
    let context = SessionContext::new_with_config(config);
    let state = context.state();
    let plan = prepared(plan, &state)?;
    let physical =
        state.query_planner().create_physical_plan(&plan, &state).await.map_err(invalid)?;
    datafusion::physical_plan::execute_stream(physical, context.task_ctx())
        .map_err(|error| Error::Engine(failed(&error)))
}

/// For each scan of a batch query that leaves out records: the table, and what is read.
///
/// # Errors
/// As [`execute`].
pub fn pruned_scans(plan: &LogicalPlan) -> Result<Vec<String>> {
    let context = SessionContext::new_with_config(SessionConfig::from(config_options()));
    Ok(pruned(&prepared(plan, &context.state())?))
}

/// The plan as DataFusion runs it: filters come closer to the scans than they can where event time is in the way.
fn prepared(plan: &LogicalPlan, state: &SessionState) -> Result<LogicalPlan> {
    let plan = lower(plan.clone())?;
    state.optimize(&plan).and_then(read_less).map_err(invalid)
}

/// What went wrong while a batch query was read.
pub(crate) fn failed(error: &datafusion::common::DataFusionError) -> riverrun_dataflow::Error {
    let root = error.find_root();
    let reason = match root {
        datafusion::common::DataFusionError::External(inner) => inner.to_string(),
        other => crate::wording::plain(&other.strip_backtrace()),
    };
    riverrun_dataflow::Error::User { place: "query".to_owned(), reason }
}
