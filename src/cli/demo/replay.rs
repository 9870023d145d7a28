//! The bundled log, written to a file as if it were happening now.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::StopSignal;

/// All lines of the bundled log, each with its newline.
pub(super) fn lines(compressed: &[u8]) -> std::io::Result<Vec<Vec<u8>>> {
    let mut text = Vec::new();
    flate2::read::MultiGzDecoder::new(compressed).read_to_end(&mut text)?;
    Ok(text.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect())
}

/// Writes the lines over the time given, or until `stop` is raised.
#[expect(clippy::disallowed_methods, reason = "a replay takes real time")]
pub(super) fn write(
    lines: &[Vec<u8>],
    path: &Path,
    over: Duration,
    stop: &StopSignal,
) -> anyhow::Result<()> {
    const STEP: Duration = Duration::from_millis(20);
    let mut file = OpenOptions::new()
        .append(true)
        .open(path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    let begun = Instant::now();
    let mut written = 0;
    while written < lines.len() && !stop.is_raised() {
        let share = begun.elapsed().as_secs_f64() / over.as_secs_f64();
        let due = ((lines.len() as f64 * share) as usize).min(lines.len());
        let chunk: Vec<u8> = lines[written..due].concat();
        file.write_all(&chunk).with_context(|| format!("cannot write {}", path.display()))?;
        written = due;
        std::thread::sleep(STEP);
    }
    Ok(())
}
