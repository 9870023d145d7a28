//! Random queries over random tables give the same in both modes.
//!
//! A failure prints its seed; `RIVERRUN_SQL_SEED` runs that one alone, `RIVERRUN_SQL_QUERIES` says how many are run.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use riverrun_sql::session::Session;

use crate::kit::Cluster;
use crate::modes::{compare, table};

/// Queries that the test suite runs.
const QUERIES: u64 = 120;

/// The type of an expression or column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Int,
    Text,
    Float,
    Time,
}

/// A relation in the making: what can stand in FROM, and its columns.
#[derive(Debug, Clone)]
struct Relation {
    from: String,
    columns: Vec<(String, Kind)>,
    /// It is a join: in another join it needs parentheses.
    joined: bool,
}

struct Writer {
    random: StdRng,
    aliases: u32,
}

impl Writer {
    fn chance(&mut self, one_in: u32) -> bool {
        self.random.random_range(0..one_in) == 0
    }

    fn alias(&mut self) -> String {
        self.aliases += 1;
        format!("r{}", self.aliases)
    }

    fn base(&mut self) -> Relation {
        let name = if self.chance(2) { "t" } else { "u" };
        let alias = self.alias();
        let columns = [
            ("k", Kind::Int),
            ("v", Kind::Int),
            ("s", Kind::Text),
            ("x", Kind::Float),
            ("ts", Kind::Time),
        ];
        Relation {
            from: format!("{name} AS {alias}"),
            columns: columns.iter().map(|(c, kind)| (format!("{alias}.{c}"), *kind)).collect(),
            joined: false,
        }
    }

    fn column(&mut self, relation: &Relation, kind: Kind) -> Option<String> {
        let of: Vec<&String> =
            relation.columns.iter().filter(|c| c.1 == kind).map(|c| &c.0).collect();
        of.choose(&mut self.random).map(|column| (*column).clone())
    }

    fn int(&mut self, relation: &Relation) -> String {
        let Some(column) = self.column(relation, Kind::Int) else { return "1".to_owned() };
        match self.random.random_range(0..8) {
            0 => format!("{column} + {}", self.random.random_range(-3..4)),
            1 => format!("ABS({column})"),
            2 => format!("COALESCE({column}, 0)"),
            3 => format!("CASE WHEN {column} > 2 THEN {column} ELSE -1 END"),
            _ => column,
        }
    }

    fn text(&mut self, relation: &Relation) -> Option<String> {
        let column = self.column(relation, Kind::Text)?;
        Some(match self.random.random_range(0..6) {
            0 => format!("UPPER({column})"),
            1 => format!("{column} || 'z'"),
            2 => format!("SUBSTRING({column}, 1, 1)"),
            _ => column,
        })
    }

    fn predicate(&mut self, relation: &Relation) -> String {
        let int = self.int(relation);
        match self.random.random_range(0..7) {
            0 => format!("{int} IS NOT NULL"),
            1 => format!("{int} IN (1, 2, 3, 7)"),
            2 => match self.text(relation) {
                Some(text) => format!("{text} LIKE 'a%'"),
                None => format!("{int} < 4"),
            },
            3 => format!("NOT ({int} > 3)"),
            4 => format!("{int} > 1 OR {} = 2", self.int(relation)),
            5 => format!("{int} BETWEEN 0 AND 9"),
            _ => format!("{int} > {}", self.random.random_range(-2..8)),
        }
    }

    /// Something for FROM, with sub-queries up to `depth`.
    fn relation(&mut self, depth: u32) -> Relation {
        if depth == 0 || self.chance(3) {
            return self.base();
        }
        match self.random.random_range(0..3) {
            0 => self.join(depth - 1),
            _ => {
                let (query, columns) = self.query(depth - 1);
                let alias = self.alias();
                Relation {
                    from: format!("({query}) AS {alias}"),
                    columns: columns
                        .into_iter()
                        .map(|(c, kind)| (format!("{alias}.{c}"), kind))
                        .collect(),
                    joined: false,
                }
            }
        }
    }

    fn join(&mut self, depth: u32) -> Relation {
        let (left, mut right) = (self.relation(depth), self.relation(depth));
        if right.joined {
            right.from = format!("({})", right.from);
        }
        let kind = *["JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"]
            .choose(&mut self.random)
            .unwrap_or(&"JOIN");
        let on = match (self.column(&left, Kind::Int), self.column(&right, Kind::Int)) {
            (Some(a), Some(b)) => {
                let more = match (self.chance(3), kind) {
                    (true, _) => format!(" AND {} < {}", self.int(&left), self.int(&right)),
                    _ => String::new(),
                };
                format!("{a} = {b}{more}")
            }
            _ => return left,
        };
        let mut columns = left.columns.clone();
        columns.extend(right.columns.clone());
        let from = format!("{} {kind} {} ON {on}", left.from, right.from);
        Relation { from, columns, joined: true }
    }

