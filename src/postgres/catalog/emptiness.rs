//! Questions that have no answer whatever they say: they read a table that is always empty.
//!
//! Most of what clients ask is about indexes, triggers or policies, in words that DataFusion need not understand when there are none.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, JoinOperator, ObjectName, Query, Select, SelectItem, SetExpr, SetOperator,
    TableFactor, TableWithJoins, Visit, Visitor,
};

use super::columns::is_always_empty;

/// Functions that give a row where there was none.
const AGGREGATES: [&str; 10] = [
    "array_agg",
    "avg",
    "bool_and",
    "bool_or",
    "count",
    "json_agg",
    "max",
    "min",
    "string_agg",
    "sum",
];

/// Whether a query never has a row.
pub(super) fn is_empty(query: &Query) -> bool {
    empty_query(query, &mut Vec::new())
}

/// Whether there is a call of an aggregate function in an expression, outside of the queries in it.
pub(super) fn has_aggregate(expr: &Expr) -> bool {
    /// The number of queries around what is looked at.
    struct Seek(usize);
    impl Visitor for Seek {
        type Break = ();
        fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.0 += 1;
            ControlFlow::Continue(())
        }
        fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
            self.0 -= 1;
            ControlFlow::Continue(())
        }
        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            match expr {
                Expr::Function(call)
                    if self.0 == 0 && AGGREGATES.contains(&last(&call.name).as_str()) =>
                {
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            }
        }
    }
    expr.visit(&mut Seek(0)).is_break()
}

/// The last part of a name, in lower case.
pub(super) fn last(name: &ObjectName) -> String {
    let ident = name.0.last().and_then(|part| part.as_ident());
    ident.map_or(String::new(), |ident| ident.value.to_lowercase())
}

/// `empty` are the names of queries, given by WITH, that are known to be empty.
fn empty_query(query: &Query, empty: &mut Vec<String>) -> bool {
    let known = empty.len();
    for named in query.with.iter().flat_map(|with| &with.cte_tables) {
        if empty_query(&named.query, empty) {
            empty.push(named.alias.name.value.to_lowercase());
        }
    }
    let is_empty = empty_body(&query.body, empty);
    empty.truncate(known);
    is_empty
}

fn empty_body(body: &SetExpr, empty: &mut Vec<String>) -> bool {
    match body {
        SetExpr::Select(select) => empty_select(select, empty),
        SetExpr::Query(query) => empty_query(query, empty),
        SetExpr::SetOperation { op, left, right, .. } => match op {
            SetOperator::Union => empty_body(left, empty) && empty_body(right, empty),
            SetOperator::Intersect => empty_body(left, empty) || empty_body(right, empty),
            _ => empty_body(left, empty),
        },
        _ => false,
    }
}

fn empty_select(select: &Select, empty: &mut Vec<String>) -> bool {
    if !select.from.iter().any(|tables| empty_tables(tables, empty)) {
        return false;
    }
    let groups = match &select.group_by {
        GroupByExpr::All(_) => true,
        GroupByExpr::Expressions(exprs, _) => !exprs.is_empty(),
    };
    groups
        || !select.projection.iter().any(|item| match item {
            SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
                has_aggregate(expr)
            }
            _ => false,
        })
}

fn empty_tables(tables: &TableWithJoins, empty: &mut Vec<String>) -> bool {
    let mut is_empty = empty_factor(&tables.relation, empty);
    for join in &tables.joins {
        let other = empty_factor(&join.relation, empty);
        is_empty = match join.join_operator {
            JoinOperator::Join(_) | JoinOperator::Inner(_) | JoinOperator::CrossJoin(_) => {
                is_empty || other
            }
            JoinOperator::Right(_) | JoinOperator::RightOuter(_) => other,
            JoinOperator::FullOuter(_) => is_empty && other,
            _ => is_empty,
        };
    }
    is_empty
}

fn empty_factor(factor: &TableFactor, empty: &mut Vec<String>) -> bool {
    match factor {
        TableFactor::Table { name, args: None, .. } => {
            let table = last(name);
            is_always_empty(&table) || (name.0.len() == 1 && empty.contains(&table))
        }
        TableFactor::Derived { subquery, .. } => empty_query(subquery, empty),
        TableFactor::NestedJoin { table_with_joins, .. } => empty_tables(table_with_joins, empty),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    #[test]
    fn queries_of_empty_tables_have_no_rows() {
        for (sql, expected) in [
            ("SELECT f(b, c) FROM pg_catalog.pg_publication p JOIN x ON (p.a = x.a)", true),
            ("SELECT a FROM pg_class LEFT JOIN pg_index ON a = b", false),
            ("SELECT a FROM pg_class JOIN (SELECT * FROM pg_index) AS i ON a = b", true),
            ("SELECT a FROM pg_class, pg_index", true),
            ("SELECT a FROM pg_publication UNION SELECT b FROM pg_policy ORDER BY 1", true),
            ("SELECT a FROM pg_publication UNION SELECT b FROM pg_class", false),
            ("SELECT count(*) FROM pg_publication", false),
            ("SELECT (SELECT count(*) FROM pg_class) FROM pg_publication", true),
            ("SELECT a, 1 + count(*) FROM pg_publication GROUP BY a", true),
            ("WITH i AS (SELECT * FROM pg_index) SELECT * FROM i", true),
            ("SELECT a FROM information_schema.table_constraints", true),
            ("SELECT 1", false),
        ] {
            let mut parser = Parser::new(&PostgreSqlDialect {}).try_with_sql(sql).unwrap();
            assert_eq!(is_empty(&parser.parse_query().unwrap()), expected, "{sql}");
        }
    }
}
