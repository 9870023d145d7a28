//! What a name stands for; all names together.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::common::utils::datafusion_strsim::levenshtein;

use super::{Column, MemoryTable, Table};
use crate::parser::QueryText;

/// What a name stands for.
#[derive(Debug, Clone)]
pub enum Entry {
    /// Rows outside: a topic, files.
    Table {
        /// The table.
        table: Arc<Table>,
        /// The statement that makes it.
        definition: String,
    },
    /// A query.
    View(Arc<View>),
    /// A query whose result is kept up to date by a job.
    Materialized(Arc<MaterializedView>),
    /// Rows in memory.
    Memory(Arc<MemoryTable>),
}

/// A view.
#[derive(Debug, Clone)]
pub struct View {
    /// Names for the query's columns; empty: the query's own.
    pub columns: Vec<String>,
    /// The query.
    pub query: QueryText,
    /// The statement that makes it.
    pub definition: String,
}

/// A materialised view.
#[derive(Debug, Clone)]
pub struct MaterializedView {
    /// The table of its result.
    pub table: Arc<Table>,
    /// Whether the table's last column, which the view does not show, says how often a row is there: so it is with rows that are taken back and
    /// have no key. The table's key is then the whole row.
    pub counts_copies: bool,
    /// The job that keeps it up to date.
    pub job: String,
    /// The statement that makes it.
    pub definition: String,
}

impl MaterializedView {
    /// The columns that the view shows.
    pub fn columns(&self) -> &[Column] {
        let columns = self.table.columns.as_slice();
        &columns[..columns.len() - usize::from(self.counts_copies)]
    }
}

impl Entry {
    /// What it is, for messages and lists.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Table { .. } | Self::Memory(_) => "table",
            Self::View(_) => "view",
            Self::Materialized(_) => "materialized view",
        }
    }

    /// The table that can be read or written, if it is one.
    pub fn table(&self) -> Option<&Arc<Table>> {
        match self {
            Self::Table { table, .. } => Some(table),
            Self::Materialized(view) => Some(&view.table),
            Self::View(_) | Self::Memory(_) => None,
        }
    }

    /// The statement that makes it, if there is one.
    pub fn definition(&self) -> Option<&str> {
        match self {
            Self::Table { definition, .. } => Some(definition),
            Self::View(view) => Some(&view.definition),
            Self::Materialized(view) => Some(&view.definition),
            Self::Memory(_) => None,
        }
    }
}

/// All names, in alphabetical order.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    entries: BTreeMap<String, Entry>,
}

impl Catalog {
    /// What a name stands for.
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// Gives a name a meaning, in place of one that it had.
    pub fn put(&mut self, name: impl Into<String>, entry: Entry) {
        self.entries.insert(name.into(), entry);
    }

    /// Takes a name away.
    pub fn remove(&mut self, name: &str) -> Option<Entry> {
        self.entries.remove(name)
    }

    /// All names with what they stand for.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(name, entry)| (name.as_str(), entry))
    }
}

/// The name among `known` that is nearest to `name`, if one is near enough to be meant.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .min()
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len().min(name.len()) / 4)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested_if_it_is_near() {
        assert_eq!(levenshtein("kitten", "sitting"), 3);
        assert_eq!(nearest("Oders", ["orders", "order_lines", "x"]), Some("orders"));
        assert_eq!(nearest("orders", ["IP", "bytes"]), None);
    }
}
