//! The types of a result: whoever asks in SQL gets SQL's.
//!
//! Some of DataFusion's functions (ROW_NUMBER, say) give unsigned numbers, which neither Flink nor PostgreSQL has. Inside a plan they stay; at its end they become
//! BIGINT or what is large enough.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields};
use datafusion::common::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, Projection, cast};

/// The plan with signed numbers where it has unsigned ones.
pub(super) fn signed(plan: LogicalPlan) -> Result<LogicalPlan> {
    let is_signed = |plan: &LogicalPlan| {
        let mut fields = plan.schema().fields().iter();
        fields.all(|field| signed_type(field.data_type()).is_none())
    };
    if is_signed(&plan) {
        return Ok(plan);
    }
    match plan {
        // What is in order stays in order, and an order at the very end is seen there.
        LogicalPlan::Sort(_) | LogicalPlan::Limit(_) => {
            let inputs = plan.inputs().into_iter().cloned().map(signed).collect::<Result<_>>()?;
            plan.with_new_exprs(plan.expressions(), inputs)
        }
        plan => {
            let columns = plan.schema().iter().map(|(qualifier, field)| {
                let column = Expr::from((qualifier, field));
                match signed_type(field.data_type()) {
                    Some(wanted) => {
                        cast(column, wanted).alias_qualified(qualifier.cloned(), field.name())
                    }
                    None => column,
                }
            });
            let columns = columns.collect();
            Ok(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(plan))?))
        }
    }
}

/// The signed type for an unsigned one, or one that holds some; `None` for all others.
fn signed_type(data_type: &DataType) -> Option<DataType> {
    let inner = |field: &Arc<Field>| -> Option<Arc<Field>> {
        let wanted = signed_type(field.data_type())?;
        Some(Arc::new(field.as_ref().clone().with_data_type(wanted)))
    };
    Some(match data_type {
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::List(item) => DataType::List(inner(item)?),
        DataType::Map(entries, sorted) => DataType::Map(inner(entries)?, *sorted),
        DataType::Struct(fields) => {
            let changed: Vec<_> = fields.iter().map(inner).collect();
            if changed.iter().all(Option::is_none) {
                return None;
            }
            let fields = changed.into_iter().zip(fields);
            DataType::Struct(
                fields.map(|(new, old)| new.unwrap_or_else(|| old.clone())).collect::<Fields>(),
            )
        }
        _ => return None,
    })
}
