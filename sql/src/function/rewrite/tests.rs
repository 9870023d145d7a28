use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::*;

fn expr(sql: &str) -> Expr {
    Parser::new(&GenericDialect).try_with_sql(sql).unwrap().parse_expr().unwrap()
}

fn becomes(sql: &str) -> String {
    let mut expr = expr(sql);
    rewrite(&mut expr).unwrap();
    expr.to_string()
}

#[test]
fn special_syntax_becomes_calls() {
    for (sql, expected) in [
        ("EXTRACT(YEAR FROM t)", "extract('YEAR', t)"),
        ("EXTRACT(DOW FROM a.t)", "extract('DOW', a.t)"),
        ("FLOOR(t TO HOUR)", "floor(t, 'HOUR')"),
        ("CEIL(t TO DAY)", "ceil(t, 'DAY')"),
        ("FLOOR(x)", "floor(x)"),
        ("TIMESTAMPDIFF(SECOND, a, b)", "TIMESTAMPDIFF('SECOND', a, b)"),
        ("timestampadd(day, 1, t)", "timestampadd('DAY', 1, t)"),
        ("POSITION('a' IN s)", "position('a', s)"),
        ("SUBSTRING(s FROM 2 FOR 3)", "substring(s, 2, 3)"),
        ("SUBSTR(s, 2)", "substring(s, 2)"),
        ("TRIM(s)", "btrim(s)"),
        ("TRIM(LEADING 'x' FROM s)", "ltrim(s, 'x')"),
        ("TRIM(BOTH 'xy' FROM s)", "btrim(s, 'xy')"),
        ("OVERLAY(s PLACING 'x' FROM 2 FOR 1)", "overlay(s, 'x', 2, 1)"),
        ("IF(a > 1, 'x', 'y')", "CASE WHEN a > 1 THEN 'x' ELSE 'y' END"),
        ("m['k']", "item(m, 'k')"),
        ("ARRAY[a, ARRAY['x']]", "make_array(a, make_array('x'))"),
        ("a.b.c[1]", "item(a.b.c, 1)"),
        ("a[1][2].f", "get_field(item(item(a, 1), 2), 'f')"),
        ("CAST(EXTRACT(HOUR FROM t) AS VARCHAR)", "cast_to_string(extract('HOUR', t))"),
        ("CAST(x AS BIGINT)", "CAST(x AS BIGINT)"),
        ("a + UPPER(SUBSTR(s, 1, 2))", "a + UPPER(substring(s, 1, 2))"),
    ] {
        assert_eq!(becomes(sql), expected, "{sql}");
    }
}

#[test]
fn intervals_of_several_fields_are_spelt_out() {
    for (sql, expected) in [
        ("INTERVAL '1' DAY", "INTERVAL '1' DAY"),
        ("INTERVAL '10' SECOND(3)", "INTERVAL '10' SECOND"),
        ("INTERVAL '1-2' YEAR TO MONTH", "INTERVAL '1 YEAR 2 MONTH'"),
        ("INTERVAL '1 10' DAY TO HOUR", "INTERVAL '1 DAY 10 HOUR'"),
        ("INTERVAL '1 10:20:30.5' DAY TO SECOND", "INTERVAL '1 DAY 10 HOUR 20 MINUTE 30.5 SECOND'"),
        ("INTERVAL '-10:20' HOUR TO MINUTE", "INTERVAL '-10 HOUR -20 MINUTE'"),
    ] {
        assert_eq!(becomes(sql), expected, "{sql}");
    }
}

#[test]
fn a_wrong_interval_says_what_it_should_be() {
    let mut wrong = expr("INTERVAL '1:2' DAY TO MINUTE");
    let error = rewrite(&mut wrong).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("INTERVAL '1:2' DAY TO MINUTE does not have the form 'day hour:minute'"),
        "{error}"
    );
    assert!(error.position().is_some());
    let mut wrong = expr("INTERVAL '1-2' YEAR TO DAY");
    assert!(
        rewrite(&mut wrong).unwrap_err().to_string().contains("no interval goes from YEAR to DAY")
    );
    let mut wrong = expr("IF(a, 1)");
    assert!(rewrite(&mut wrong).unwrap_err().to_string().contains("not 2 arguments"));
}

#[test]
fn nested_expressions_of_a_query_are_reached() {
    let sql = "SELECT * FROM a JOIN b ON FLOOR(a.t TO DAY) = b.d WHERE x IN (SELECT m['k'] FROM c) GROUP BY EXTRACT(HOUR FROM t)";
    let mut statements = Parser::parse_sql(&GenericDialect, sql).unwrap();
    rewrite(&mut statements).unwrap();
    assert_eq!(
        statements[0].to_string(),
        "SELECT * FROM a JOIN b ON floor(a.t, 'DAY') = b.d WHERE x IN (SELECT item(m, 'k') FROM c) GROUP BY extract('HOUR', t)"
    );
}
