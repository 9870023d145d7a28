use arrow_array::{ArrayRef, StringArray, UInt32Array};
use arrow_cast::pretty::pretty_format_batches;
use arrow_schema::{Field, Fields};
use datafusion::prelude::SessionContext;
use riverrun_dataflow::ManualClock;

use super::super::QueryPlanner;
use crate::function::{FunctionRegistry, TableFunction, TableRows, TableSignature};
use crate::parser::parse_script;

use super::*;

/// `words(text)`: its words, with their lengths.
#[derive(Debug)]
struct Words;

impl TableFunction for Words {
    fn name(&self) -> &str {
        "words"
    }

    fn bind(&self, _: &[DataType]) -> crate::Result<TableSignature> {
        let columns = vec![
            Field::new("word", DataType::Utf8, true),
            Field::new("length", DataType::Int64, true),
        ];
        Ok(TableSignature { arguments: vec![DataType::Utf8], columns: Fields::from(columns) })
    }

    fn rows(&self, arguments: &[ArrayRef]) -> crate::Result<TableRows> {
        use arrow_array::cast::AsArray;
        let texts = arguments[0].as_string::<i32>();
        let words: Vec<(u32, &str)> = (0..)
            .zip(texts)
            .flat_map(|(row, text)| {
                text.unwrap_or("").split_whitespace().map(move |word| (row, word))
            })
            .collect();
        let lengths = words.iter().map(|(_, word)| word.len() as i64);
        Ok(TableRows {
            parents: words.iter().map(|(row, _)| *row).collect::<UInt32Array>(),
            columns: vec![
                Arc::new(StringArray::from_iter_values(words.iter().map(|(_, word)| *word))),
                Arc::new(arrow_array::Int64Array::from_iter_values(lengths)),
            ],
        })
    }
}

fn answer(sql: &str) -> crate::Result<String> {
    let mut functions = FunctionRegistry::new(Arc::new(ManualClock::new(0)), 0);
    functions.register_table(Arc::new(Words));
    let find = |_: &str| Ok(None);
    let suggest = |_: &str| None;
    let planner = QueryPlanner::new(&find, &suggest, &functions);
    let statement = parse_script(sql)?.remove(0).statement;
    let crate::parser::Statement::Query(query) = statement else { panic!("a query") };
    let plan = planner.optimize(planner.plan(&query.query)?)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let batches = runtime.block_on(async {
        SessionContext::new().execute_logical_plan(plan).await.unwrap().collect().await.unwrap()
    });
    let shown = pretty_format_batches(&batches).unwrap().to_string();
    Ok(shown
        .lines()
        .filter(|line| !line.starts_with('+'))
        .skip(1)
        .map(squeezed)
        .collect::<Vec<_>>()
        .join("\n"))
}

fn squeezed(line: &str) -> String {
    line.split('|').map(str::trim).filter(|cell| !cell.is_empty()).collect::<Vec<_>>().join(" ")
}

#[test]
fn arrays_maps_and_table_functions_become_rows() {
    for (sql, expected) in [
        ("SELECT u.x FROM UNNEST(ARRAY[1, 2]) AS u(x)", "1\n2"),
        (
            "SELECT k, x FROM (VALUES (1, ARRAY[10, 20]), (2, ARRAY[30])) AS t(k, xs) CROSS JOIN UNNEST(xs) AS u(x)",
            "1 10\n1 20\n2 30",
        ),
        (
            "SELECT t.k, u.x FROM (VALUES (1, ARRAY[10, 20]), (2, ARRAY[30])) AS t(k, xs), UNNEST(t.xs) AS u(x) WHERE u.x > 10",
            "1 20\n2 30",
        ),
        (
            "SELECT k, SUM(x) FROM (VALUES (1, ARRAY[10, 20]), (2, ARRAY[30])) AS t(k, xs) CROSS JOIN UNNEST(xs) AS u(x) GROUP BY k ORDER BY k",
            "1 30\n2 30",
        ),
        (
            "SELECT k, p FROM (VALUES (1, 'a'), (2, NULL)) AS t(k, s) CROSS JOIN UNNEST(ARRAY[s, 'x', UPPER(t.s)]) AS u(p) ORDER BY k, p",
            "1 A\n1 a\n1 x\n2\n2\n2 x",
        ),
        (
            "SELECT k, name, size FROM (VALUES (1, ARRAY[ROW('a', 5), ROW('b', 6)])) AS t(k, xs) CROSS JOIN UNNEST(xs) AS u(name, size)",
            "1 a 5\n1 b 6",
        ),
        (
            "SELECT a, b FROM (VALUES (MAP['x', 1, 'y', 2])) AS t(m) CROSS JOIN UNNEST(m) AS u(a, b)",
            "x 1\ny 2",
        ),
        (
            "SELECT k, w, n FROM (VALUES (1, 'to be'), (2, ''), (3, 'or')) AS t(k, s), LATERAL TABLE(words(s)) AS u(w, n)",
            "1 to 2\n1 be 2\n3 or 2",
        ),
        (
            "SELECT k, word FROM (VALUES (1, 'to be')) AS t(k, s) CROSS JOIN LATERAL TABLE(WORDS(UPPER(s))) AS u",
            "1 TO\n1 BE",
        ),
        (
            "SELECT k, COALESCE(w, 'none') FROM (VALUES (1, 'to be'), (2, '')) AS t(k, s) LEFT JOIN LATERAL TABLE(words(s)) AS u(w, n) ON TRUE",
            "1 to\n1 be\n2 none",
        ),
    ] {
        assert_eq!(answer(sql).unwrap_or_else(|error| panic!("{sql}: {error}")), expected, "{sql}");
    }
}

#[test]
fn what_cannot_be_rows_is_refused() {
    for (sql, expected) in [
        (
            "SELECT * FROM (VALUES (1)) AS t(k) CROSS JOIN UNNEST(k) AS u(x)",
            "rows are made of an ARRAY, a MAP or a table function, not of BIGINT",
        ),
        (
            "SELECT * FROM (VALUES (ARRAY[1])) AS t(k) LEFT JOIN UNNEST(k) AS u(x) ON x > 1",
            "ON TRUE is there",
        ),
        (
            "SELECT * FROM (VALUES ('a')) AS t(k), LATERAL TABLE(words(k, k)) AS u",
            "WORDS takes 1 argument",
        ),
    ] {
        let error = answer(sql).unwrap_err().to_string();
        assert!(error.contains(expected), "{sql}: {error}");
    }
}