    fn aggregate(&mut self, relation: &Relation) -> (String, Kind) {
        let int = self.int(relation);
        let distinct = if self.chance(4) { "DISTINCT " } else { "" };
        let (call, kind) = match self.random.random_range(0..8) {
            0 => ("COUNT(*)".to_owned(), Kind::Int),
            1 => (format!("COUNT({distinct}{int})"), Kind::Int),
            2 => (format!("SUM({distinct}{int})"), Kind::Int),
            3 => (format!("MIN({int})"), Kind::Int),
            4 => (format!("MAX({int})"), Kind::Int),
            5 => match self.text(relation) {
                Some(text) => (format!("MAX({text})"), Kind::Text),
                None => ("COUNT(*)".to_owned(), Kind::Int),
            },
            6 => match self.column(relation, Kind::Float) {
                Some(float) => (format!("SUM({float})"), Kind::Float),
                None => ("COUNT(*)".to_owned(), Kind::Int),
            },
            _ => (format!("COUNT({distinct}{int})"), Kind::Int),
        };
        if self.chance(5) {
            (format!("{call} FILTER (WHERE {})", self.predicate(relation)), kind)
        } else {
            (call, kind)
        }
    }

    /// A query and its columns.
    fn query(&mut self, depth: u32) -> (String, Vec<(String, Kind)>) {
        let relation = self.relation(depth);
        let filter = if self.chance(2) {
            format!(" WHERE {}", self.predicate(&relation))
        } else {
            String::new()
        };
        let from = format!("FROM {}{filter}", relation.from);
        match self.random.random_range(0..6) {
            0 | 1 => {
                let mut groups = vec![(self.int(&relation), Kind::Int)];
                if self.chance(2)
                    && let Some(text) = self.text(&relation)
                {
                    groups.push((text, Kind::Text));
                }
                let mut columns = groups.clone();
                for _ in 0..self.random.random_range(1..4) {
                    columns.push(self.aggregate(&relation));
                }
                let by: Vec<&str> = groups.iter().map(|group| group.0.as_str()).collect();
                let having = if self.chance(4) { " HAVING COUNT(*) > 1" } else { "" };
                (
                    format!("SELECT {} {from} GROUP BY {}{having}", named(&columns), by.join(", ")),
                    kinds(&columns),
                )
            }
            2 => {
                let columns = vec![self.aggregate(&relation), self.aggregate(&relation)];
                (format!("SELECT {} {from}", named(&columns)), kinds(&columns))
            }
            3 => {
                let columns = self.plain(&relation);
                (format!("SELECT DISTINCT {} {from}", named(&columns)), kinds(&columns))
            }
            4 => {
                // All columns order the rows: no two that differ are tied.
                let all: Vec<String> =
                    relation.columns.iter().map(|column| column.0.clone()).collect();
                let columns = self.plain(&relation);
                let part = self.int(&relation);
                let n = self.random.random_range(1..4);
                let inner = format!(
                    "SELECT {}, ROW_NUMBER() OVER (PARTITION BY {part} ORDER BY {}) AS rn {from}",
                    named(&columns),
                    all.join(", ")
                );
                let names: Vec<String> = (0..columns.len()).map(|at| format!("c{at}")).collect();
                (
                    format!("SELECT {} FROM ({inner}) AS ranked WHERE rn <= {n}", names.join(", ")),
                    kinds(&columns),
                )
            }
            _ => {
                let columns = self.plain(&relation);
                (format!("SELECT {} {from}", named(&columns)), kinds(&columns))
            }
        }
    }

    fn plain(&mut self, relation: &Relation) -> Vec<(String, Kind)> {
        let mut columns = vec![(self.int(relation), Kind::Int)];
        for _ in 0..self.random.random_range(0..3) {
            columns.push(match self.text(relation) {
                Some(text) if self.chance(2) => (text, Kind::Text),
                _ => (self.int(relation), Kind::Int),
            });
        }
        columns
    }
}

fn named(columns: &[(String, Kind)]) -> String {
    let named = columns.iter().enumerate().map(|(at, (expr, _))| format!("{expr} AS c{at}"));
    named.collect::<Vec<_>>().join(", ")
}

fn kinds(columns: &[(String, Kind)]) -> Vec<(String, Kind)> {
    columns.iter().enumerate().map(|(at, (_, kind))| (format!("c{at}"), *kind)).collect()
}

/// The query of a seed.
fn query_of(seed: u64) -> String {
    let mut writer = Writer { random: StdRng::seed_from_u64(seed), aliases: 0 };
    let depth = writer.random.random_range(1..4);
    writer.query(depth).0
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

#[test]
fn random_queries_give_the_same_in_both_modes() {
    let seeds: Vec<u64> = match setting("RIVERRUN_SQL_SEED") {
        Some(seed) => vec![seed],
        None => (0..setting("RIVERRUN_SQL_QUERIES").unwrap_or(QUERIES)).collect(),
    };
    let mut failures = Vec::new();
    for chunk in seeds.chunks(40) {
        // A store that has seen thousands of jobs is not what this is about.
        let engine = Cluster::engine();
        let mut session = Session::new(engine.clone());
        for seed in chunk {
            engine.register_memory("t", table(seed * 2 + 1, 24, seed % 2 == 0));
            engine.register_memory("u", table(seed * 2 + 2, 12, seed % 3 == 0));
            if let Err(failure) = compare(&mut session, &query_of(*seed)) {
                failures.push(format!("seed {seed}: {failure}"));
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {} differ:\n{}",
        failures.len(),
        seeds.len(),
        failures.join("\n\n")
    );
}
