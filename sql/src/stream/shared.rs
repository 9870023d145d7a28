//! Parts of a job that are used more than once: a sub-query that is named twice, a table that several statements of a set read.

use datafusion::logical_expr::{Extension, LogicalPlan};

use super::Planned;
use crate::plan::{EventTime, Needs, Relation, Rows};

/// The plans of a job so far, with what their scans read and what they led to.
#[derive(Default)]
pub(super) struct Shared(Vec<(LogicalPlan, Vec<Needs>, Planned)>);

impl Shared {
    /// What the same plan led to, of which as much is read.
    pub(super) fn find(&self, plan: &LogicalPlan, needs: &[Needs]) -> Option<Planned> {
        let same = |(of, read, _): &&(LogicalPlan, Vec<Needs>, Planned)| {
            read.as_slice() == needs && of == plan
        };
        self.0.iter().find(same).map(|(.., planned)| planned.clone())
    }

    /// Remembers a plan, if its stream can be used again.
    pub(super) fn add(&mut self, plan: &LogicalPlan, needs: Vec<Needs>, planned: &Planned) {
        if can_be_shared(plan) {
            self.0.push((plan.clone(), needs, planned.clone()));
        }
    }
}

/// Whether rows may go several ways behind a plan. Event time is followed by the splits of a source, of which nothing is known any more where the
/// ways part: so not between a source and its `WATERMARK`.
fn can_be_shared(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Values(_) | LogicalPlan::EmptyRelation(_) => false,
        plan => follows_event_time(plan),
    }
}

fn follows_event_time(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Extension(Extension { node }) if node.as_any().is::<EventTime>() => true,
        LogicalPlan::TableScan(scan) => match Relation::of(&scan.source).as_deref() {
            Some(Relation { rows: Rows::Table(table), .. }) => table.watermark.is_none(),
            Some(Relation { rows: Rows::Planned(plan), .. }) => follows_event_time(plan),
            Some(Relation { rows: Rows::Memory(_), .. }) | None => true,
        },
        plan => plan.inputs().into_iter().all(follows_event_time),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::stream::testing::{Tables, batch, facts, stream};

    /// Queries, with the number of times that they read their tables and aggregate.
    const QUERIES: &[(&str, usize, usize)] = &[
        (
            "WITH w AS (SELECT k, SUM(n) AS total FROM t GROUP BY k) \
             SELECT a.k, b.total FROM w a JOIN w b ON a.total = b.total",
            1,
            1,
        ),
        ("SELECT k, n FROM t UNION ALL SELECT k, n FROM t", 1, 0),
        ("SELECT k, n FROM t UNION ALL SELECT k, n + 1 FROM t", 1, 0),
        // Other columns are read: the streams differ.
        ("SELECT a.k, a.n, b.s FROM t a JOIN t b ON a.k = b.k", 2, 0),
        (
            "WITH w AS (SELECT window_start, k, COUNT(*) AS c \
               FROM TABLE(TUMBLE(TABLE e, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end, k) \
             SELECT w.window_start, w.k, w.c FROM w \
             JOIN (SELECT window_start, MAX(c) AS most FROM w GROUP BY window_start) m \
               ON w.window_start = m.window_start AND w.c = m.most",
            1,
            1,
        ),
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        /// What is used twice is planned once, and the result is that of a batch query.
        #[test]
        fn what_is_used_twice_is_made_once(
            history in facts::history(3, 20),
            insertions in facts::insertions(3, 25),
            seed in any::<u64>(),
            parallelism in 1u32..4,
        ) {
            let tables = Tables::from([
                ("t".to_owned(), facts::table(&history, None)),
                ("e".to_owned(), facts::table(&insertions, Some(3))),
            ]);
            for (query, reads, aggregates) in QUERIES {
                let outcome = stream(query, &tables, parallelism, seed).unwrap();
                prop_assert_eq!(&outcome.rows, &batch(query, &tables), "{}", query);
                let count = |of: &str| outcome.operators.iter().filter(|name| *name == of).count();
                let counted = (count("memory"), count("aggregate"));
                prop_assert_eq!(counted, (*reads, *aggregates), "{}: {:?}", query, outcome.operators);
            }
        }
    }
}
