//! Which types the parameters of a statement have.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use arrow_schema::DataType;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, LimitClause, SelectItem, SetExpr, Value, VisitMut, VisitorMut,
};

use super::Session;
use crate::catalog::Table;
use crate::parser::{Insert, Parsed, QueryText, Statement};

impl Session {
    /// The types of the parameters `$1`, `$2`, ... of a statement, by number, as far as they follow from what a parameter stands beside: the column that
    /// it is compared with, or the one that it is written to. What is wrong with the statement is not said here.
    pub fn parameter_types(&self, parsed: &Parsed) -> BTreeMap<usize, DataType> {
        match &parsed.statement {
            Statement::Query(query) => self.of_query(query),
            Statement::Insert(insert) => {
                let mut types = self.of_query(&insert.query);
                let entry = self.entry(&insert.table);
                if let Some(table) = entry.as_ref().and_then(|entry| entry.table()) {
                    of_written(insert, table, &mut types);
                }
                types
            }
            _ => BTreeMap::new(),
        }
    }

    fn of_query(&self, query: &QueryText) -> BTreeMap<usize, DataType> {
        let mut types = BTreeMap::new();
        let mut plain = query.query.clone();
        let mut any = Any(Vec::new());
        let _ = plain.visit(&mut any);
        let planned = self.with_planner(0, |planner| planner.plan(&plain));
        let found = planned.ok().and_then(|plan| plan.get_parameter_types().ok());
        for (id, data_type) in found.into_iter().flatten() {
            if let (Some(number), Some(data_type)) = (number_of(&id), data_type) {
                let data_type = match any.0.contains(&number) {
                    true => DataType::new_list(data_type, true),
                    false => data_type,
                };
                types.insert(number, data_type);
            }
        }
        if let Some(LimitClause::LimitOffset { limit, offset, .. }) = &query.query.limit_clause {
            let offset = offset.as_ref().map(|offset| &offset.value);
            for expr in limit.iter().chain(offset) {
                if let Some(number) = parameter(expr) {
                    types.insert(number, DataType::Int64);
                }
            }
        }
        types
    }
}

/// Replaces `x = ANY($1)` by `x IN ($1)`, of which DataFusion knows what `$1` has to be. Keeps the numbers: these parameters are arrays.
struct Any(Vec<usize>);

impl VisitorMut for Any {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::AnyOp { left, compare_op: BinaryOperator::Eq, right, .. } = expr
            && let Some(number) = parameter(right)
        {
            self.0.push(number);
            let (expr_of, list) = (left.clone(), vec![right.as_ref().clone()]);
            *expr = Expr::InList { expr: expr_of, list, negated: false };
        }
        ControlFlow::Continue(())
    }
}

/// Parameters that are values of columns that they are written to.
fn of_written(insert: &Insert, table: &Table, types: &mut BTreeMap<usize, DataType>) {
    let columns: Vec<usize> = match &insert.columns {
        Some(names) => names.iter().filter_map(|name| table.position(name)).collect(),
        None => table.sink_columns(),
    };
    let mut row = |exprs: &mut dyn Iterator<Item = &Expr>| {
        for (expr, column) in exprs.zip(&columns) {
            if let Some(number) = parameter(expr) {
                types.insert(number, table.columns[*column].data_type.clone());
            }
        }
    };
    match insert.query.query.body.as_ref() {
        SetExpr::Values(values) => values.rows.iter().for_each(|exprs| row(&mut exprs.iter())),
        SetExpr::Select(select) => {
            row(&mut select.projection.iter().filter_map(|item| match item {
                SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
                    Some(expr)
                }
                _ => None,
            }))
        }
        _ => {}
    }
}

/// The number of the parameter that an expression is.
fn parameter(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Nested(inner) => parameter(inner),
        Expr::Value(value) => match &value.value {
            Value::Placeholder(id) => number_of(id),
            _ => None,
        },
        _ => None,
    }
}

fn number_of(id: &str) -> Option<usize> {
    id.strip_prefix('$')?.parse().ok()
}
