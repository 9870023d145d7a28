//! Expected results: the rows that an independent engine came to, and whether others are the same.
//!
//! A file of expected results (`q0.jsonl`, or compressed `q0.jsonl.gz`) begins with a line that tells columns, types and how to compare;
//! each other line is a row, a JSON array. `tests/compat/nexmark_reference.py` says more, and writes them.
//!
//! Rows are compared as multisets: the same rows, each as often, in any order. Where a query leaves open which of several rows it
//! takes, the file has all of them ([`Compare::OneOf`]), and where rows depend on the clock, their sums are compared ([`Compare::Sums`]).

mod cell;
#[cfg(test)]
mod tests;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde_json::{Map, Value};

use self::cell::Kind;

/// A row in the one form in which rows are compared: a JSON array as text.
type Row = String;

/// The expected result of one query.
#[derive(Debug, Clone)]
pub struct Expected {
    columns: Vec<(String, Kind)>,
    compare: Compare,
    rows: HashMap<Row, u64>,
}

/// How results are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compare {
    /// The same rows, each as often.
    Rows,
    /// Expected rows with the same key are equally good: the result has exactly one of them for each key.
    OneOf {
        /// Columns of the key.
        key: Vec<usize>,
        /// Rows of the result differ even without this column.
        distinct_but_for: Option<usize>,
    },
    /// The result's rows, added up by key, are the expected ones.
    Sums {
        /// Columns of the key; the one column besides is the sum.
        key: Vec<usize>,
        /// The column to add up.
        sum: usize,
    },
}

/// How a result differs from what is expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// How many rows are missing.
    pub missing: u64,
    /// How many rows should not be there.
    pub unexpected: u64,
    /// Some of those.
    pub examples: Vec<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows missing, {} unexpected", self.missing, self.unexpected)?;
        self.examples.iter().try_for_each(|example| write!(f, "; {example}"))
    }
}

/// How many rows of each sort a [`Difference`] shows.
const EXAMPLES: usize = 3;

impl Expected {
    /// Reads the expected result of `query` from a folder.
    ///
    /// # Errors
    /// There is none, or its file is not laid out as it should be.
    pub fn read(folder: &Path, query: &str) -> anyhow::Result<Expected> {
        let path = find(folder, query)?;
        let file = File::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let reader: Box<dyn Read> = if path.extension().is_some_and(|ending| ending == "gz") {
            Box::new(flate2::read::GzDecoder::new(file))
        } else {
            Box::new(file)
        };
        Self::from_lines(BufReader::with_capacity(1 << 18, reader))
            .with_context(|| format!("{} cannot be used", path.display()))
    }

    fn from_lines(lines: impl BufRead) -> anyhow::Result<Expected> {
        let mut lines = lines.lines();
        let header = lines.next().context("it is empty")??;
        let header: Value = serde_json::from_str(&header).context("its first line is not JSON")?;
        let columns = columns(&header)?;
        let compare = compare(&header, &columns)?;
        let mut expected = Expected { columns, compare, rows: HashMap::new() };
        for (number, line) in lines.enumerate() {
            let row = || -> anyhow::Result<Row> {
                let values: Vec<Value> = serde_json::from_str(&line?)?;
                expected.row(&values.iter().map(Some).collect::<Vec<_>>())
            };
            let row = row().with_context(|| format!("its line {}", number + 2))?;
            *expected.rows.entry(row).or_default() += 1;
        }
        Ok(expected)
    }

    /// The names of the result's columns, in their order.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(name, _)| name.as_str())
    }

    /// Puts values, in the order of the columns, into the form of rows. What is `None` counts as null.
    fn row(&self, values: &[Option<&Value>]) -> anyhow::Result<Row> {
        ensure!(
            values.len() == self.columns.len(),
            "a row has {} values, but there are {} columns",
            values.len(),
            self.columns.len()
        );
        let cells = values.iter().zip(&self.columns).map(|(value, (name, kind))| {
            let value = value.unwrap_or(&Value::Null);
            kind.cell(value).with_context(|| format!("column `{name}`"))
        });
        let cells: Vec<Value> = cells.collect::<anyhow::Result<_>>()?;
        Ok(Value::Array(cells).to_string())
    }

    /// A result to compare, without rows as yet.
    pub fn result(&self) -> Found<'_> {
        Found { expected: self, rows: HashMap::new() }
    }

    fn same_rows(&self, found: &HashMap<Row, i64>) -> Result<(), Difference> {
        let mut difference = Differing::default();
        for (row, &expected) in &self.rows {
            let expected = i64::try_from(expected).unwrap_or(i64::MAX);
            difference.add(row, expected - found.get(row).copied().unwrap_or_default());
        }
        for (row, &count) in found.iter().filter(|(row, _)| !self.rows.contains_key(*row)) {
            difference.add(row, -count);
        }
        difference.into_result()
    }

    fn one_of(
        &self,
        found: &HashMap<Row, i64>,
        key: &[usize],
        distinct_but_for: Option<usize>,
    ) -> Result<(), Difference> {
        let mut difference = Differing::default();
        let mut keys: HashSet<Row> = self.rows.keys().map(|row| part(row, key)).collect();
        let others = |but: usize| -> Vec<usize> {
            (0..self.columns.len()).filter(|&column| column != but).collect()
        };
        let others = distinct_but_for.map(others);
        let mut seen = HashSet::new();
        for (row, &count) in found {
            let good = count == 1 && self.rows.contains_key(row) && keys.remove(&part(row, key));
            let first = others.as_ref().is_none_or(|others| seen.insert(part(row, others)));
            if !good || !first {
                difference.add(row, -count);
            }
        }
        for key in &keys {
            difference.add(key, 1);
        }
        difference.into_result()
    }
}

