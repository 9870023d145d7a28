//! The columns by which rows of two sides meet.

use std::sync::Arc;

use arrow_schema::{DataType, Field};
use datafusion::common::DFSchema;
use datafusion::logical_expr::type_coercion::binary::comparison_coercion;
use datafusion::logical_expr::{Expr, ExprSchemable, cast};

use crate::operator::calc::CalcSpec;
use crate::stream::calc::column_of;
use crate::stream::planner::planning;
use crate::stream::{Planned, StreamPlanner};
use crate::{Error, Result};

/// An input with its key in columns.
pub(in crate::stream) struct Keyed {
    /// The input, perhaps with more columns at its end.
    pub(in crate::stream) planned: Planned,
    /// How many columns the join is of.
    pub(in crate::stream) columns: usize,
    /// Positions of the key.
    pub(in crate::stream) keys: Vec<usize>,
}

impl StreamPlanner<'_> {
    /// Both inputs with their keys as columns of the same types.
    pub(in crate::stream) fn keyed(
        &self,
        left: Planned,
        right: Planned,
        on: &[(Expr, Expr)],
    ) -> Result<(Keyed, Keyed)> {
        let (of_left, of_right) = same_types(on, &left.schema, &right.schema)?;
        Ok((self.with_keys(left, &of_left)?, self.with_keys(right, &of_right)?))
    }

    /// An input with expressions as columns: columns that there are, or new ones behind them.
    pub(in crate::stream) fn with_keys(&self, input: Planned, exprs: &[Expr]) -> Result<Keyed> {
        let columns = input.schema.fields().len();
        let (mut keys, mut added) = (Vec::new(), Vec::new());
        for expr in exprs {
            keys.push(column_of(expr, &input).unwrap_or_else(|| {
                added.push(expr.clone());
                columns + added.len() - 1
            }));
        }
        if added.is_empty() {
            return Ok(Keyed { planned: input, columns, keys });
        }
        let all: Vec<Expr> = input.schema.columns().into_iter().map(Expr::Column).collect();
        let physical = self.expressions(all.iter().chain(&added), &input.schema)?;
        let fields = added.iter().enumerate().map(|(at, expr)| {
            let data_type = expr.get_type(&input.schema).map_err(|error| planning(&error))?;
            Ok((None, Arc::new(Field::new(format!("__key{at}"), data_type, true))))
        });
        let qualified = input.schema.iter().map(|(table, field)| (table.cloned(), field.clone()));
        let fields: Vec<_> = qualified.map(Ok).chain(fields).collect::<Result<_>>()?;
        let schema = DFSchema::new_with_metadata(fields, input.schema.metadata().clone())
            .map_err(|error| planning(&error))?;
        let output = schema.inner().clone();
        let spec = CalcSpec { filter: None, columns: Some(physical), output };
        let names: Vec<String> = added.iter().map(ToString::to_string).collect();
        let stream = self.calc(&input, spec, format!("with {}", names.join(", ")));
        let planned = input.moved(stream, Arc::new(schema), Some);
        Ok(Keyed { planned, columns, keys })
    }
}

/// Both sides of equalities, cast to the same types.
pub(crate) fn same_types(
    on: &[(Expr, Expr)],
    left: &DFSchema,
    right: &DFSchema,
) -> Result<(Vec<Expr>, Vec<Expr>)> {
    let (mut of_left, mut of_right) = (Vec::new(), Vec::new());
    for (l, r) in on {
        let l_type = l.get_type(left).map_err(|error| planning(&error))?;
        let r_type = r.get_type(right).map_err(|error| planning(&error))?;
        let common = comparison_coercion(&l_type, &r_type).ok_or_else(|| {
            Error::invalid(format!("{l} is {l_type} and {r} is {r_type}: they cannot be equal"))
        })?;
        of_left.push(typed(l, l_type, &common));
        of_right.push(typed(r, r_type, &common));
    }
    Ok((of_left, of_right))
}

fn typed(expr: &Expr, is: DataType, wanted: &DataType) -> Expr {
    if is == *wanted { expr.clone() } else { cast(expr.clone(), wanted.clone()) }
}
