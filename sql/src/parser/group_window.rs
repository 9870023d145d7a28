//! Windows in GROUP BY, the older form: `GROUP BY TUMBLE(ts, INTERVAL '5' SECOND), k`.
//!
//! They become windowing table functions: the rows of FROM and WHERE go through the function in a sub-query, the window in
//! GROUP BY becomes `window_start, window_end`, and `TUMBLE_START(..)` and its kin become the function's columns.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident, Query, Select,
    SetExpr, TableAlias, TableFactor, TableWithJoins, VisitMut, VisitorMut, visit_expressions_mut,
};
use datafusion::sql::sqlparser::dialect::Dialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::StreamDialect;
use super::dialect::TABLE_ARGUMENT;
use crate::function::call;
use crate::{Error, Result};

/// Rewrites all grouped windows of a query.
///
/// # Errors
/// [`Error::Invalid`] if the time of a window is no column, or a select has two windows.
pub(super) fn rewrite(query: &mut Query) -> Result<()> {
    match query.visit(&mut Rewriter) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Rewriter;

impl VisitorMut for Rewriter {
    type Break = Error;

    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        match rewrite_select(select) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

/// A window as GROUP BY names it.
struct GroupWindow {
    function: String,
    time: Ident,
    lengths: Vec<Expr>,
}

fn rewrite_select(select: &mut Select) -> Result<()> {
    let GroupByExpr::Expressions(groups, _) = &mut select.group_by else { return Ok(()) };
    let mut windows = Vec::new();
    for group in groups.iter() {
        windows.extend(group_window(group)?);
    }
    let window = match windows.len() {
        0 => return Ok(()),
        1 => windows.remove(0),
        _ => {
            return Err(Error::invalid(
                "GROUP BY has two windows: group by one of them in a sub-query",
            ));
        }
    };
    let mut keys = Vec::new();
    let mut new_groups = vec![column("window_start"), column("window_end")];
    for group in groups.drain(..) {
        if group_window(&group)?.is_none() {
            keys.push(group.clone());
            new_groups.push(group);
        }
    }
    let mut with_time = false;
    let mut replace = |expr: &mut Expr| {
        if let Some(name) = auxiliary(expr, &window.function) {
            with_time |= name == "window_time";
            *expr = column(name);
        }
        ControlFlow::<()>::Continue(())
    };
    let _ = visit_expressions_mut(&mut select.projection, &mut replace);
    if let Some(having) = &mut select.having {
        let _ = visit_expressions_mut(having, &mut replace);
    }
    if with_time {
        new_groups.push(column("window_time"));
    }
    *groups = new_groups;
    let session_keys = if window.function == "SESSION" { keys } else { Vec::new() };
    if let Some(key) = session_keys.iter().find(|key| !is_column(key)) {
        return Err(Error::invalid(format!(
            "`{key}` beside SESSION(..) in GROUP BY must be a column: compute it in a sub-query"
        )));
    }
    let rows = std::mem::take(&mut select.from);
    let alias = alias_of(&rows);
    let filter = select.selection.take();
    let mut table = vec![Expr::Subquery(Box::new(select_all(rows, filter)?))];
    table.extend(session_keys);
    let mut arguments = vec![
        call(TABLE_ARGUMENT, table),
        call("DESCRIPTOR", vec![Expr::Identifier(window.time.clone())]),
    ];
    arguments.extend(window.lengths);
    let relation = TableFactor::TableFunction { expr: call(&window.function, arguments), alias };
    select.from = vec![TableWithJoins { relation, joins: Vec::new() }];
    Ok(())
}

/// The window that a group is, if it is one.
fn group_window(group: &Expr) -> Result<Option<GroupWindow>> {
    let Some((name, arguments)) = plain_call(group) else { return Ok(None) };
    let function = name.to_ascii_uppercase();
    if !matches!(function.as_str(), "TUMBLE" | "HOP" | "SESSION") {
        return Ok(None);
    }
    let Some((time, lengths)) = arguments.split_first() else {
        return Err(Error::invalid(format!("{function} takes a time column and a length")));
    };
    let time = match time {
        Expr::Identifier(time) => time.clone(),
        Expr::CompoundIdentifier(parts) if !parts.is_empty() => parts[parts.len() - 1].clone(),
        other => {
            return Err(Error::invalid(format!(
                "the time of {function}(..) must be a column, and is `{other}`: compute it in a sub-query"
            )));
        }
    };
    Ok(Some(GroupWindow {
        function,
        time,
        lengths: lengths.iter().map(|length| (*length).clone()).collect(),
    }))
}

/// The column that `TUMBLE_START(..)` and its kin stand for.
fn auxiliary(expr: &Expr, function: &str) -> Option<&'static str> {
    let (name, _) = plain_call(expr)?;
    let name = name.to_ascii_uppercase();
    match name.strip_prefix(function)? {
        "_START" => Some("window_start"),
        "_END" => Some("window_end"),
        "_ROWTIME" | "_PROCTIME" => Some("window_time"),
        _ => None,
    }
}

fn plain_call(expr: &Expr) -> Option<(&str, Vec<&Expr>)> {
    let Expr::Function(function) = expr else { return None };
    let [name] = function.name.0.as_slice() else { return None };
    let FunctionArguments::List(list) = &function.args else { return None };
    let arguments = list.args.iter().map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    });
    Some((name.as_ident()?.value.as_str(), arguments.collect::<Option<_>>()?))
}

fn column(name: &str) -> Expr {
    Expr::Identifier(Ident::new(name))
}

fn is_column(expr: &Expr) -> bool {
    matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_))
}

/// The name by which the rows of FROM can be called outside, if they come from one table.
fn alias_of(from: &[TableWithJoins]) -> Option<TableAlias> {
    let [TableWithJoins { relation, joins }] = from else { return None };
    if !joins.is_empty() {
        return None;
    }
    let (name, alias) = match relation {
        TableFactor::Table { name, alias, .. } => (name.0.last()?.as_ident()?.clone(), alias),
        TableFactor::Derived { alias, .. } | TableFactor::TableFunction { alias, .. } => {
            return alias.clone();
        }
        _ => return None,
    };
    alias.clone().or(Some(TableAlias { explicit: true, name, columns: Vec::new(), at: None }))
}

/// `SELECT * FROM rows WHERE filter`.
fn select_all(from: Vec<TableWithJoins>, filter: Option<Expr>) -> Result<Query> {
    let dialect: &dyn Dialect = &StreamDialect;
    let query =
        Parser::new(dialect).try_with_sql("SELECT * FROM t").and_then(|mut p| p.parse_query());
    let mut query = *query.map_err(super::script::syntax)?;
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.from = from;
        select.selection = filter;
    }
    Ok(query)
}
