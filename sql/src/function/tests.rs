//! Functions as SQL calls them, against what Flink 2.3 answers to the same.

use std::ops::ControlFlow;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use datafusion::common::config::ConfigOptions;
use datafusion::prelude::SessionContext;
use datafusion::sql::planner::{ParserOptions, SqlToRel};
use datafusion::sql::sqlparser::ast::{Expr, Statement, Value, visit_expressions_mut};
use datafusion::sql::sqlparser::parser::Parser;
use riverrun_dataflow::ManualClock;

use super::*;
use crate::parser::StreamDialect;
use crate::plan::Names;

mod aggregates;
mod collections;
mod errors;
mod json;
mod numbers;
mod texts;
mod times;

/// The time of the clock: 2024-03-05 14:07:09.123.
const NOW: i64 = 1_709_647_629_123;

fn registry() -> FunctionRegistry {
    FunctionRegistry::new(Arc::new(ManualClock::new(NOW)), 7)
}

/// Plans as a session does, without tables.
struct Session {
    registry: FunctionRegistry,
    context: SessionContext,
}

fn context() -> Session {
    Session { registry: registry(), context: SessionContext::new() }
}

/// The first column of what a query answers.
fn column_of(session: &Session, statement: Statement) -> Result<ArrayRef, String> {
    let options = ParserOptions::new().with_map_string_types_to_utf8view(false);
    let (nothing, no_hint) = (|_: &str| Ok(None), |_: &str| None);
    let config = Arc::new(ConfigOptions::new());
    let names = Names::new(&nothing, &no_hint, &session.registry, config);
    let plan = SqlToRel::new_with_options(&names, options)
        .sql_statement_to_plan(statement)
        .map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let frame =
            session.context.execute_logical_plan(plan).await.map_err(|error| error.to_string())?;
        let schema = Arc::clone(frame.schema().inner());
        let batches = frame.collect().await.map_err(|error| error.to_string())?;
        let batch = arrow_select::concat::concat_batches(&schema, &batches).unwrap();
        Ok(Arc::clone(batch.column(0)))
    })
}

fn parse(sql: &str) -> Result<Statement, String> {
    let mut parsed = Parser::parse_sql(&StreamDialect, sql).map_err(|error| error.to_string())?;
    let mut statement = parsed.remove(0);
    rewrite(&mut statement).map_err(|error| error.to_string())?;
    Ok(statement)
}

fn shown(column: &ArrayRef, row: usize) -> String {
    let options = FormatOptions::default()
        .with_null("NULL")
        .with_timestamp_format(Some("%Y-%m-%d %H:%M:%S%.f"))
        .with_timestamp_tz_format(Some("%Y-%m-%d %H:%M:%S%.fZ"));
    ArrayFormatter::try_new(column, &options).unwrap().value(row).to_string()
}

/// Value and type of an expression without columns.
fn ask(context: &Session, expression: &str) -> Result<(String, String), String> {
    let column = column_of(context, parse(&format!("SELECT {expression}"))?)?;
    Ok((shown(&column, 0), type_name(column.data_type())))
}

/// The expression with its constants taken from columns, each the same in three rows; those that must be constants stay.
fn with_columns(expression: &str) -> Option<Statement> {
    let mut statement = parse(&format!("SELECT {expression}")).ok()?;
    let mut values = Vec::new();
    let _: ControlFlow<()> = visit_expressions_mut(&mut statement, |expr| {
        let constant = match expr {
            Expr::Value(value) => match &value.value {
                // Units and modes must be constants.
                Value::SingleQuotedString(text) => {
                    text.len() < 3 || text.chars().any(|c| !c.is_ascii_uppercase() && c != ' ')
                }
                Value::Number(..) => true,
                _ => false,
            },
            _ => false,
        };
        if constant {
            let name = datafusion::sql::sqlparser::ast::Ident::new(format!("c{}", values.len()));
            values.push(std::mem::replace(expr, Expr::Identifier(name)).to_string());
        }
        ControlFlow::Continue(())
    });
    if values.is_empty() {
        return None;
    }
    let names: Vec<String> = (0..values.len()).map(|index| format!("c{index}")).collect();
    let row = format!("({})", values.join(", "));
    let rows = [row.as_str(); 3].join(", ");
    let names = names.join(", ");
    parse(&format!("{statement} FROM (VALUES {rows}) AS t({names})")).ok()
}

