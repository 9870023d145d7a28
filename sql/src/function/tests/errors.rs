//! What a wrong call is told.

use super::{ask, context};

#[test]
fn errors_say_which_argument_is_wrong_and_what_it_should_be() {
    let context = context();
    for (expression, expected) in [
        (
            "SPLIT_INDEX('a', 1, 2)",
            "SPLIT_INDEX: argument 2 (delimiter) is BIGINT, expected STRING; use CAST to convert it",
        ),
        ("SPLIT_INDEX('a', ',')", "SPLIT_INDEX(string, delimiter, index) was given 2 arguments"),
        ("SUBSTRING('a', 'b')", "SUBSTRING: argument 2 (position) is STRING, expected an integer"),
        (
            "REGEXP_EXTRACT('a', '(')",
            "REGEXP_EXTRACT: argument 2 (pattern) is '(', which is not a pattern that can be run: unclosed group",
        ),
        (
            "DATE_FORMAT('2024-01-01', 'bogus')",
            "DATE_FORMAT: argument 2 (pattern) 'bogus' has the letter 'b', which stands for nothing",
        ),
        (
            "CONVERT_TZ('1970-01-01 00:00:00', 'UTC', 'Nowhere/X')",
            "CONVERT_TZ: argument 3 (to zone) is 'Nowhere/X', which is no time zone",
        ),
        (
            "TIMESTAMPDIFF(BLINK, DATE '2024-01-01', DATE '2024-01-02')",
            "argument 1 (unit) is BLINK, which is no unit of time",
        ),
        ("FLOOR('a')", "FLOOR and CEIL take a number, or a time and a unit"),
        (
            "SHA2('abc', 1)",
            "SHA2: argument 2 (bits) must be one of the constants 224, 256, 384 and 512",
        ),
        ("FROM_BASE64('!!')", "FROM_BASE64: argument 1 (string) '!!' is not base 64"),
        ("HEX(1.5)", "HEX: argument 1 (value) is DOUBLE, expected an integer, STRING or BYTES"),
        (
            "ELEMENT(ARRAY[1, 2])",
            "ELEMENT: argument 1 (array) has 2 elements, expected at most one",
        ),
        ("ARRAY[1, 2][0]", "argument 2 (index or key) is 0; elements count from 1"),
        ("ROW(1)['nothing']", "has no field 'nothing'"),
        (
            "JSON_VALUE('{}', 'a')",
            "JSON_VALUE: argument 2 (path) is 'a', which is no path into JSON: it does not begin with $",
        ),
        (
            "JSON_VALUE('{}', 'lax $.b' ERROR ON EMPTY)",
            "has nothing at the path, and ERROR ON EMPTY was asked for",
        ),
        (
            "JSON_VALUE('{}', '$.b' RETURNING DATE)",
            "JSON_VALUE returns STRING, BOOLEAN, INTEGER or DOUBLE, not DATE",
        ),
        ("RAND_INTEGER(0)", "RAND_INTEGER: argument 1 (seed or bound) is 0; it is a positive INT"),
        (
            "REPEAT('abc', 1000000000)",
            "REPEAT: argument 2 (times) is 1000000000: the result exceeds",
        ),
        ("MAP['a']", "MAP[..] takes keys and values in turn, not 1 expressions"),
        (
            "TO_TIMESTAMP_LTZ(1, 6)",
            "TO_TIMESTAMP_LTZ: argument 2 (precision or pattern) is 6; it is 0 (seconds) or 3 (milliseconds)",
        ),
        ("AVG('a')", "AVG takes numbers, not STRING"),
    ] {
        let error = ask(&context, expression).expect_err(expression);
        assert!(error.contains(expected), "{expression}: {error}");
    }
}
