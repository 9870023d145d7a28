//! Aggregations against DataFusion's own: whatever the batches, their order, retractions and restarts, what comes out adds up to the result of
//! the same query over what the input adds up to.

mod pipeline;
mod queries;
mod table;
mod windows;

use std::collections::BTreeMap;

use proptest::prelude::*;

use self::pipeline::Pipeline;
use self::table::{Row, batches, net, reference};

/// Aggregates that are computed in different ways.
const QUERIES: &[&str] = &[
    "SELECT k, COUNT(*), COUNT(a), SUM(a), AVG(a), MIN(a), MAX(a) FROM t GROUP BY k",
    "SELECT COUNT(*), SUM(a), MIN(s), MAX(s), MIN(f), MAX(d) FROM t",
    "SELECT k, b, SUM(d), AVG(d), SUM(f), AVG(f), SUM(a) FILTER (WHERE b) FROM t GROUP BY k, b",
    "SELECT k, COUNT(DISTINCT a), SUM(DISTINCT a), COUNT(DISTINCT s) FILTER (WHERE b), AVG(DISTINCT a), COUNT(*) FROM t GROUP BY k",
    "SELECT COUNT(DISTINCT k), COUNT(DISTINCT a), MIN(DISTINCT a) FROM t",
    "SELECT k, STDDEV(a), VAR_POP(a), BOOL_AND(b), BIT_XOR(a), MEDIAN(a) FROM t GROUP BY k",
    "SELECT k, ARRAY_AGG(a ORDER BY a DESC, s), STRING_AGG(s, '+' ORDER BY s), FIRST_VALUE(a ORDER BY a), LAST_VALUE(s ORDER BY s) FROM t GROUP BY k",
    "SELECT ARRAY_AGG(DISTINCT a ORDER BY a), NTH_VALUE(a, 2 ORDER BY a) FROM t",
    "SELECT k, b, COUNT(*), SUM(a), COUNT(DISTINCT s) FROM t GROUP BY GROUPING SETS ((k, b), (k), (b), (k))",
    "SELECT k, a % 3, SUM(a), GROUPING(k) FROM t GROUP BY ROLLUP (k, a % 3)",
    "SELECT a, k, MAX(s), MIN(k) FROM t GROUP BY CUBE (a, k)",
    "SELECT k, b FROM t GROUP BY k, b",
    "SELECT a % 2 = 0, MAX(a + 1) FROM t GROUP BY a % 2 = 0",
];

/// Rows with weights in some order, cut into batches; between batches the pipeline may be stopped and go on elsewhere.
#[derive(Debug, Clone)]
struct Run {
    retracts: bool,
    rows: Vec<(Row, i64)>,
    batch: usize,
    stops: Vec<(usize, bool, usize)>,
    parallelism: usize,
}

fn run() -> impl Strategy<Value = Run> {
    let rows =
        proptest::collection::vec((table::row(), any::<prop::sample::Index>(), 0u8..4), 0..60);
    let stops = proptest::collection::vec((0usize..12, any::<bool>(), 1usize..4), 0..4);
    (any::<bool>(), rows, 1usize..20, stops, 1usize..4).prop_map(
        |(retracts, drawn, batch, mut stops, parallelism)| {
            let mut rows: Vec<(Row, i64)> = Vec::new();
            for (row, at, what) in drawn {
                // A row that is taken back may be taken back before it comes.
                let at = if retracts { at.index(rows.len() + 1) } else { rows.len() };
                match (retracts, what) {
                    (true, 0) => rows.push((row.clone(), 2)),
                    (true, 1) => rows.push((row.clone(), -1)),
                    _ => {}
                }
                rows.insert(at, (row.clone(), 1));
                if retracts && what == 1 {
                    rows.insert(0, (row, 1));
                }
            }
            stops.sort_unstable();
            Run { retracts, rows, batch, stops, parallelism }
        },
    )
}

fn check(query: &str, run: &Run) -> Result<(), TestCaseError> {
    let mut pipeline = Pipeline::new(query, run.retracts, run.parallelism);
    let mut stops = run.stops.iter().peekable();
    for (number, rows) in run.rows.chunks(run.batch).enumerate() {
        while let Some((_, full, parallelism)) = stops.next_if(|(at, _, _)| *at <= number) {
            pipeline.checkpoint(*full);
            if number % 2 == 0 {
                pipeline.restart(*parallelism);
            }
        }
        pipeline.process(number, &batches(rows, run.retracts));
    }
    pipeline.end();
    let expected = reference(query, &net(&run.rows));
    let result = pipeline.result();
    let wrong: BTreeMap<_, _> =
        result.iter().filter(|(row, weight)| expected.get(*row) != Some(*weight)).collect();
    prop_assert_eq!(&result, &expected, "{}: wrong {:?}", query, wrong);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn results_add_up_to_those_of_a_batch_query(run in run()) {
        for query in QUERIES {
            check(query, &run)?;
        }
    }
}

#[test]
fn without_rows_there_are_grand_totals_only() {
    for query in QUERIES {
        let run = Run {
            retracts: true,
            rows: vec![],
            batch: 1,
            stops: vec![(0, true, 1)],
            parallelism: 2,
        };
        check(query, &run).unwrap();
    }
}