/// Checks expressions with constants and, where they can be, with columns.
fn check(cases: &[(&str, &str, &str)]) {
    let context = context();
    let (mut columns, mut eligible) = (0, 0);
    for (expression, value, data_type) in cases {
        let once = parse(&format!("SELECT {expression}")).unwrap().to_string();
        assert_eq!(parse(&once).unwrap().to_string(), once, "rewritten again");
        let got = ask(&context, expression);
        let expected = Ok(((*value).to_owned(), (*data_type).to_owned()));
        assert_eq!(got, expected, "{expression}");
        let Some(statement) = with_columns(expression) else { continue };
        let sql = statement.to_string();
        eligible += 1;
        match column_of(&context, statement) {
            Ok(column) => {
                columns += 1;
                for row in 0..3 {
                    assert_eq!(shown(&column, row), *value, "row {row} of {sql}");
                }
            }
            Err(error) => {
                let fixed = error.contains("constant") || error.contains("interval argument");
                assert!(fixed, "{sql}: {error}");
            }
        }
    }
    assert!(columns * 2 >= eligible, "most functions were called with columns");
}

/// Checks answers of whole queries with one column and one row.
fn check_queries(cases: &[(&str, &str, &str)]) {
    let context = context();
    for (sql, value, data_type) in cases {
        let column = column_of(&context, parse(sql).unwrap())
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(column.len(), 1, "{sql}");
        let got = (shown(&column, 0), type_name(column.data_type()));
        assert_eq!(got, ((*value).to_owned(), (*data_type).to_owned()), "{sql}");
    }
}

#[test]
fn no_function_makes_another_kind_of_string_than_it_is_given() {
    let registry = registry();
    for name in registry.names() {
        let Some(function) = registry.scalar(name) else { continue };
        // These are asked for such a type.
        if ["arrow_cast", "arrow_try_cast", "to_char", "date_format"].contains(&name) {
            continue;
        }
        for count in 0..4 {
            let given = vec![DataType::Utf8; count];
            let fields: Vec<_> = given
                .iter()
                .map(|given| Arc::new(arrow_schema::Field::new("a", given.clone(), true)))
                .collect();
            let Ok(coerced) = datafusion::logical_expr::type_coercion::functions::fields_with_udf(
                &fields,
                function.as_ref(),
            ) else {
                continue;
            };
            let coerced: Vec<DataType> =
                coerced.iter().map(|field| field.data_type().clone()).collect();
            if let Ok(returned) = function.return_type(&coerced) {
                let other = matches!(returned, DataType::Utf8View | DataType::LargeUtf8);
                assert!(!other, "{name} of {count} strings returns {returned}");
            }
        }
    }
}

#[test]
fn closures_are_functions() {
    let mut session = context();
    session.registry.register_scalar("shout", |text: &str, marks: i64| -> String {
        format!("{}{}", text.to_uppercase(), "!".repeat(marks as usize))
    });
    session.registry.register_scalar("or_zero", |number: Option<f64>| number.unwrap_or(0.0));
    session.registry.register_scalar("port", |text: &str| text.parse::<i32>());
    session.registry.register_scalar("answer", || 42_i32);
    session.registry.register_scalar("day", |Date(days): Date, _: Option<Time>| days);
    for (expression, value, data_type) in [
        ("SHOUT('hi', 2)", "HI!!", "STRING"),
        ("shout(x, CAST(2 AS INT)) FROM (VALUES ('a'), ('b')) AS t(x)", "A!!", "STRING"),
        ("shout(CAST(NULL AS STRING), 2)", "NULL", "STRING"),
        ("or_zero(NULL)", "0.0", "DOUBLE"),
        ("or_zero(1)", "1.0", "DOUBLE"),
        ("port('80')", "80", "INT"),
        ("answer()", "42", "INT"),
        ("day(DATE '1970-01-03', NULL)", "2", "INT"),
    ] {
        let got = ask(&session, expression).unwrap_or_else(|error| panic!("{expression}: {error}"));
        assert_eq!(got, (value.to_owned(), data_type.to_owned()), "{expression}");
    }
    for (expression, expected) in [
        ("port('x')", "PORT: invalid digit found in string"),
        ("shout('hi')", "SHOUT takes 2 arguments, and was given 1"),
        ("shout(TRUE, 1)", "SHOUT: argument 1 is BOOLEAN, expected STRING"),
    ] {
        let error = ask(&session, expression).unwrap_err();
        assert!(error.contains(expected), "{expression}: {error}");
    }
}

