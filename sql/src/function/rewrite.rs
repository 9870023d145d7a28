//! Expressions with a syntax of their own become plain calls.
//!
//! DataFusion plans `SUBSTRING(a FROM 2)` or `EXTRACT(YEAR FROM t)` onto its own functions without asking for their names, and does not plan
//! `INTERVAL '1 10' DAY TO HOUR` or `m[k]` at all. As calls they are looked up in the registry like any other function.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, CaseWhen, CastKind, CeilFloorKind, DataType, DateTimeField, Expr, Function,
    FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident, Interval,
    NullTreatment, ObjectName, Spanned, Subscript, TableFactor, TrimWhereField, UnaryOperator,
    Value, VisitMut, VisitorMut, helpers::attached_token::AttachedToken,
};

use crate::{Error, Position, Result};

/// Rewrites every expression in a statement, a query or an expression. What is rewritten already stays as it is.
///
/// ```
/// use datafusion::sql::sqlparser::{dialect::GenericDialect, parser::Parser};
///
/// let sql = "SELECT EXTRACT(YEAR FROM t), TIMESTAMPDIFF(DAY, a, b) FROM x";
/// let mut statements = Parser::parse_sql(&GenericDialect, sql).unwrap();
/// riverrun_sql::function::rewrite(&mut statements).unwrap();
/// assert_eq!(
///     statements[0].to_string(),
///     "SELECT extract('YEAR', t), TIMESTAMPDIFF('DAY', a, b) FROM x"
/// );
/// ```
///
/// # Errors
/// See [`rewrite_expr`].
pub fn rewrite<V: VisitMut>(node: &mut V) -> Result<()> {
    struct Rewriter;
    impl VisitorMut for Rewriter {
        type Break = Error;
        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
            match rewrite_expr(expr) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => ControlFlow::Break(error),
            }
        }

        fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<Error> {
            unnest(factor);
            ControlFlow::Continue(())
        }
    }
    match node.visit(&mut Rewriter) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// Rewrites one expression whose parts have been rewritten.
///
/// # Errors
/// [`Error::Invalid`] with a position for an interval or a unit of time that cannot be understood.
pub fn rewrite_expr(expr: &mut Expr) -> Result<()> {
    let position = position_of(expr);
    let taken = std::mem::replace(expr, null());
    *expr = rewritten(taken).map_err(|reason| Error::Invalid { position, reason })?;
    Ok(())
}

/// `FROM UNNEST(..)` is read as a table with arguments, which could not refer to the tables before it.
fn unnest(factor: &mut TableFactor) {
    let TableFactor::Table { name, alias, args: Some(args), .. } = factor else { return };
    if !name.to_string().eq_ignore_ascii_case("unnest") {
        return;
    }
    let exprs = args.args.iter().map(|arg| match arg {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    });
    if let Some(array_exprs) = exprs.collect() {
        *factor = TableFactor::UNNEST {
            alias: alias.take(),
            array_exprs,
            with_offset: false,
            with_offset_alias: None,
            with_ordinality: false,
        };
    }
}

fn position_of(expr: &Expr) -> Option<Position> {
    let start = expr.span().start;
    (start.line > 0).then_some(Position { line: start.line, column: start.column })
}

/// A call of a function by its name.
pub(crate) fn call(name: &str, args: Vec<Expr>) -> Expr {
    let args = args.into_iter().map(|arg| FunctionArg::Unnamed(FunctionArgExpr::Expr(arg)));
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: args.collect(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// A string constant.
pub(super) fn text(value: impl Into<String>) -> Expr {
    Expr::value(Value::SingleQuotedString(value.into()))
}

/// NULL.
pub(super) fn null() -> Expr {
    Expr::value(Value::Null)
}

fn rewritten(expr: Expr) -> std::result::Result<Expr, String> {
    Ok(match expr {
        Expr::Extract { field, expr, .. } => call("extract", vec![text(unit(&field)), *expr]),
        Expr::Ceil { expr, field } => rounded("ceil", *expr, field),
        Expr::Floor { expr, field } => rounded("floor", *expr, field),
        Expr::Position { expr, r#in } => call("position", vec![*expr, *r#in]),
        Expr::Substring { expr, substring_from, substring_for, .. } => {
            let from = substring_from.map_or_else(|| Expr::value(number(1)), |from| *from);
            let mut args = vec![*expr, from];
            args.extend(substring_for.map(|length| *length));
            call("substring", args)
        }
        Expr::Trim { trim_where, trim_what, expr, trim_characters } => {
            let name = match trim_where {
                None | Some(TrimWhereField::Both) => "btrim",
                Some(TrimWhereField::Leading) => "ltrim",
                Some(TrimWhereField::Trailing) => "rtrim",
            };
            let mut args = vec![*expr];
            args.extend(trim_what.map(|what| *what));
            args.extend(trim_characters.into_iter().flatten());
            call(name, args)
        }
        Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
            let mut args = vec![*expr, *overlay_what, *overlay_from];
            args.extend(overlay_for.map(|length| *length));
            call("overlay", args)
        }
        Expr::SimilarTo { negated, expr, pattern, escape_char: None } => {
            let similar = call("similar_to", vec![*expr, *pattern]);
            match negated {
                true => Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(similar) },
                false => similar,
            }
        }
        Expr::Interval(interval) => Expr::Interval(plain_interval(interval)?),
        Expr::Function(function) => of_function(function)?,
        // DataFusion plans the elements of a literal without what the query around it names.
        Expr::Array(array) => call("make_array", array.elem),
        Expr::CompoundFieldAccess { root, access_chain } => accessed(*root, access_chain),
        Expr::Cast { expr, data_type, array: false, format: None, .. } if is_string(&data_type) => {
            call("cast_to_string", vec![*expr])
        }
        other => other,
    })
}

fn is_string(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::String(_)
            | DataType::Varchar(None)
            | DataType::Text
            | DataType::CharacterVarying(None)
    )
}

