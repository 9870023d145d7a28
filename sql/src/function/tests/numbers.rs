//! Numbers, choices, and values as text.

use super::check;

#[test]
fn rounding_keeps_the_type() {
    check(&[
        ("ROUND(CAST(42.345 AS DECIMAL(5, 3)), 2)", "42.35", "DECIMAL(5, 2)"),
        ("ROUND(CAST(-42.345 AS DECIMAL(5, 3)), 2)", "-42.35", "DECIMAL(5, 2)"),
        ("ROUND(CAST(42.5 AS DECIMAL(3, 1)))", "43", "DECIMAL(3, 0)"),
        ("ROUND(CAST(42 AS INT), -1)", "40", "INT"),
        ("ROUND(CAST(45 AS INT), -1)", "50", "INT"),
        ("ROUND(15, -1)", "20", "BIGINT"),
        ("ROUND(CAST(42.345 AS DOUBLE), 2)", "42.35", "DOUBLE"),
        ("ROUND(CAST(2.5 AS DOUBLE))", "3.0", "DOUBLE"),
        ("ROUND(CAST(-2.5 AS DOUBLE))", "-3.0", "DOUBLE"),
        ("TRUNCATE(CAST(42.345 AS DECIMAL(5, 3)), 2)", "42.34", "DECIMAL(5, 2)"),
        ("TRUNCATE(CAST(42.345 AS DECIMAL(5, 3)))", "42", "DECIMAL(3, 0)"),
        ("TRUNCATE(CAST(-42.345 AS DECIMAL(5, 3)), 1)", "-42.3", "DECIMAL(4, 1)"),
        ("TRUNCATE(CAST(42.324 AS DECIMAL(5, 3)), -1)", "40", "DECIMAL(3, 0)"),
        ("TRUNCATE(CAST(42.345 AS DOUBLE), 2)", "42.34", "DOUBLE"),
        ("FLOOR(CAST(42 AS INT))", "42", "INT"),
        ("FLOOR(CAST(42.7 AS DECIMAL(3, 1)))", "42", "DECIMAL(3, 0)"),
        ("FLOOR(CAST(-42.7 AS DECIMAL(3, 1)))", "-43", "DECIMAL(3, 0)"),
        ("CEIL(CAST(42.1 AS DECIMAL(3, 1)))", "43", "DECIMAL(3, 0)"),
        ("FLOOR(CAST(42.7 AS DOUBLE))", "42.0", "DOUBLE"),
        ("SIGN(CAST(-5 AS INT))", "-1", "INT"),
        ("SIGN(CAST(-5.5 AS DECIMAL(2, 1)))", "-1.0", "DECIMAL(2, 1)"),
        ("ABS(CAST(-5 AS INT))", "5", "INT"),
    ]);
}

#[test]
fn remainders_and_powers() {
    check(&[
        ("MOD(7, 3)", "1", "BIGINT"),
        ("MOD(-7, 3)", "-1", "BIGINT"),
        ("MOD(7, CAST(3 AS INT))", "1", "INT"),
        ("MOD(CAST(7.5 AS DECIMAL(2, 1)), 2)", "1.5", "DECIMAL(2, 1)"),
        ("7 % 3", "1", "BIGINT"),
        ("LOG(100)", "4.605170185988092", "DOUBLE"),
        ("LOG(2, 8)", "3.0", "DOUBLE"),
        ("LOG2(8)", "3.0", "DOUBLE"),
        ("LOG10(100)", "2.0", "DOUBLE"),
        ("LN(1)", "0.0", "DOUBLE"),
        ("LN(0)", "-inf", "DOUBLE"),
        ("LOG(-1)", "NaN", "DOUBLE"),
        ("POWER(2, 3)", "8.0", "DOUBLE"),
        ("SQRT(2)", "1.4142135623730951", "DOUBLE"),
        ("E()", "2.718281828459045", "DOUBLE"),
        ("PI()", "3.141592653589793", "DOUBLE"),
    ]);
}

#[test]
fn choices() {
    check(&[
        ("GREATEST(1, 2, CAST(NULL AS BIGINT))", "NULL", "BIGINT"),
        ("GREATEST(1, 3, 2)", "3", "BIGINT"),
        ("LEAST(1, 2)", "1", "BIGINT"),
        ("LEAST(CAST(NULL AS BIGINT), 2)", "NULL", "BIGINT"),
        ("GREATEST('a', 'b')", "b", "STRING"),
        ("COALESCE(CAST(NULL AS BIGINT), 2)", "2", "BIGINT"),
        ("NULLIF(1, 1)", "NULL", "BIGINT"),
        ("NULLIF(1, 2)", "1", "BIGINT"),
        ("IFNULL(CAST(NULL AS BIGINT), 5)", "5", "BIGINT"),
        ("NVL(CAST(NULL AS BIGINT), 5)", "5", "BIGINT"),
        ("IF(1 > 2, 'a', 'b')", "b", "STRING"),
        ("IF(CAST(NULL AS BOOLEAN), 'a', 'b')", "b", "STRING"),
    ]);
}

#[test]
fn values_as_text() {
    check(&[
        (
            "CAST(TO_TIMESTAMP('2024-03-05 14:07:09.12') AS STRING)",
            "2024-03-05 14:07:09.120",
            "STRING",
        ),
        ("CAST(TO_TIMESTAMP_LTZ(1001, 3) AS STRING)", "1970-01-01 00:00:01.001", "STRING"),
        ("CAST(DATE '2024-03-05' AS STRING)", "2024-03-05", "STRING"),
        ("CAST(TIME '14:07:09' AS STRING)", "14:07:09", "STRING"),
        ("CAST(TRUE AS STRING)", "TRUE", "STRING"),
        ("CAST(CAST(1.0 AS DOUBLE) AS STRING)", "1.0", "STRING"),
        ("CAST(CAST(1e10 AS DOUBLE) AS STRING)", "1.0E10", "STRING"),
        ("CAST(CAST(123456.789 AS DOUBLE) AS VARCHAR)", "123456.789", "STRING"),
        ("CAST(CAST(1e-5 AS DOUBLE) AS STRING)", "1.0E-5", "STRING"),
        ("CAST(CAST(-0.00125 AS DOUBLE) AS STRING)", "-0.00125", "STRING"),
        ("CAST(CAST(1000000 AS DOUBLE) AS STRING)", "1000000.0", "STRING"),
        ("CAST(CAST(1.5 AS FLOAT) AS STRING)", "1.5", "STRING"),
        ("CAST(CAST(1.50 AS DECIMAL(10, 3)) AS STRING)", "1.500", "STRING"),
        ("CAST(12 AS STRING)", "12", "STRING"),
        ("CAST(ARRAY[1, 2, NULL] AS STRING)", "[1, 2, NULL]", "STRING"),
        ("CAST(MAP['a', 1] AS STRING)", "{a=1}", "STRING"),
        ("CAST(ROW(1, 'x') AS STRING)", "(1, x)", "STRING"),
        ("TRY_CAST('abc' AS INT)", "NULL", "INT"),
        ("TYPEOF(CAST(1 AS INT))", "INT", "STRING"),
        ("TYPEOF(ARRAY['x'])", "ARRAY<STRING>", "STRING"),
    ]);
}
