//! `riverrun sql`: statements from the command line, a file or standard input, or typed at a prompt.
//!
//! | file | what |
//! |---|---|
//! | `console.rs` | the prompt: reading, commands that begin with `\` |
//! | `completion.rs` | completion, and whether a statement is whole |
//! | `embedded.rs`, `remote.rs` | who answers: this process, or a server |
//! | `result.rs` | rows and complaints, wherever they come from |
//! | `output.rs` | tables, JSON lines, CSV |
//! | `live.rs` | a result that changes, on a terminal |
//! | `interrupts.rs` | Ctrl-C |

mod completion;
mod console;
mod embedded;
mod interrupts;
mod live;
mod output;
mod remote;
mod result;

use std::io::{IsTerminal, Read};
use std::path::PathBuf;

use ::console::Term;
use anyhow::{Context, bail};

pub use output::ResultFormat;

use crate::sql::script::split;
use completion::Names;
use embedded::Embedded;
use interrupts::Interrupts;
use remote::Remote;
use result::{Complaint, Reply};

/// How SQL is asked for.
#[derive(Debug, Clone)]
pub struct SqlOptions {
    /// Where the statements are.
    pub input: Input,
    /// Who answers.
    pub place: Place,
    /// Whether streaming queries and jobs end where their sources end now.
    pub until_caught_up: bool,
    /// How results are printed.
    pub output: ResultFormat,
}

/// Where statements are.
#[derive(Debug, Clone)]
pub enum Input {
    /// Here.
    Text(String),
    /// In files, in this order.
    Files(Vec<PathBuf>),
    /// On standard input: a prompt if it is a terminal, else a script.
    Standard,
}

/// Who answers statements.
#[derive(Debug, Clone)]
pub enum Place {
    /// This process, on a data dir.
    DataDir(PathBuf),
    /// The server at HOST:PORT.
    Server(String),
}

/// Who answers.
trait Backend {
    /// Answers a statement.
    ///
    /// # Errors
    /// What is wrong with it.
    fn execute(&mut self, statement: &str) -> Result<Reply, Complaint>;

    /// Comes to an end: waits for the jobs that were started, or stops them with a last checkpoint. Says what became of each.
    ///
    /// # Errors
    /// What made one fail.
    fn finish(&mut self, waits: bool) -> Result<Vec<String>, Complaint>;

    /// Names that can be completed.
    fn names(&mut self) -> Names;

    /// What Ctrl-C does.
    fn interrupts(&self) -> Interrupts;
}

/// Does what is asked for.
///
/// # Errors
/// The first complaint of a script. At a prompt, complaints are only shown.
pub fn run(options: &SqlOptions) -> anyhow::Result<()> {
    let interrupts = Interrupts::listen()?;
    let mut backend: Box<dyn Backend> = match &options.place {
        Place::DataDir(folder) => Box::new(Embedded::open(folder, interrupts)?),
        Place::Server(address) => Box::new(Remote::connect(address, interrupts)?),
    };
    let backend = backend.as_mut();
    if options.until_caught_up {
        let set = backend.execute("SET 'execution.until-caught-up' = 'true'");
        set.map_err(|complaint| anyhow::anyhow!(complaint.message))?;
    }
    let scripts: Vec<(String, Option<String>)> = match &options.input {
        Input::Text(text) => vec![(text.clone(), None)],
        Input::Files(paths) => {
            let read = |path: &PathBuf| {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                Ok((text, Some(path.display().to_string())))
            };
            // All of them, before the first statement is executed.
            paths.iter().map(read).collect::<anyhow::Result<_>>()?
        }
        Input::Standard if std::io::stdin().is_terminal() => {
            console::converse(backend, options.output)?;
            return end(backend, false);
        }
        Input::Standard => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
            vec![(text, None)]
        }
    };
    let done = scripts.iter().try_for_each(|(script, file)| {
        run_script(backend, script, file.as_deref(), options.output)
    });
    // What was started before a complaint is stopped, and waited for if all went well.
    let ended = end(backend, done.is_ok());
    done.and(ended)
}

fn end(backend: &mut dyn Backend, waits: bool) -> anyhow::Result<()> {
    match backend.finish(waits) {
        Ok(reports) => {
            for report in reports {
                eprintln!("{report}");
            }
            Ok(())
        }
        Err(complaint) => bail!(complaint.message),
    }
}

/// Executes the statements of a script up to the first complaint, which is shown.
fn run_script(
    backend: &mut dyn Backend,
    script: &str,
    file: Option<&str>,
    format: ResultFormat,
) -> anyhow::Result<()> {
    for piece in split(script) {
        if let Err(complaint) = execute(backend, piece.text, format)? {
            return Err(Shown(complaint.show(file, script, piece.start)).into());
        }
    }
    Ok(())
}

/// A complaint as it is to be shown: it begins with `error: ` already.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Shown(String);

/// Executes a statement and shows what comes of it. Returns how many rows there were, if it has rows.
fn execute(
    backend: &mut dyn Backend,
    statement: &str,
    format: ResultFormat,
) -> anyhow::Result<Result<Option<u64>, Complaint>> {
    let mut source = match backend.execute(statement) {
        Ok(Reply::Rows(source)) => source,
        Ok(Reply::Done(text)) => {
            if !text.is_empty() {
                eprintln!("{text}");
            }
            return Ok(Ok(None));
        }
        Err(complaint) => return Ok(Err(complaint)),
    };
    let (stop, interrupts) = (source.stop(), backend.interrupts());
    let terminal = Term::stdout();
    let shown = interrupts.during(stop, || {
        if source.is_live() && format == ResultFormat::Table && terminal.is_term() {
            return live::show(&terminal, source);
        }
        let mut out = std::io::BufWriter::new(std::io::stdout().lock());
        output::print(&mut out, source.as_mut(), format)
    })?;
    Ok(shown.map(Some))
}