/// A result that is compared with what is expected.
#[derive(Debug)]
pub struct Found<'a> {
    expected: &'a Expected,
    rows: HashMap<Row, i64>,
}

impl Found<'_> {
    /// Adds a row that is there so many times more, or fewer if that is negative. It is an object by column name, whose values may be
    /// text or numbers, as a format has them; other names are left out.
    ///
    /// # Errors
    /// A value does not fit its column's type.
    pub fn add(&mut self, row: &Map<String, Value>, count: i64) -> anyhow::Result<()> {
        let names = self.expected.columns();
        let values: Vec<_> = names.map(|name| row.get(name)).collect();
        let row = self.expected.row(&values)?;
        match self.rows.entry(row) {
            Entry::Occupied(entry) if *entry.get() == -count => {
                entry.remove();
            }
            entry => *entry.or_default() += count,
        }
        Ok(())
    }

    /// How many rows there are.
    pub fn len(&self) -> i64 {
        self.rows.values().sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Compares the rows.
    ///
    /// # Errors
    /// How they differ.
    pub fn compare(&self) -> Result<(), Difference> {
        match &self.expected.compare {
            Compare::Rows => self.expected.same_rows(&self.rows),
            Compare::OneOf { key, distinct_but_for } => {
                self.expected.one_of(&self.rows, key, *distinct_but_for)
            }
            Compare::Sums { key, sum } => self.expected.same_rows(&sums(&self.rows, key, *sum)),
        }
    }
}

fn find(folder: &Path, query: &str) -> anyhow::Result<PathBuf> {
    let paths = ["jsonl", "jsonl.gz"].map(|ending| folder.join(format!("{query}.{ending}")));
    let found = paths.into_iter().find(|path| path.is_file());
    found.with_context(|| {
        format!("there is no expected result of {query} in {}: no {query}.jsonl", folder.display())
    })
}

fn columns(header: &Value) -> anyhow::Result<Vec<(String, Kind)>> {
    let columns = header["columns"].as_array().context("its first line has no `columns`")?;
    let column = |column: &Value| {
        let (Some(name), Some(kind)) = (column["name"].as_str(), column["type"].as_str()) else {
            bail!("a column has no `name` or no `type`: {column}");
        };
        Ok((name.to_owned(), Kind::parse(kind)?))
    };
    columns.iter().map(column).collect()
}

fn compare(header: &Value, columns: &[(String, Kind)]) -> anyhow::Result<Compare> {
    let index = |name: &Value| {
        let found = columns.iter().position(|(column, _)| name == column.as_str());
        found.with_context(|| format!("there is no column {name}"))
    };
    let key = || -> anyhow::Result<Vec<usize>> {
        header["key"].as_array().context("its first line has no `key`")?.iter().map(index).collect()
    };
    Ok(match header["compare"].as_str() {
        Some("rows") => Compare::Rows,
        Some("one of") => {
            let distinct_but_for = header.get("distinct but for").map(index).transpose()?;
            Compare::OneOf { key: key()?, distinct_but_for }
        }
        Some("sums") => Compare::Sums { key: key()?, sum: index(&header["sum"])? },
        _ => bail!("its first line does not say how to compare: {}", header["compare"]),
    })
}

/// The values of a row; what is no row has none.
fn values(row: &str) -> Vec<Value> {
    serde_json::from_str(row).unwrap_or_default()
}

fn part(row: &str, columns: &[usize]) -> Row {
    let values = values(row);
    let picked = columns.iter().map(|&column| values.get(column).cloned().unwrap_or_default());
    Value::Array(picked.collect()).to_string()
}

fn sums(found: &HashMap<Row, i64>, key: &[usize], sum: usize) -> HashMap<Row, i64> {
    let mut sums: BTreeMap<Row, i64> = BTreeMap::new();
    for (row, &count) in found {
        let value = values(row).get(sum).and_then(Value::as_i64).unwrap_or_default();
        *sums.entry(part(row, key)).or_default() += value * count;
    }
    let row = |(key_part, total): (Row, i64)| {
        let mut cells = vec![Value::Null; key.len() + 1];
        for (&column, value) in key.iter().zip(values(&key_part)) {
            cells[column] = value;
        }
        cells[sum] = total.into();
        (Value::Array(cells).to_string(), 1)
    };
    sums.into_iter().map(row).collect()
}

/// A difference while it is being found.
#[derive(Default)]
struct Differing {
    missing: u64,
    unexpected: u64,
    missing_rows: Vec<String>,
    unexpected_rows: Vec<String>,
}

impl Differing {
    /// So many of this row are missing; a negative number: are too many.
    fn add(&mut self, row: &str, missing: i64) {
        let (count, rows) = match missing {
            0 => return,
            1.. => (&mut self.missing, &mut self.missing_rows),
            _ => (&mut self.unexpected, &mut self.unexpected_rows),
        };
        *count += missing.unsigned_abs();
        if rows.len() < EXAMPLES {
            rows.push(row.to_owned());
        }
    }

    fn into_result(self) -> Result<(), Difference> {
        if self.missing == 0 && self.unexpected == 0 {
            return Ok(());
        }
        let missing = self.missing_rows.iter().map(|row| format!("missing: {row}"));
        let unexpected = self.unexpected_rows.iter().map(|row| format!("unexpected: {row}"));
        Err(Difference {
            missing: self.missing,
            unexpected: self.unexpected,
            examples: missing.chain(unexpected).collect(),
        })
    }
}
