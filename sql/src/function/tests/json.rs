//! JSON out of texts and of values.

use super::check;

#[test]
fn values_out_of_json() {
    check(&[
        (r#"JSON_VALUE('{"a": true}', '$.a')"#, "true", "STRING"),
        (r#"JSON_VALUE('{"a": 1.50}', '$.a')"#, "1.50", "STRING"),
        (r#"JSON_VALUE('{"a": "x"}', '$.a')"#, "x", "STRING"),
        (r#"JSON_VALUE('{"a": null}', '$.a')"#, "NULL", "STRING"),
        (r#"JSON_VALUE('{"a": {"b": 1}}', '$.a')"#, "NULL", "STRING"),
        (r#"JSON_VALUE('{"a": [1,2]}', '$.a[1]')"#, "2", "STRING"),
        (r#"JSON_VALUE('{"a": [1,2]}', '$.a')"#, "NULL", "STRING"),
        (r#"JSON_VALUE('{"a": true}', '$.a' RETURNING BOOLEAN)"#, "true", "BOOLEAN"),
        (r#"JSON_VALUE('{"a": 12}', '$.a' RETURNING INTEGER)"#, "12", "INT"),
        (r#"JSON_VALUE('{"a": "x"}', '$.a' RETURNING INTEGER DEFAULT 7 ON ERROR)"#, "7", "INT"),
        (r#"JSON_VALUE('{"a": 12.7}', '$.a' RETURNING DOUBLE)"#, "12.7", "DOUBLE"),
        (r#"JSON_VALUE('{"a": true}', '$.b' DEFAULT 'd' ON EMPTY)"#, "NULL", "STRING"),
        (r#"JSON_VALUE('{"a": true}', 'lax $.b' DEFAULT 'd' ON EMPTY)"#, "d", "STRING"),
        (r#"JSON_VALUE('{"a": true}', 'strict $.b' DEFAULT 'e' ON ERROR)"#, "e", "STRING"),
        ("JSON_VALUE('nonsense', '$.b')", "NULL", "STRING"),
        ("JSON_VALUE('nonsense', '$.b' NULL ON EMPTY DEFAULT 'e' ON ERROR)", "e", "STRING"),
        (r#"JSON_VALUE('{"c": {"d.e": 5}}', '$.c[''d.e'']')"#, "5", "STRING"),
        (r#"JSON_VALUE('{"a b": 1}', '$["a b"]')"#, "1", "STRING"),
        (r#"JSON_VALUE('{"a": [1,2,3]}', '$.a[-1]')"#, "3", "STRING"),
        (r#"JSON_VALUE('{"a": 100000000000000000000}', '$.a')"#, "100000000000000000000", "STRING"),
        (r#"JSON_VALUE('[{"b":1}]', '$[0].b')"#, "1", "STRING"),
        (r#"JSON_VALUE('{"a": [{"b":1},{"b":2}]}', '$.a[*].b')"#, "NULL", "STRING"),
        ("JSON_VALUE(CAST(NULL AS STRING), '$.a')", "NULL", "STRING"),
        (r#"JSON_EXISTS('{"a": true}', '$.a')"#, "true", "BOOLEAN"),
        (r#"JSON_EXISTS('{"a": true}', '$.b')"#, "false", "BOOLEAN"),
        (r#"JSON_EXISTS('{"a": [{"b": 1}]}', '$.a[0].b')"#, "true", "BOOLEAN"),
        (r#"JSON_EXISTS('{"a": true}', 'strict $.b' TRUE ON ERROR)"#, "true", "BOOLEAN"),
        ("JSON_EXISTS('nonsense', '$.a')", "false", "BOOLEAN"),
        ("JSON_EXISTS(CAST(NULL AS STRING), '$.a')", "NULL", "BOOLEAN"),
    ]);
}

#[test]
fn pieces_of_json() {
    check(&[
        (r#"JSON_QUERY('{"a": {"b": 1}}', '$.a')"#, r#"{"b":1}"#, "STRING"),
        (r#"JSON_QUERY('{"a": {"b": 1}}', '$.a.b')"#, "NULL", "STRING"),
        (r#"JSON_QUERY('{"a": [1, 2]}', '$.a')"#, "[1,2]", "STRING"),
        (r#"JSON_QUERY('{"a": {"b": 1}}', '$.a.b' WITH WRAPPER)"#, "[1]", "STRING"),
        (r#"JSON_QUERY('{"a": [1,2]}', '$.a' WITH CONDITIONAL WRAPPER)"#, "[1,2]", "STRING"),
        (
            r#"JSON_QUERY('{"a": [1,2]}', '$.a' WITH UNCONDITIONAL ARRAY WRAPPER)"#,
            "[[1,2]]",
            "STRING",
        ),
        (r#"JSON_QUERY('{"a": 1}', '$.b')"#, "NULL", "STRING"),
        (r#"JSON_QUERY('{"a": 1}', '$.b' EMPTY ARRAY ON EMPTY)"#, "NULL", "STRING"),
        (r#"JSON_QUERY('{"a": 1}', 'lax $.b' EMPTY ARRAY ON EMPTY)"#, "[]", "STRING"),
        (r#"JSON_QUERY('{"a": 1}', '$.b' EMPTY OBJECT ON ERROR)"#, "{}", "STRING"),
        (r#"JSON_QUERY('{"a": [{"b":1},{"b":2}]}', '$.a[*].b' WITH WRAPPER)"#, "[[1,2]]", "STRING"),
        (r#"JSON_QUERY('{"a": [{"b":1},{"b":2}]}', '$.a[*].b')"#, "[1,2]", "STRING"),
    ]);
}

#[test]
fn json_of_values() {
    check(&[
        ("JSON_STRING(1)", "1", "STRING"),
        (r#"JSON_STRING('a"b')"#, r#""a\"b""#, "STRING"),
        ("JSON_STRING(ARRAY[1, 2])", "[1,2]", "STRING"),
        ("JSON_STRING(CAST(NULL AS INT))", "NULL", "STRING"),
        ("JSON_STRING(TO_TIMESTAMP('2024-01-01 00:00:00'))", r#""2024-01-01T00:00:00""#, "STRING"),
        ("JSON_STRING(CAST(1.5 AS DOUBLE))", "1.5", "STRING"),
        ("JSON_STRING(MAP['a', 1])", r#"{"a":1}"#, "STRING"),
        ("JSON_STRING(ROW(1, 'x'))", r#"{"c0":1,"c1":"x"}"#, "STRING"),
        ("JSON_OBJECT()", "{}", "STRING"),
        ("JSON_OBJECT(KEY 'a' VALUE 1)", r#"{"a":1}"#, "STRING"),
        (
            "JSON_OBJECT('a' VALUE 1, 'b' VALUE CAST(NULL AS STRING))",
            r#"{"a":1,"b":null}"#,
            "STRING",
        ),
        ("JSON_OBJECT('a' VALUE CAST(NULL AS INT) ABSENT ON NULL)", "{}", "STRING"),
        ("JSON_OBJECT('o' VALUE JSON_OBJECT('x' VALUE 1))", r#"{"o":{"x":1}}"#, "STRING"),
        (r#"JSON_OBJECT('o' VALUE '{"x":1}')"#, r#"{"o":"{\"x\":1}"}"#, "STRING"),
        ("JSON_ARRAY(1, 'a', CAST(NULL AS INT))", r#"[1,"a"]"#, "STRING"),
        ("JSON_ARRAY(1, CAST(NULL AS INT) NULL ON NULL)", "[1,null]", "STRING"),
        ("JSON_ARRAY()", "[]", "STRING"),
        (r#"JSON_QUOTE('a"b')"#, r#""a\"b""#, "STRING"),
        (r#"JSON_UNQUOTE('"a\"b"')"#, r#"a"b"#, "STRING"),
    ]);
}
