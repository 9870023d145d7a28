//! Puts a question of PostgreSQL's clients into words that DataFusion knows.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    ArrayElemTypeDef, BinaryOperator, CharacterLength, DataType, Expr, Function, FunctionArg,
    FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, ObjectName, Query, Select,
    SelectItem, SetExpr, Statement, TableFactor, UnaryOperator, Value, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};

use super::emptiness::{has_aggregate, is_empty, last};
use super::headings;

/// A question about the database.
pub(super) struct Question {
    /// The question in DataFusion's words.
    pub statement: Statement,
    /// The names of its columns, if there are no rows whatever it says of them.
    pub empty: Option<Vec<String>>,
}

/// Reads a question, and takes out of it what only PostgreSQL knows.
///
/// # Errors
/// If it is no SQL, or no query.
pub(super) fn read(text: &str) -> Result<Question, ParserError> {
    let mut statements = Parser::parse_sql(&PostgreSqlDialect {}, text)?;
    let (Some(Statement::Query(mut query)), 0) = (statements.pop(), statements.len()) else {
        return Err(ParserError::ParserError("one query was expected".to_owned()));
    };
    let empty = if is_empty(&query) { headings::names(&query) } else { None };
    let _ = query.visit(&mut Rewriter);
    Ok(Question { statement: Statement::Query(query), empty })
}

struct Rewriter;

impl VisitorMut for Rewriter {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        headings::name_columns(select);
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        // Before what is in them is looked at: it need not be understood.
        let instead = match expr {
            Expr::Subquery(query) if is_empty(query) => Some(null()),
            Expr::Exists { subquery, negated } if is_empty(subquery) => Some(truth(*negated)),
            Expr::InSubquery { subquery, negated, .. } if is_empty(subquery) => {
                Some(truth(*negated))
            }
            Expr::InSubquery { expr, subquery, negated } if asks_search_path(subquery) => {
                let (expr, list) = (expr.clone(), vec![text("public")]);
                Some(Expr::InList { expr, list, negated: *negated })
            }
            // Members of roles, roles of policies: there are none of them here.
            Expr::Function(call) if matches!(call.args, FunctionArguments::Subquery(_)) => {
                Some(call_of("make_array", Vec::new()))
            }
            _ => None,
        };
        if let Some(instead) = instead {
            *expr = instead;
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let taken = std::mem::replace(expr, null());
        *expr = rewritten(taken);
        ControlFlow::Continue(())
    }

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, args, .. } = factor
            && args.is_some()
        {
            let function = last(name);
            if function == "pg_get_keywords" {
                *args = None;
            } else {
                *name = ObjectName::from(vec![Ident::new(function)]);
            }
        }
        ControlFlow::Continue(())
    }
}

fn rewritten(expr: Expr) -> Expr {
    match expr {
        Expr::Collate { expr, .. } => *expr,
        Expr::Cast { expr, data_type, .. } => cast(*expr, data_type),
        Expr::Like { negated, any, expr, pattern, escape_char: Some(escape) } => {
            let pattern = escaped(*pattern, &escape.value);
            Expr::Like { negated, any, expr, pattern: Box::new(pattern), escape_char: None }
        }
        Expr::ILike { negated, any, expr, pattern, escape_char: Some(escape) } => {
            let pattern = escaped(*pattern, &escape.value);
            Expr::ILike { negated, any, expr, pattern: Box::new(pattern), escape_char: None }
        }
        Expr::BinaryOp { left, op: BinaryOperator::PGCustomBinaryOperator(name), right } => {
            let symbol = name.last().map_or("", String::as_str);
            operator(symbol, left, right)
        }
        Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, is_some } => {
            match elements(&right) {
                Some(list) => Expr::InList { expr: left, list, negated: false },
                None => Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, is_some },
            }
        }
        Expr::AllOp { left, compare_op: BinaryOperator::NotEq, right } => match elements(&right) {
            Some(list) => Expr::InList { expr: left, list, negated: true },
            None => Expr::AllOp { left, compare_op: BinaryOperator::NotEq, right },
        },
        Expr::Function(call) => function(call),
        // Without parentheses it is read as the name of a column.
        Expr::Identifier(name) if name.quote_style.is_none() && is_current(&name.value) => {
            call_of(&name.value.to_lowercase(), Vec::new())
        }
        Expr::Subquery(query) => Expr::Subquery(one_row(query)),
        other => other,
    }
}

