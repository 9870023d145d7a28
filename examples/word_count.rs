//! Word count: the smallest job with state.
//!
//! ```text
//! cargo run --example word_count -- README.md
//! echo "to be or not to be" > words.txt && cargo run --example word_count -- words.txt
//! ```
//!
//! Every word is printed with how often it stood in the files, once these have been read.

use std::path::PathBuf;
use std::time::Duration;

use riverrun::prelude::*;

riverrun::main!(word_count);

/// Count words in text files.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Files to read; `.gz` is fine
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

fn word_count(env: &Environment, options: Options) -> anyhow::Result<()> {
    env.from_files(options.files)
        .flat_map(|line, out| {
            let line = line.to_str_lossy();
            let words = line.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
            out.extend(words.map(str::to_lowercase));
        })
        .name("split into words")
        // All words fall into one window, which ends with the input.
        .assign_timestamps(WatermarkStrategy::monotonous_timestamps(), |_| 0)
        .key_by(|word: &String| word.clone())
        .key_name("word")
        .window(TumblingWindows::of(Duration::from_secs(1)))
        .count()
        .map(|counted| format!("{} {}", counted.key, counted.value))
        .print();
    Ok(())
}
