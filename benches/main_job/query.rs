//! The main job as a query: the scripts in `examples/sql/access_log`.

use std::path::Path;
use std::sync::Arc;

use riverrun::embedded::{EmbeddedCluster, Jobs};
use riverrun::sql::EmbeddedHost;
use riverrun_sql::parser::parse_script;
use riverrun_sql::session::{Engine, Outcome, Session};
use serde::Deserialize;

use crate::job::{checksum_of, result_hash};

const DDL: &str = include_str!("../../examples/sql/access_log/ddl.sql");
const QUERY: &str = include_str!("../../examples/sql/access_log/requests_per_ip.sql");

/// One result.
#[derive(Deserialize)]
struct Row<'a> {
    window_start: &'a str,
    ip: &'a str,
    requests: u64,
}

/// Where the results at a parallelism go.
pub fn output_topic(parallelism: &str) -> String {
    format!("requests_per_ip_{parallelism}")
}

/// Runs the query over the whole topic.
pub fn count_topic(data_dir: &Path, parallelism: u32) -> anyhow::Result<u64> {
    let cluster = Arc::new(EmbeddedCluster::open(data_dir)?);
    let engine = Engine::open(Arc::new(EmbeddedHost::new(Jobs::new(cluster.clone()))))?;
    let mut session = Session::new(engine);
    let parallelism = parallelism.to_string();
    let output = output_topic(&parallelism);
    for (key, value) in [
        ("parallelism.default", parallelism.as_str()),
        ("execution.checkpointing.interval", "1 s"),
        ("execution.until-caught-up", "true"),
    ] {
        session.settings_mut().set(key, value)?;
    }
    let create = |table: &str| table.replace("CREATE TABLE", "CREATE TEMPORARY TABLE");
    let query = QUERY.replace("requests_per_ip", &output);
    for parsed in parse_script(&format!("{}\n{}", create(DDL), create(&query)))? {
        if let Outcome::Job { job, .. } = session.execute(&parsed)? {
            job.wait()?;
        }
    }
    cluster.store().close()?;
    Ok(0)
}

/// A checksum over the committed results.
pub fn checksum(data_dir: &Path, topic: &str) -> anyhow::Result<u64> {
    checksum_of(data_dir, topic, |value| {
        let row: Row<'_> = serde_json::from_slice(value)?;
        let start =
            chrono::NaiveDateTime::parse_from_str(row.window_start, "%Y-%m-%d %H:%M:%S%.f")?;
        let start = start.and_utc().timestamp();
        Ok(result_hash(row.ip.as_bytes(), start, row.requests))
    })
}