/// A cast to a type of PostgreSQL's own as one to what stands for it: ids of objects are numbers here, and names are texts.
fn cast(expr: Expr, data_type: DataType) -> Expr {
    let (name, is_array) = match &data_type {
        DataType::Array(ArrayElemTypeDef::SquareBracket(item, _)) => (type_name(item), true),
        other => (type_name(other), false),
    };
    let literal =
        matches!(&expr, Expr::Value(value) if matches!(value.value, Value::SingleQuotedString(_)));
    let known = match name.as_str() {
        // The name of something is looked up; a number is the answer already.
        "regclass" | "regtype" | "regnamespace" if literal => {
            return call_of(&format!("to_{name}"), vec![expr]);
        }
        "regclass" | "regtype" | "regnamespace" | "regproc" | "regprocedure" | "regoper"
        | "regoperator" | "regrole" | "regconfig" | "regdictionary" | "int2vector"
        | "oidvector" | "anyarray" | "record" => return expr,
        "oid" | "xid" | "cid" | "int8" | "bigint" => DataType::BigInt(None),
        "int4" | "int" | "integer" => DataType::Integer(None),
        "int2" | "smallint" => DataType::SmallInt(None),
        "bool" | "boolean" => DataType::Boolean,
        "name" | "char" | "text" | "cstring" | "character_data" | "sql_identifier" | "varchar"
        | "bpchar" | "yes_or_no" | "json" | "jsonb" | "aclitem" => DataType::Varchar(None),
        _ => return as_type(expr, data_type),
    };
    match is_array {
        true => {
            as_type(expr, DataType::Array(ArrayElemTypeDef::SquareBracket(Box::new(known), None)))
        }
        false => as_type(expr, known),
    }
}

fn as_type(expr: Expr, data_type: DataType) -> Expr {
    let kind = datafusion::sql::sqlparser::ast::CastKind::Cast;
    Expr::Cast { kind, expr: Box::new(expr), data_type, array: false, format: None }
}

/// A type's name without its schema, in lower case; of a type with a length its name alone.
fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Custom(name, _) => last(name),
        DataType::Varchar(length @ (None | Some(CharacterLength::Max)))
        | DataType::CharacterVarying(length)
            if length.is_none() =>
        {
            "varchar".to_owned()
        }
        DataType::Char(_) | DataType::Character(_) => "char".to_owned(),
        other => other.to_string().to_lowercase(),
    }
}

/// A pattern of LIKE with the backslash as its escape, if it is put together of constants.
fn escaped(pattern: Expr, escape: &Value) -> Expr {
    let Value::SingleQuotedString(escape) = escape else { return pattern };
    let escape = escape.chars().next();
    match pattern {
        Expr::Cast { expr, data_type, .. } => {
            let escape = Value::SingleQuotedString(escape.into_iter().collect());
            as_type(escaped(*expr, &escape), data_type)
        }
        Expr::BinaryOp { left, op, right } => {
            let escape = Value::SingleQuotedString(escape.into_iter().collect());
            let (left, right) = (escaped(*left, &escape), escaped(*right, &escape));
            Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
        }
        Expr::Value(mut value) => {
            if let Value::SingleQuotedString(text) = &mut value.value {
                let replaced = text.chars().map(|c| if Some(c) == escape { '\\' } else { c });
                *text = replaced.collect();
            }
            Expr::Value(value)
        }
        other => other,
    }
}

