use serde_json::json;

use super::*;

fn expected(header: &str, rows: &[&str]) -> Expected {
    let text = [&[header], rows].concat().join("\n");
    Expected::from_lines(text.as_bytes()).expect("the file is well-formed")
}

fn objects(rows: &Value) -> Vec<Map<String, Value>> {
    let object = |row: &Value| row.as_object().expect("a row is an object").clone();
    rows.as_array().expect("rows are an array").iter().map(object).collect()
}

/// Compares rows that are there once each.
fn compared(expected: &Expected, rows: Value) -> Result<(), Difference> {
    let mut found = expected.result();
    for row in objects(&rows) {
        found.add(&row, 1).expect("values fit their types");
    }
    found.compare()
}

const ROWS: &str =
    r#"{"columns":[{"name":"a","type":"BIGINT"},{"name":"b","type":"STRING"}],"compare":"rows"}"#;

#[test]
fn rows_are_compared_as_a_multiset() {
    let expected = expected(ROWS, &[r#"[1,"x"]"#, r#"[1,"x"]"#, "[2,null]"]);
    let x = json!({"a": 1, "b": "x"});
    assert_eq!(compared(&expected, json!([{"a": 2}, x, x])), Ok(()));
    let once = compared(&expected, json!([{"a": 2, "b": null}, x])).unwrap_err();
    assert_eq!((once.missing, once.unexpected), (1, 0));
    let thrice = compared(&expected, json!([{"a": 2}, x, x, x])).unwrap_err();
    assert_eq!((thrice.missing, thrice.unexpected), (0, 1));
    let other = compared(&expected, json!([{"a": 2, "b": ""}, x, x])).unwrap_err();
    assert_eq!(
        other.to_string(),
        r#"1 rows missing, 1 unexpected; missing: [2,null]; unexpected: [2,""]"#
    );
}

#[test]
fn what_is_retracted_is_not_there() {
    let expected = expected(ROWS, &[r#"[1,"x"]"#]);
    let rows = objects(&json!([{"a": 1, "b": "x"}, {"a": 7, "b": "y"}]));
    // A retraction may come before what it retracts.
    let mut found = expected.result();
    for (row, count) in [(1, -1), (0, 1), (1, 1)] {
        found.add(&rows[row], count).expect("values fit their types");
    }
    assert_eq!((found.len(), found.compare()), (1, Ok(())));
    found.add(&rows[1], -1).expect("values fit their types");
    assert!(found.compare().is_err());
}

#[test]
fn of_equally_good_rows_the_result_has_one() {
    let header = r#"{"columns":[{"name":"k","type":"BIGINT"},{"name":"v","type":"STRING"},{"name":"place","type":"BIGINT"}],
        "compare":"one of","key":["k","place"],"distinct but for":"place"}"#
        .replace('\n', "");
    let expected =
        expected(&header, &[r#"[1,"x",1]"#, r#"[1,"y",1]"#, r#"[1,"x",2]"#, r#"[1,"y",2]"#]);
    let row = |v: &str, place: i64| json!({"k": 1, "v": v, "place": place});
    assert_eq!(compared(&expected, json!([row("x", 1), row("y", 2)])), Ok(()));
    assert_eq!(compared(&expected, json!([row("y", 1), row("x", 2)])), Ok(()));
    for wrong in [
        json!([row("x", 1), row("x", 2)]),
        json!([row("x", 1)]),
        json!([row("x", 1), row("y", 1), row("y", 2)]),
        json!([row("z", 1), row("y", 2)]),
        json!([]),
    ] {
        assert!(compared(&expected, wrong.clone()).is_err(), "{wrong}");
    }
}

#[test]
fn sums_do_not_depend_on_how_rows_are_cut() {
    let header = r#"{"columns":[{"name":"k","type":"BIGINT"},{"name":"n","type":"BIGINT"}],"compare":"sums","key":["k"],"sum":"n"}"#;
    let expected = expected(header, &["[1,5]", "[2,1]"]);
    let one = json!([{"k": 1, "n": 5, "start": "a"}, {"k": 2, "n": 1}]);
    let cut = json!([{"k": 1, "n": 2}, {"k": 2, "n": 1}, {"k": 1, "n": 2}, {"k": 1, "n": 1}]);
    assert_eq!(compared(&expected, one), Ok(()));
    assert_eq!(compared(&expected, cut), Ok(()));
    assert!(compared(&expected, json!([{"k": 1, "n": 4}, {"k": 2, "n": 1}])).is_err());
}

#[test]
fn values_are_the_same_in_all_their_forms() {
    let same = |kind: &str, forms: &[Value]| {
        let kind = Kind::parse(kind).unwrap();
        let cells: Vec<_> = forms.iter().map(|form| kind.cell(form).unwrap()).collect();
        assert!(cells.windows(2).all(|pair| pair[0] == pair[1]), "{cells:?}");
    };
    same("BIGINT", &[json!(7), json!("7")]);
    same("DECIMAL(23, 3)", &[json!("12.5"), json!("12.500"), json!(12.5), json!("012.50000")]);
    same("DECIMAL(23, 3)", &[json!("-0.5"), json!(-0.5), json!("-.5".replace("-.", "-0."))]);
    same(
        "TIMESTAMP(3)",
        &[
            json!("2015-07-15 00:00:01.000"),
            json!("2015-07-15T00:00:01Z"),
            json!("2015-07-15 00:00:01Z"),
            json!("2015-07-15T02:00:01+02:00"),
            json!("2015-07-15T00:00:01"),
        ],
    );
    same("DOUBLE", &[json!(41_191.899_999_999_994), json!(41191.9), json!("41191.90")]);
}

#[test]
fn values_that_do_not_fit_are_errors() {
    for (kind, value) in [
        ("BIGINT", json!("x")),
        ("BIGINT", json!(1.5)),
        ("DECIMAL(23, 3)", json!("1.2345")),
        ("DECIMAL(23, 3)", json!("1e5")),
        ("TIMESTAMP(3)", json!(17)),
        ("DOUBLE", json!("many")),
    ] {
        assert!(Kind::parse(kind).unwrap().cell(&value).is_err(), "{kind} {value}");
    }
    assert!(Kind::parse("ROW<a INT>").is_err());
}

#[test]
fn broken_files_say_what_is_wrong() {
    for (text, complaint) in [
        ("", "it is empty"),
        ("[1]", "`columns`"),
        (r#"{"columns":[{"name":"a","type":"BIGINT"}],"compare":"magic"}"#, "magic"),
        (r#"{"columns":[{"name":"a","type":"BIGINT"}],"compare":"sums","key":["b"]}"#, "\"b\""),
        (&format!("{ROWS}\n[1]"), "line 2"),
        (&format!("{ROWS}\n[1,\"x\"]\n[\"x\",\"y\"]"), "line 3"),
    ] {
        let error = Expected::from_lines(text.as_bytes()).unwrap_err();
        assert!(format!("{error:#}").contains(complaint), "{error:#}");
    }
}
