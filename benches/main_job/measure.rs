//! One measurement, one process.

use std::ffi::OsStr;
use std::process::Command;
use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};

/// What one stage took.
#[derive(Debug, Clone, Copy, serde::Serialize, serde::Deserialize)]
pub struct Measured {
    /// Seconds on the wall.
    pub wall: f64,
    /// Seconds of all its threads on a core.
    pub cpu: f64,
    /// Most memory it ever had resident.
    pub peak_bytes: u64,
    /// What it computed, to compare.
    pub answer: u64,
}

/// Runs a stage in a child process.
pub fn stage(name: &str, arguments: &[&OsStr]) -> anyhow::Result<Measured> {
    let output = Command::new(std::env::current_exe()?)
        .args(arguments)
        .env("RIVERRUN_BENCH_STAGE", name)
        .stderr(std::process::Stdio::inherit())
        .output()?;
    anyhow::ensure!(output.status.success(), "stage {name} ended with {}", output.status);
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The child's side: measures `work` and prints what it took.
pub fn child(work: impl FnOnce() -> anyhow::Result<u64>) -> anyhow::Result<()> {
    let (wall, cpu) = (Instant::now(), cpu_seconds());
    let answer = work()?;
    let measured = Measured {
        wall: wall.elapsed().as_secs_f64(),
        cpu: cpu_seconds() - cpu,
        peak_bytes: peak_bytes(),
        answer,
    };
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
}

/// The median of each figure.
pub fn median(all: &[Measured]) -> Measured {
    let middle = |of: &dyn Fn(&Measured) -> f64| {
        let mut values: Vec<f64> = all.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    Measured {
        wall: middle(&|m| m.wall),
        cpu: middle(&|m| m.cpu),
        peak_bytes: middle(&|m| m.peak_bytes as f64) as u64,
        answer: all[0].answer,
    }
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