fn number(value: i64) -> Value {
    Value::Number(value.to_string(), false)
}

fn unit(field: &DateTimeField) -> String {
    match field {
        DateTimeField::Custom(name) => name.value.to_uppercase(),
        field => field.to_string().to_uppercase(),
    }
}

fn rounded(name: &str, expr: Expr, field: CeilFloorKind) -> Expr {
    match field {
        CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) => call(name, vec![expr]),
        CeilFloorKind::DateTimeField(field) => call(name, vec![expr, text(unit(&field))]),
        CeilFloorKind::Scale(scale) => call(name, vec![expr, Expr::Value(scale)]),
    }
}

fn of_function(mut function: Function) -> std::result::Result<Expr, String> {
    let [part] = function.name.0.as_slice() else { return Ok(Expr::Function(function)) };
    let Some(name) = part.as_ident().map(|ident| ident.value.to_lowercase()) else {
        return Ok(Expr::Function(function));
    };
    let FunctionArguments::List(list) = &mut function.args else {
        return Ok(Expr::Function(function));
    };
    match (name.as_str(), list.args.as_mut_slice()) {
        (
            "timestampdiff" | "timestampadd",
            [FunctionArg::Unnamed(FunctionArgExpr::Expr(first)), ..],
        ) => {
            if let Expr::Identifier(ident) = first {
                *first = text(ident.value.to_uppercase());
            }
        }
        // The array comes first in Flink, the element in DataFusion.
        ("array_prepend", [array, element]) => {
            std::mem::swap(array, element);
            function.name = ObjectName::from(vec![Ident::new("list_prepend")]);
        }
        // All of them, where DataFusion's function of this name removes the first.
        ("array_remove", _) => {
            function.name = ObjectName::from(vec![Ident::new("array_remove_all")])
        }
        ("array_sort", [_, rest @ ..]) => sort_order(rest),
        ("if", [condition, yes, no]) => {
            let plain = |arg: &FunctionArg| match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Ok(expr.clone()),
                other => Err(format!("IF takes a condition and two values, not {other}")),
            };
            let when = CaseWhen { condition: plain(condition)?, result: plain(yes)? };
            return Ok(Expr::Case {
                case_token: AttachedToken::empty(),
                end_token: AttachedToken::empty(),
                operand: None,
                conditions: vec![when],
                else_result: Some(Box::new(plain(no)?)),
            });
        }
        ("listagg" | "string_agg" | "group_concat", [_, ..]) => {
            if let [_] = list.args.as_slice() {
                list.args.push(FunctionArg::Unnamed(FunctionArgExpr::Expr(text(","))));
            }
            function.name = ObjectName::from(vec![Ident::new("string_agg")]);
            return Ok(cast(Expr::Function(function), DataType::Varchar(None)));
        }
        ("approx_count_distinct", _) => {
            function.name = ObjectName::from(vec![Ident::new("approx_distinct")]);
            return Ok(cast(Expr::Function(function), DataType::BigInt(None)));
        }
        // The first and the last value that there is, in Flink.
        ("first_value" | "last_value", _) if function.null_treatment.is_none() => {
            function.null_treatment = Some(NullTreatment::IgnoreNulls);
        }
        ("if", given) => {
            return Err(format!(
                "IF takes a condition and two values, not {} arguments",
                given.len()
            ));
        }
        _ => {}
    }
    Ok(Expr::Function(function))
}

