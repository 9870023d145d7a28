//! Aggregates: averages, and those that have another name in Flink.

use super::check_queries;

#[test]
fn averages() {
    let of = |values: &str, what: &str| format!("SELECT {what} FROM (VALUES {values}) AS t(x)");
    let cases = [
        (of("(1), (2), (4), (NULL)", "AVG(x)"), "2", "BIGINT"),
        (of("(-1), (-2), (-4)", "AVG(x)"), "-2", "BIGINT"),
        (of("(1), (2), (4)", "AVG(CAST(x AS DOUBLE))"), "2.3333333333333335", "DOUBLE"),
        (of("(1.25), (2.00), (4.00)", "AVG(CAST(x AS DECIMAL(3, 2)))"), "2.416667", "DECIMAL(38, 6)"),
        (of("(1), (1), (4)", "AVG(DISTINCT x)"), "2", "BIGINT"),
        (of("(1), (1), (4)", "AVG(DISTINCT x) + COUNT(DISTINCT x + 1)"), "4", "BIGINT"),
        (of("(1), (2)", "AVG(x) FILTER (WHERE x > 5)"), "NULL", "BIGINT"),
        (
            "SELECT MAX(a) FROM (SELECT x % 2 AS k, AVG(x) AS a FROM (VALUES (1), (2), (4), (7)) AS t(x) GROUP BY x % 2) AS g".to_owned(),
            "4",
            "BIGINT",
        ),
    ];
    let cases: Vec<_> = cases.iter().map(|(sql, value, of)| (sql.as_str(), *value, *of)).collect();
    check_queries(&cases);
}

#[test]
fn aggregates_of_flink_by_their_names() {
    check_queries(&[
        ("SELECT LISTAGG(x) FROM (VALUES ('a'), ('b'), (NULL), ('b')) AS t(x)", "a,b,b", "STRING"),
        ("SELECT LISTAGG(x, '-') FROM (VALUES ('a'), ('b')) AS t(x)", "a-b", "STRING"),
        ("SELECT LISTAGG(x) FROM (VALUES ('a')) AS t(x) WHERE x > 'a'", "NULL", "STRING"),
        ("SELECT FIRST_VALUE(x) FROM (VALUES (NULL), ('b'), ('c')) AS t(x)", "b", "STRING"),
        ("SELECT LAST_VALUE(x) FROM (VALUES ('a'), ('b'), (NULL)) AS t(x)", "b", "STRING"),
        ("SELECT PERCENTILE(x, 0.5) FROM (VALUES (1), (2), (4), (10)) AS t(x)", "3.0", "DOUBLE"),
        ("SELECT PERCENTILE(x, 0.95) FROM (VALUES (0), (100), (NULL)) AS t(x)", "95.0", "DOUBLE"),
        ("SELECT PERCENTILE(x, 1) FROM (VALUES (7), (-1)) AS t(x)", "7.0", "DOUBLE"),
        ("SELECT APPROX_COUNT_DISTINCT(x) FROM (VALUES (1), (2), (2)) AS t(x)", "2", "BIGINT"),
        ("SELECT VAR_POP(CAST(x AS DOUBLE)) FROM (VALUES (1)) AS t(x)", "0.0", "DOUBLE"),
        ("SELECT STDDEV_SAMP(CAST(x AS DOUBLE)) FROM (VALUES (1)) AS t(x)", "NULL", "DOUBLE"),
        ("SELECT VARIANCE(CAST(x AS DOUBLE)) FROM (VALUES (1), (3)) AS t(x)", "2.0", "DOUBLE"),
    ]);
}