/// The product of numbers.
#[derive(Debug)]
struct Product;

impl Fold for Product {
    type Input = f64;
    type State = Vec<f64>;
    type Output = Option<f64>;

    fn add(&self, state: &mut Vec<f64>, value: f64) {
        match state.first_mut() {
            Some(product) => *product *= value,
            None => state.push(value),
        }
    }

    fn merge(&self, state: &mut Vec<f64>, other: Vec<f64>) {
        other.into_iter().for_each(|value| self.add(state, value));
    }

    fn result(&self, state: &Vec<f64>) -> Option<f64> {
        state.first().copied()
    }
}

#[test]
fn folds_are_aggregates() {
    let mut session = context();
    session.registry.register_aggregate("product", Product);
    for (query, value) in [
        ("PRODUCT(x) FROM (VALUES (2), (3), (NULL)) AS t(x)", "6.0"),
        ("PRODUCT(x) FROM (VALUES (2)) AS t(x) WHERE x > 2", "NULL"),
        (
            "MAX(p) FROM (SELECT PRODUCT(x) AS p FROM (VALUES (2), (3), (4)) AS t(x) GROUP BY x % 2) AS g",
            "8.0",
        ),
    ] {
        let got = ask(&session, query).unwrap_or_else(|error| panic!("{query}: {error}"));
        assert_eq!(got, (value.to_owned(), "DOUBLE".to_owned()), "{query}");
    }
}

#[test]
fn the_present_time_is_that_of_the_clock() {
    check(&[
        ("CURRENT_TIMESTAMP", "2024-03-05 14:07:09.123Z", "TIMESTAMP_LTZ(3)"),
        ("NOW()", "2024-03-05 14:07:09.123Z", "TIMESTAMP_LTZ(3)"),
        ("PROCTIME()", "2024-03-05 14:07:09.123Z", "TIMESTAMP_LTZ(3)"),
        ("LOCALTIMESTAMP", "2024-03-05 14:07:09.123", "TIMESTAMP(3)"),
        ("CURRENT_DATE", "2024-03-05", "DATE"),
        ("CURRENT_TIME", "14:07:09", "TIME(3)"),
        ("UNIX_TIMESTAMP()", "1709647629", "BIGINT"),
    ]);
}

#[test]
fn random_values_differ_by_row_and_repeat_by_seed() {
    let context = context();
    let sql = "SELECT RAND(5) FROM (VALUES (1), (2), (3)) AS t(x)";
    let column = column_of(&context, parse(sql).unwrap()).unwrap();
    let values: Vec<String> = (0..3).map(|row| shown(&column, row)).collect();
    assert_eq!(values, ["0.730519863614471", "0.08825840967622589", "0.4889045498516358"]);
    let sql = "SELECT UUID() FROM (VALUES (1), (2)) AS t(x)";
    let column = column_of(&context, parse(sql).unwrap()).unwrap();
    let uuids = column.as_string::<i32>();
    assert_ne!(uuids.value(0), uuids.value(1));
    for uuid in uuids.iter().flatten() {
        assert_eq!((uuid.len(), &uuid[14..15]), (36, "4"), "{uuid}");
        assert!("89ab".contains(&uuid[19..20]), "{uuid}");
    }
}