fn cast(expr: Expr, data_type: DataType) -> Expr {
    let expr = Box::new(expr);
    Expr::Cast { kind: CastKind::Cast, expr, data_type, array: false, format: None }
}

/// `ARRAY_SORT(array, ascending, nulls first)` says its order by two truths, DataFusion by two words.
fn sort_order(rest: &mut [FunctionArg]) {
    let words = [("ASC", "DESC"), ("NULLS FIRST", "NULLS LAST")];
    for (arg, (yes, no)) in rest.iter_mut().zip(words) {
        if let FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) = arg
            && let Expr::Value(value) = &*expr
            && let Value::Boolean(truth) = value.value
        {
            *expr = text(if truth { yes } else { no });
        }
    }
}

/// `a.b.c[i].d`: the leading names are a column, the rest is taken from its value.
fn accessed(root: Expr, chain: Vec<AccessExpr>) -> Expr {
    let slices =
        |access: &AccessExpr| matches!(access, AccessExpr::Subscript(Subscript::Slice { .. }));
    let subscript = |access: &AccessExpr| matches!(access, AccessExpr::Subscript(_));
    if chain.iter().any(slices) || !chain.iter().any(subscript) {
        return Expr::CompoundFieldAccess { root: Box::new(root), access_chain: chain };
    }
    let mut chain = chain.into_iter().peekable();
    let mut value = root;
    if let Expr::Identifier(first) = &value {
        let mut names = vec![first.clone()];
        while let Some(AccessExpr::Dot(Expr::Identifier(name))) = chain.peek() {
            names.push(name.clone());
            chain.next();
        }
        if names.len() > 1 {
            value = Expr::CompoundIdentifier(names);
        }
    }
    for access in chain {
        value = match access {
            AccessExpr::Subscript(Subscript::Index { index }) => call("item", vec![value, index]),
            AccessExpr::Dot(Expr::Identifier(name)) => {
                call("get_field", vec![value, text(name.value)])
            }
            other => Expr::CompoundFieldAccess { root: Box::new(value), access_chain: vec![other] },
        };
    }
    value
}

/// Fields of an interval and what stands in front of each but the first.
const FIELDS: [(&str, &str); 6] =
    [("YEAR", ""), ("MONTH", "-"), ("DAY", ""), ("HOUR", " "), ("MINUTE", ":"), ("SECOND", ":")];

/// `INTERVAL '1 10:30' DAY TO MINUTE` as `INTERVAL '1 DAY 10 HOUR 30 MINUTE'`; precisions say nothing here and go.
fn plain_interval(mut interval: Interval) -> std::result::Result<Interval, String> {
    interval.leading_precision = None;
    interval.fractional_seconds_precision = None;
    let (Some(leading), Some(last)) = (&interval.leading_field, &interval.last_field) else {
        return Ok(interval);
    };
    let place = |field: &DateTimeField| {
        let name = unit(field);
        FIELDS.iter().position(|(known, _)| *known == name)
    };
    let range = match (place(leading), place(last)) {
        (Some(from), Some(to)) if from < to && (from < 2) == (to < 2) => from..=to,
        _ => return Err(format!("no interval goes from {leading} to {last}")),
    };
    let written = match interval.value.as_ref() {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => text.trim().to_owned(),
            other => {
                return Err(format!(
                    "an interval from {leading} to {last} is a string, not {other}"
                ));
            }
        },
        other => {
            return Err(format!("an interval from {leading} to {last} is a string, not {other}"));
        }
    };
    let (sign, mut rest) = match written.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", written.strip_prefix('+').unwrap_or(&written)),
    };
    let expected = || {
        let mut form = String::new();
        for (index, at) in range.clone().enumerate() {
            form.push_str(if index == 0 { "" } else { FIELDS[at].1 });
            form.push_str(&FIELDS[at].0.to_lowercase());
        }
        format!("INTERVAL '{written}' {leading} TO {last} does not have the form '{form}'")
    };
    let mut parts = Vec::new();
    for at in range.clone() {
        let (name, _) = FIELDS[at];
        let value = if at == *range.end() {
            std::mem::take(&mut rest)
        } else {
            let (value, behind) = rest.split_once(FIELDS[at + 1].1).ok_or_else(expected)?;
            rest = behind;
            value
        };
        let fractional = name == "SECOND" && value.parse::<f64>().is_ok_and(f64::is_finite);
        let whole = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        if !whole && !fractional {
            return Err(expected());
        }
        parts.push(format!("{sign}{value} {name}"));
    }
    interval.value = Box::new(text(parts.join(" ")));
    interval.leading_field = None;
    interval.last_field = None;
    Ok(interval)
}

#[cfg(test)]
mod tests;
