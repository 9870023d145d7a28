//! A result that changes, shown on a terminal as it stands.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use console::Term;

use super::output::table;
use super::result::{Cell, Complaint, Heading, RowSource, Rows};

/// The screen is drawn at most this often.
const BETWEEN_DRAWINGS: Duration = Duration::from_millis(100);

/// Rows of a result that only grows are not kept for longer than they can be seen.
const ROWS_KEPT: usize = 1000;

/// Batches that may wait for the screen.
const AHEAD: usize = 16;

/// Shows a result until it ends or is stopped. Returns how many changes there were.
#[expect(clippy::disallowed_methods, reason = "a screen is drawn for people, in their time")]
pub(super) fn show(
    terminal: &Term,
    mut source: Box<dyn RowSource>,
) -> anyhow::Result<Result<u64, Complaint>> {
    let headings = source.headings().to_vec();
    let mut result = Standing::new(source.is_changelog());
    let (sender, batches) = sync_channel(AHEAD);
    std::thread::scope(|scope| {
        let ended = scope.spawn(move || {
            loop {
                match source.next_rows() {
                    Ok(Some(rows)) => {
                        if sender.send(rows).is_err() {
                            return Ok(());
                        }
                    }
                    Ok(None) => return Ok(()),
                    Err(complaint) => return Err(complaint),
                }
            }
        });
        let mut screen = Screen { terminal, lines: 0 };
        let mut drawn = Instant::now() - BETWEEN_DRAWINGS;
        let mut stale = true;
        loop {
            if stale && drawn.elapsed() >= BETWEEN_DRAWINGS {
                screen.draw(&headings, &result)?;
                (drawn, stale) = (Instant::now(), false);
            }
            let wait = if stale {
                BETWEEN_DRAWINGS.saturating_sub(drawn.elapsed())
            } else {
                Duration::MAX
            };
            match batches.recv_timeout(wait) {
                Ok(rows) => {
                    result.apply(rows);
                    stale = true;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        screen.draw(&headings, &result)?;
        let ended = ended.join().map_err(|_| anyhow::anyhow!("reading the result panicked"))?;
        Ok(ended.map(|()| result.changes))
    })
}

/// A result as it stands.
struct Standing {
    changes: u64,
    rows: Kept,
}

enum Kept {
    /// All rows with how often they are there: any of them may be taken back.
    Counted(BTreeMap<Vec<Cell>, i64>),
    /// The last rows.
    Last(VecDeque<Vec<Cell>>),
}

impl Standing {
    fn new(changelog: bool) -> Self {
        let rows =
            if changelog { Kept::Counted(BTreeMap::new()) } else { Kept::Last(VecDeque::new()) };
        Self { changes: 0, rows }
    }

    fn apply(&mut self, rows: Rows) {
        for (weight, cells) in rows {
            self.changes += weight.unsigned_abs();
            match &mut self.rows {
                Kept::Counted(counts) => {
                    // A row may be taken back before it comes: below zero it is remembered and not shown.
                    match counts.entry(cells) {
                        Entry::Occupied(mut count) => {
                            *count.get_mut() += weight;
                            if *count.get() == 0 {
                                count.remove();
                            }
                        }
                        Entry::Vacant(place) => {
                            place.insert(weight);
                        }
                    }
                }
                Kept::Last(last) => {
                    for _ in 0..weight {
                        if last.len() == ROWS_KEPT {
                            last.pop_front();
                        }
                        last.push_back(cells.clone());
                    }
                }
            }
        }
    }

    /// The rows that fit into some lines, and how many there are.
    fn visible(&self, lines: usize) -> (Vec<Vec<Cell>>, u64) {
        match &self.rows {
            Kept::Counted(counts) => {
                let there = counts.iter().filter(|(_, count)| **count > 0);
                let total = there.clone().map(|(_, count)| count.unsigned_abs()).sum();
                let repeated = there.flat_map(|(row, count)| {
                    std::iter::repeat_n(row, usize::try_from(*count).unwrap_or(0))
                });
                (repeated.take(lines).cloned().collect(), total)
            }
            Kept::Last(last) => {
                let skipped = last.len().saturating_sub(lines);
                (last.iter().skip(skipped).cloned().collect(), self.changes)
            }
        }
    }
}

/// The part of the terminal that is drawn anew.
struct Screen<'a> {
    terminal: &'a Term,
    lines: usize,
}

impl Screen<'_> {
    fn draw(&mut self, headings: &[Heading], result: &Standing) -> std::io::Result<()> {
        let (height, width) = self.terminal.size();
        // Names, the line below them, the last line, and the cursor's.
        let room = usize::from(height).saturating_sub(4).max(1);
        let (rows, total) = result.visible(room);
        let shown = rows.len();
        let mut text = String::new();
        for line in table(headings, &rows, true).lines() {
            // A line that wraps would be two.
            text += &console::truncate_str(line, usize::from(width.max(2)) - 1, "");
            text.push('\n');
        }
        let last = format!("{shown} of {total} rows, {} changes; Ctrl-C stops", result.changes);
        text += &console::truncate_str(&last, usize::from(width.max(2)) - 1, "");
        self.terminal.clear_last_lines(self.lines)?;
        self.terminal.write_line(&text)?;
        self.lines = text.lines().count();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(text: &str) -> Vec<Cell> {
        vec![Some(text.to_owned())]
    }

    #[test]
    fn a_result_stands_as_its_changes_add_up_in_any_order() {
        let mut result = Standing::new(true);
        result.apply(vec![(-1, row("a")), (2, row("b"))]);
        assert_eq!(result.visible(10), (vec![row("b"), row("b")], 2));
        result.apply(vec![(1, row("a")), (-1, row("b")), (1, row("c"))]);
        assert_eq!(result.visible(10), (vec![row("b"), row("c")], 2));
        assert_eq!(result.visible(1), (vec![row("b")], 2));
        assert_eq!(result.changes, 6);
    }

    #[test]
    fn of_rows_that_only_come_the_last_are_kept() {
        let mut result = Standing::new(false);
        for n in 0..ROWS_KEPT + 5 {
            result.apply(vec![(1, row(&n.to_string()))]);
        }
        let (last, total) = result.visible(1);
        assert_eq!((last, total), (vec![row(&(ROWS_KEPT + 4).to_string())], ROWS_KEPT as u64 + 5));
        let Kept::Last(kept) = &result.rows else { panic!("rows that come are not counted") };
        assert_eq!(kept.len(), ROWS_KEPT);
    }
}
