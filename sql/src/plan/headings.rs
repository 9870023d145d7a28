//! What the columns of a SELECT are called that the query does not name: as in Flink.
//!
//! DataFusion calls them after their text (`sum(t.bytes)`, `Int64(1)`), which is hard to ask for again and shows how it writes plans.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, Expr, Ident, Query, Select, SelectItem, SetExpr, VisitMut, VisitorMut,
};

/// Names all columns: `EXPR$0` for an expression at the first place, `id0` for `id` when it is there already.
pub(super) fn name_columns(query: &mut Query) {
    struct Names;
    impl VisitorMut for Names {
        type Break = ();
        fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
            name_body(&mut query.body);
            ControlFlow::Continue(())
        }
    }
    let _ = query.visit(&mut Names);
}

fn name_body(body: &mut SetExpr) {
    match body {
        SetExpr::Select(select) => name_select(select),
        SetExpr::SetOperation { left, right, .. } => {
            name_body(left);
            name_body(right);
        }
        // Queries in parentheses are visited for themselves.
        _ => {}
    }
}

fn name_select(select: &mut Select) {
    let mut before: Vec<String> = Vec::with_capacity(select.projection.len());
    for (place, item) in select.projection.iter_mut().enumerate() {
        let text = item.to_string();
        if let SelectItem::UnnamedExpr(expr) = item {
            let copies = before.iter().filter(|earlier| **earlier == text).count();
            let alias = match name_of(expr) {
                None => Some(format!("EXPR${place}")),
                Some((name, _)) if copies > 0 => Some(format!("{name}{}", copies - 1)),
                Some((_, true)) => None,
                Some((name, false)) => Some(name.to_owned()),
            };
            if let Some(alias) = alias {
                let expr = expr.clone();
                *item = SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('`', alias) };
            }
        }
        before.push(text);
    }
}

/// The name that an expression has by itself, and whether DataFusion gives it that name.
fn name_of(expr: &Expr) -> Option<(&str, bool)> {
    match expr {
        Expr::Identifier(name) => Some((&name.value, true)),
        Expr::CompoundIdentifier(names) => names.last().map(|name| (name.value.as_str(), true)),
        Expr::Nested(inner) => name_of(inner),
        Expr::CompoundFieldAccess { access_chain, .. } => match access_chain.last() {
            Some(AccessExpr::Dot(Expr::Identifier(name))) => Some((&name.value, false)),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    fn named(sql: &str) -> String {
        let mut parser = Parser::new(&GenericDialect).try_with_sql(sql).unwrap();
        let mut query = *parser.parse_query().unwrap();
        name_columns(&mut query);
        query.to_string().replace('`', "")
    }

    #[test]
    fn columns_without_a_name_get_one() {
        for (sql, expected) in [
            (
                "SELECT a, 1, t.b, COUNT(*) FROM t",
                "SELECT a, 1 AS EXPR$1, t.b, COUNT(*) AS EXPR$3 FROM t",
            ),
            ("SELECT *, 1 FROM t", "SELECT *, 1 AS EXPR$1 FROM t"),
            ("SELECT a, a, (a), a FROM t", "SELECT a, a AS a0, (a), a AS a1 FROM t"),
            ("SELECT a + 1 AS b FROM t", "SELECT a + 1 AS b FROM t"),
            ("SELECT r[1].f, m['k'] FROM t", "SELECT r[1].f AS f, m['k'] AS EXPR$1 FROM t"),
            (
                "SELECT n FROM (SELECT MAX(a) FROM t) WHERE EXISTS (SELECT 1) UNION (SELECT 2)",
                "SELECT n FROM (SELECT MAX(a) AS EXPR$0 FROM t) WHERE EXISTS (SELECT 1 AS EXPR$0) UNION (SELECT 2 AS EXPR$0)",
            ),
        ] {
            assert_eq!(named(sql), expected, "{sql}");
        }
    }
}
