//! How results are printed.

use std::io::Write;

use comfy_table::Table;

/// How a reading command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(super) enum OutputFormat {
    /// For people
    #[default]
    Table,
    /// One JSON object a line
    Json,
}

/// A table with these headers and no lines but the one below them.
pub(super) fn new_table(headers: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset("     --            ").set_header(headers);
    table
}

/// Prints a table unless JSON was asked for (then its rows are out already).
pub(super) fn print_table(output: OutputFormat, table: &Table) -> anyhow::Result<()> {
    if output == OutputFormat::Table {
        writeln!(std::io::stdout(), "{}", table.trim_fmt())?;
    }
    Ok(())
}

/// Prints one JSON object on a line.
pub(super) fn print_json(value: &serde_json::Value) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{value}")?;
    Ok(())
}

/// True if the reader of standard output went away: that is how `| head` ends a command.
pub(super) fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Milliseconds since 1970 as a time.
pub(super) fn rfc3339(ms: i64) -> String {
    chrono::DateTime::from_timestamp_millis(ms).map_or_else(
        || ms.to_string(),
        |time| time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
    )
}
