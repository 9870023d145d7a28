//! Arrays and maps.

use super::check;

#[test]
fn what_is_in_collections() {
    check(&[
        ("CARDINALITY(ARRAY[1, 2, 3])", "3", "INT"),
        ("CARDINALITY(MAP['a', 1])", "1", "INT"),
        ("ELEMENT(ARRAY[1])", "1", "BIGINT"),
        ("ARRAY[1, 2][1]", "1", "BIGINT"),
        ("ARRAY[1, 2][3]", "NULL", "BIGINT"),
        ("MAP['a', 1]['a']", "1", "BIGINT"),
        ("MAP['a', 1]['b']", "NULL", "BIGINT"),
        ("ROW(1, 'x')['c1']", "x", "STRING"),
        ("ARRAY_CONTAINS(ARRAY[1, 2], 2)", "true", "BOOLEAN"),
        ("ARRAY_POSITION(ARRAY[1, 2, 2], 2)", "2", "INT"),
        ("ARRAY_POSITION(ARRAY[1, 2, 2], 5)", "0", "INT"),
        ("ARRAY_MAX(ARRAY[1, 3, 2, NULL])", "3", "BIGINT"),
        ("ARRAY_MIN(ARRAY[1, 3, 2])", "1", "BIGINT"),
    ]);
}

#[test]
fn collections_made_of_collections() {
    check(&[
        ("ARRAY_REMOVE(ARRAY[1, 2, 2], 2)", "[1]", "ARRAY<BIGINT>"),
        ("ARRAY_REVERSE(ARRAY[1, 2, 3])", "[3, 2, 1]", "ARRAY<BIGINT>"),
        ("ARRAY_SLICE(ARRAY[1, 2, 3, 4], 2, 3)", "[2, 3]", "ARRAY<BIGINT>"),
        ("ARRAY_SLICE(ARRAY[1, 2, 3, 4], -2, -1)", "[3, 4]", "ARRAY<BIGINT>"),
        ("ARRAY_UNION(ARRAY[1, 2], ARRAY[2, 3])", "[1, 2, 3]", "ARRAY<BIGINT>"),
        ("ARRAY_CONCAT(ARRAY[1], ARRAY[2])", "[1, 2]", "ARRAY<BIGINT>"),
        ("ARRAY_APPEND(ARRAY[1], 2)", "[1, 2]", "ARRAY<BIGINT>"),
        ("ARRAY_PREPEND(ARRAY[1], 2)", "[2, 1]", "ARRAY<BIGINT>"),
        ("ARRAY_DISTINCT(ARRAY[2, 1, 2])", "[2, 1]", "ARRAY<BIGINT>"),
        ("ARRAY_JOIN(ARRAY['a', 'b', CAST(NULL AS STRING)], ',')", "a,b", "STRING"),
        ("ARRAY_JOIN(ARRAY['a', 'b', CAST(NULL AS STRING)], ',', 'x')", "a,b,x", "STRING"),
        ("ARRAY_SORT(ARRAY[3, 1, NULL, 2])", "[NULL, 1, 2, 3]", "ARRAY<BIGINT>"),
        ("ARRAY_SORT(ARRAY[3, 1, 2], FALSE)", "[3, 2, 1]", "ARRAY<BIGINT>"),
        ("ARRAY_EXCEPT(ARRAY[1, 2, 2], ARRAY[2])", "[1]", "ARRAY<BIGINT>"),
        ("ARRAY_INTERSECT(ARRAY[1, 2, 2], ARRAY[2])", "[2]", "ARRAY<BIGINT>"),
        ("MAP_KEYS(MAP['a', 1, 'b', 2])", "[a, b]", "ARRAY<STRING>"),
        ("MAP_VALUES(MAP['a', 1, 'b', 2])", "[1, 2]", "ARRAY<BIGINT>"),
        ("MAP_FROM_ARRAYS(ARRAY['a', 'b'], ARRAY[1, 2])", "{a: 1, b: 2}", "MAP<STRING, BIGINT>"),
    ]);
}
