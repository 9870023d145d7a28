//! The prompt.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Instant;

use rustyline::config::Configurer;
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};

use super::completion::Assistant;
use super::output::ResultFormat;
use super::{Backend, execute};
use crate::sql::script::split;

const HELP: &str = "\
Statements end with a semicolon and may take several lines. Tab completes.

  SHOW TABLES;  DESCRIBE t;  SHOW FUNCTIONS;  SHOW JOBS;  EXPLAIN SELECT ...;
  SET 'execution.runtime-mode' = 'batch';   queries run once over what is there now (SET; shows all settings)

  \\d             tables and views
  \\d NAME        the columns of one
  \\output FORMAT table, json or csv
  \\timing        tells how long statements take, or not
  \\?  help       this
  \\q  quit       leaves; jobs stop with a last checkpoint

Ctrl-C stops what runs, or forgets what was typed. Ctrl-D leaves.";

/// How many statements are remembered.
const HISTORY: usize = 10_000;

/// True if a line is no statement, but for the prompt itself.
pub(super) fn is_command(line: &str) -> bool {
    let line = line.trim().trim_end_matches(';').trim_end();
    line.starts_with('\\')
        || ["help", "quit", "exit"].iter().any(|word| line.eq_ignore_ascii_case(word))
}

/// Takes statements until there are no more.
#[expect(clippy::disallowed_methods, reason = "people are told how long a statement took")]
pub(super) fn converse(backend: &mut dyn Backend, format: ResultFormat) -> anyhow::Result<()> {
    let config = Config::builder().completion_type(CompletionType::List).build();
    let mut editor: Editor<Assistant, FileHistory> = Editor::with_config(config)?;
    editor.set_max_history_size(HISTORY)?;
    editor.set_history_ignore_dups(true)?;
    editor.set_helper(Some(Assistant { names: backend.names() }));
    let history = history_file();
    if let Some(history) = &history {
        // There is none the first time.
        let _ = editor.load_history(history);
    }
    eprintln!("riverrun {}; \\? for help, \\q to leave", env!("CARGO_PKG_VERSION"));
    let mut state = State { format, timing: std::io::stderr().is_terminal() };
    loop {
        let line = match editor.readline("riverrun> ") {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(error.into()),
        };
        if line.trim().is_empty() {
            continue;
        }
        editor.add_history_entry(line.as_str())?;
        if is_command(&line) {
            match state.command(&line) {
                Next::Leave => break,
                Next::Go => {}
                Next::Say(text) => println!("{text}"),
                Next::Execute(statement) => {
                    if let Err(complaint) = execute(backend, &statement, state.format)? {
                        eprintln!("{}", complaint.show(None, &statement, 0));
                    }
                }
            }
            continue;
        }
        for piece in split(&line) {
            let begun = Instant::now();
            match execute(backend, piece.text, state.format)? {
                Ok(rows) if state.timing => {
                    let rows = rows.map_or_else(String::new, |rows| format!("{rows} rows, "));
                    eprintln!("({rows}{:.3} s)", begun.elapsed().as_secs_f64());
                }
                Ok(_) => {}
                Err(complaint) => {
                    eprintln!("{}", complaint.show(None, &line, piece.start));
                    break;
                }
            }
        }
        if let Some(assistant) = editor.helper_mut() {
            assistant.names = backend.names();
        }
    }
    if let Some(history) = &history {
        let kept = history.parent().map_or(Ok(()), std::fs::create_dir_all);
        if let Err(error) =
            kept.map_err(ReadlineError::from).and_then(|()| editor.save_history(history))
        {
            eprintln!("what was typed is not kept: {}: {error}", history.display());
        }
    }
    Ok(())
}

/// Where statements are remembered: among the user's own state, as the XDG base directories have it.
fn history_file() -> Option<PathBuf> {
    let of =
        |variable: &str| std::env::var_os(variable).filter(|v| !v.is_empty()).map(PathBuf::from);
    let state = of("XDG_STATE_HOME").or_else(|| Some(of("HOME")?.join(".local/state")))?;
    Some(state.join("riverrun/sql_history"))
}

struct State {
    format: ResultFormat,
    timing: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Next {
    Leave,
    Go,
    Say(String),
    Execute(String),
}

impl State {
    fn command(&mut self, line: &str) -> Next {
        let line = line.trim().trim_end_matches(';').trim();
        let (command, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match (command.to_ascii_lowercase().as_str(), argument.trim()) {
            ("\\q" | "quit" | "exit", _) => Next::Leave,
            ("\\?" | "\\h" | "help", _) => Next::Say(HELP.to_owned()),
            ("\\d" | "\\dt", "") => Next::Execute("SHOW TABLES".to_owned()),
            ("\\d", name) => Next::Execute(format!("DESCRIBE {name}")),
            ("\\timing", _) => {
                self.timing = !self.timing;
                Next::Say(format!("timing is {}", if self.timing { "on" } else { "off" }))
            }
            ("\\output", format) => {
                match <ResultFormat as clap::ValueEnum>::from_str(format, true) {
                    Ok(format) => {
                        self.format = format;
                        Next::Go
                    }
                    Err(_) => {
                        Next::Say(format!("`{format}` is not a format: table, json and csv are"))
                    }
                }
            }
            (command, _) => Next::Say(format!("`{command}` is not known; \\? lists what is")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_from_statements() {
        for line in ["\\q", " \\d t", "help", "Quit;", "exit ;"] {
            assert!(is_command(line), "{line}");
        }
        for line in ["SELECT 1", "helpful", ""] {
            assert!(!is_command(line), "{line}");
        }
    }

    #[test]
    fn commands_do_what_they_say() {
        let mut state = State { format: ResultFormat::Table, timing: true };
        assert_eq!(state.command("\\q"), Next::Leave);
        assert_eq!(state.command("\\d"), Next::Execute("SHOW TABLES".to_owned()));
        assert_eq!(state.command("\\d orders;"), Next::Execute("DESCRIBE orders".to_owned()));
        assert_eq!(state.command("\\output JSON"), Next::Go);
        assert_eq!(state.format, ResultFormat::Json);
        assert!(matches!(state.command("\\output pdf"), Next::Say(_)));
        assert_eq!(state.command("\\timing"), Next::Say("timing is off".to_owned()));
        assert!(matches!(state.command("\\x"), Next::Say(text) if text.contains("\\?")));
    }
}