/// `OPERATOR(pg_catalog.~)`.
fn operator(symbol: &str, left: Box<Expr>, right: Box<Expr>) -> Expr {
    let op = match symbol {
        "~" => BinaryOperator::PGRegexMatch,
        "~*" => BinaryOperator::PGRegexIMatch,
        "!~" => BinaryOperator::PGRegexNotMatch,
        "!~*" => BinaryOperator::PGRegexNotIMatch,
        "~~" => BinaryOperator::PGLikeMatch,
        "!~~" => BinaryOperator::PGNotLikeMatch,
        "=" => BinaryOperator::Eq,
        "<>" => BinaryOperator::NotEq,
        "<" => BinaryOperator::Lt,
        ">" => BinaryOperator::Gt,
        "||" => BinaryOperator::StringConcat,
        other => BinaryOperator::PGCustomBinaryOperator(vec![other.to_owned()]),
    };
    Expr::BinaryOp { left, op, right }
}

/// The elements of an array that is written as a text: `'{a,b}'::text[]`.
fn elements(array: &Expr) -> Option<Vec<Expr>> {
    let value = match array {
        Expr::Nested(inner) => return elements(inner),
        Expr::Cast { expr, data_type: DataType::Array(_), .. } => return elements(expr),
        Expr::Value(value) => &value.value,
        _ => return None,
    };
    let Value::SingleQuotedString(value) = value else { return None };
    let inside = value.strip_prefix('{')?.strip_suffix('}')?;
    Some(inside.split(',').map(|element| text(element.trim().trim_matches('"'))).collect())
}

/// A call without the schema of its function.
fn function(mut call: Function) -> Expr {
    let qualified = call.name.0.len() == 2;
    let schema = call.name.0.first().and_then(|part| part.as_ident());
    if qualified && schema.is_some_and(|schema| schema.value.eq_ignore_ascii_case("pg_catalog")) {
        call.name = ObjectName::from(vec![Ident::new(last(&call.name))]);
    }
    let one = |call: &Function| call.args.to_string().to_lowercase().contains("current_schemas");
    if last(&call.name) == "array_upper" && one(&call) {
        // With those that are searched unasked there is one more.
        let all = call.args.to_string().to_lowercase().contains("true");
        return Expr::value(Value::Number(if all { "2" } else { "1" }.to_owned(), false));
    }
    if matches!(call.args, FunctionArguments::None) {
        call.args = FunctionArguments::List(arguments(Vec::new()));
    }
    Expr::Function(call)
}

fn is_current(name: &str) -> bool {
    let names = ["current_schema", "current_user", "session_user", "current_catalog", "user"];
    names.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// A query for one value that has one row at most in DataFusion's eyes, too.
fn one_row(mut query: Box<Query>) -> Box<Query> {
    if let SetExpr::Select(select) = query.body.as_mut()
        && select.selection.is_some()
        && let [SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }] =
            select.projection.as_mut_slice()
        && !has_aggregate(expr)
    {
        let value = std::mem::replace(expr, null());
        let name = if is_condition(&value) { "bool_or" } else { "max" };
        *expr = call_of(name, vec![value]);
        (query.order_by, query.limit_clause) = (None, None);
    }
    query
}

fn is_condition(expr: &Expr) -> bool {
    match expr {
        Expr::Nested(inner) => is_condition(inner),
        Expr::BinaryOp { op, .. } => matches!(
            op,
            BinaryOperator::Eq
                | BinaryOperator::NotEq
                | BinaryOperator::Lt
                | BinaryOperator::Gt
                | BinaryOperator::And
                | BinaryOperator::Or
        ),
        Expr::UnaryOp { op: UnaryOperator::Not, .. } | Expr::InList { .. } => true,
        Expr::IsNull(_) | Expr::IsNotNull(_) | Expr::Like { .. } => true,
        _ => false,
    }
}

/// Whether a query takes the search path apart, which is always the one schema that there is.
fn asks_search_path(query: &Query) -> bool {
    query.to_string().contains("current_setting('search_path')")
}

