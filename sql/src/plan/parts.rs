//! Which parts of rows within rows are read.
//!
//! `bid.price` reads one field of the column `bid`; what else a bid has need not be decoded. The walk over a plan takes along what the
//! nodes above read of each column, as far as projections, filters and event time go, down to the scan of the table.

use std::collections::BTreeSet;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Expr, Projection};

/// What of a column is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// These fields of the row that it holds; none at all if there are none.
    Fields(BTreeSet<String>),
    /// All of it.
    All,
}

/// What is read of each column of a plan's result; `None` if that is not known, and so is everything.
pub(super) type Parts = Option<Vec<Part>>;

impl Part {
    fn add(&mut self, other: Self) {
        match (&mut *self, other) {
            (Self::Fields(fields), Self::Fields(more)) => fields.extend(more),
            (part, _) => *part = Self::All,
        }
    }
}

/// What a projection reads of its input, if so much of its result is read.
pub(super) fn below_projection(projection: &Projection, above: Parts) -> Parts {
    let schema = projection.input.schema();
    let mut parts = nothing(schema);
    for (at, expr) in projection.expr.iter().enumerate() {
        let part = above.as_ref().and_then(|above| above.get(at)).unwrap_or(&Part::All);
        match passed(expr).map(|column| schema.maybe_index_of_column(column)) {
            Some(Some(column)) => parts[column].add(part.clone()),
            Some(None) => return None,
            None => read(expr, schema, &mut parts)?,
        }
    }
    Some(parts)
}

/// What a node reads of its input that hands on all columns, and looks at them itself by these expressions.
pub(super) fn below_expressions(exprs: &[&Expr], schema: &DFSchema, above: Parts) -> Parts {
    let mut parts = above?;
    for expr in exprs {
        read(expr, schema, &mut parts)?;
    }
    Some(parts)
}

fn nothing(schema: &DFSchema) -> Vec<Part> {
    vec![Part::Fields(BTreeSet::new()); schema.fields().len()]
}

/// The column that an expression hands on as it is.
fn passed(expr: &Expr) -> Option<&datafusion::common::Column> {
    match expr {
        Expr::Column(column) => Some(column),
        Expr::Alias(alias) => passed(&alias.expr),
        _ => None,
    }
}

/// Adds what an expression reads. `None` if it reads what cannot be seen from here.
fn read(expr: &Expr, schema: &DFSchema, parts: &mut [Part]) -> Option<()> {
    let mut known = true;
    let walked = expr.apply(|expr| {
        let (column, part) = match (expr, field_of(expr)) {
            (_, Some((column, field))) => {
                (column, Part::Fields(BTreeSet::from([field.to_owned()])))
            }
            (Expr::Column(column), None) => (column, Part::All),
            (
                Expr::OuterReferenceColumn(..)
                | Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::ScalarSubquery(_),
                None,
            ) => {
                known = false;
                return Ok(TreeNodeRecursion::Stop);
            }
            _ => return Ok(TreeNodeRecursion::Continue),
        };
        match schema.maybe_index_of_column(column).and_then(|at| parts.get_mut(at)) {
            Some(known) => known.add(part),
            None => known = false,
        }
        Ok(TreeNodeRecursion::Jump)
    });
    (known && walked.is_ok()).then_some(())
}

/// The column and the field, if an expression is a field of a column, or something within that field.
fn field_of(expr: &Expr) -> Option<(&datafusion::common::Column, &str)> {
    let Expr::ScalarFunction(ScalarFunction { func, args }) = expr else { return None };
    match args.as_slice() {
        [Expr::Column(column), Expr::Literal(ScalarValue::Utf8(Some(field)), _), path @ ..]
            if func.name() == "get_field"
                && path.iter().all(|part| matches!(part, Expr::Literal(..))) =>
        {
            Some((column, field))
        }
        _ => None,
    }
}