fn call_of(name: &str, args: Vec<Expr>) -> Expr {
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(arguments(args)),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

fn arguments(args: Vec<Expr>) -> FunctionArgumentList {
    let args = args.into_iter().map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)));
    FunctionArgumentList { duplicate_treatment: None, args: args.collect(), clauses: Vec::new() }
}

fn text(value: &str) -> Expr {
    Expr::value(Value::SingleQuotedString(value.to_owned()))
}

fn truth(value: bool) -> Expr {
    Expr::value(Value::Boolean(value))
}

fn null() -> Expr {
    Expr::value(Value::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_keep_their_meaning() {
        for (query, expected) in [
            (
                "SELECT c.oid FROM pg_catalog.pg_class c WHERE c.relname OPERATOR(pg_catalog.~) '^(t)$' COLLATE pg_catalog.default",
                "SELECT c.oid FROM pg_catalog.pg_class c WHERE c.relname ~ '^(t)$'",
            ),
            (
                "SELECT pg_catalog.format_type(a.atttypid, a.atttypmod) FROM pg_attribute a",
                "SELECT format_type(a.atttypid, a.atttypmod) AS \"format_type\" FROM pg_attribute a",
            ),
            (
                "SELECT 't'::regclass::oid, CAST('t' AS REGCLASS)",
                "SELECT CAST(to_regclass('t') AS BIGINT) AS \"oid\", to_regclass('t') AS \"regclass\"",
            ),
            (
                "SELECT a::pg_catalog.text[] AS a, b::\"char\" AS b",
                "SELECT CAST(a AS VARCHAR[]) AS a, CAST(b AS VARCHAR) AS b",
            ),
            (
                "SELECT n.oid, n.*, NULL, NULL FROM pg_namespace n ORDER BY n.oid",
                "SELECT n.oid AS \"__0__oid\", n.*, NULL AS \"__2__?column?\", NULL AS \"__3__?column?\" FROM pg_namespace n ORDER BY n.oid",
            ),
            (
                "SELECT a FROM t WHERE b NOT LIKE 'pg/_' || '%' ESCAPE '/'",
                "SELECT a FROM t WHERE b NOT LIKE 'pg\\_' || '%'",
            ),
            (
                "SELECT a FROM t WHERE b <> ALL ('{x,y}'::text[]) AND c = ANY (d)",
                "SELECT a FROM t WHERE b NOT IN ('x', 'y') AND c = ANY(d)",
            ),
            (
                "SELECT a FROM t WHERE EXISTS (SELECT 1 FROM pg_index WHERE i = a) OR NOT EXISTS (SELECT 1 FROM pg_policy)",
                "SELECT a FROM t WHERE false OR true",
            ),
            (
                "SELECT a, (SELECT f(b) FROM pg_catalog.pg_attrdef WHERE c = (1)) FROM t",
                "SELECT a, NULL AS \"f\" FROM t",
            ),
            (
                "SELECT (SELECT b FROM pg_class WHERE c = d) AS x, (SELECT b = 1 FROM pg_class WHERE c = d) AS y FROM t",
                "SELECT (SELECT max(b) FROM pg_class WHERE c = d) AS x, (SELECT bool_or(b = 1) AS \"?column?\" FROM pg_class WHERE c = d) AS y FROM t",
            ),
            (
                "SELECT a FROM t WHERE s IN (SELECT x FROM generate_series(1, 2) AS i, string_to_array(current_setting('search_path'), ',') AS x)",
                "SELECT a FROM t WHERE s IN ('public')",
            ),
        ] {
            assert_eq!(read(query).unwrap().statement.to_string(), expected);
        }
        assert!(read("DROP TABLE t").is_err());
        let names = |query: &str| read(query).unwrap().empty;
        assert_eq!(
            names("SELECT a, f(b) AS \"B\" FROM pg_index"),
            Some(vec!["a".into(), "B".into()])
        );
        assert_eq!(names("SELECT a FROM pg_class"), None);
    }
}
