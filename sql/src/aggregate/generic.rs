//! Any aggregate function of DataFusion, or of a user.

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, new_empty_array, new_null_array};
use arrow_schema::{DataType, Schema};
use datafusion::common::{Result, exec_datafusion_err};
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::GroupsAccumulatorAdapter;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;

use super::{Accumulator, Rows, StreamAggregate};

/// DataFusion's implementation of a function, for rows that all have the weight 1.
#[derive(Debug, Clone)]
pub struct Generic {
    call: Arc<AggregateFunctionExpr>,
    arguments: Vec<DataType>,
    state: Vec<DataType>,
}

impl Generic {
    /// The function of a call over rows of this schema.
    ///
    /// # Errors
    /// What the function says of its arguments and its state.
    pub fn new(call: Arc<AggregateFunctionExpr>, schema: &Schema) -> Result<Self> {
        let state = call.state_fields()?.iter().map(|field| field.data_type().clone()).collect();
        let order = call.order_bys().iter().map(|by| by.expr.clone());
        let arguments = call.expressions().into_iter().chain(order);
        let arguments = arguments.map(|argument| argument.data_type(schema));
        Ok(Self { arguments: arguments.collect::<Result<_>>()?, call, state })
    }

    fn groups(&self) -> Result<Box<dyn GroupsAccumulator>> {
        if self.call.groups_accumulator_supported() {
            return self.call.create_groups_accumulator();
        }
        let call = self.call.clone();
        Ok(Box::new(GroupsAccumulatorAdapter::new(move || call.create_accumulator())))
    }
}

impl StreamAggregate for Generic {
    fn state_types(&self) -> &[DataType] {
        &self.state
    }

    fn takes_weights(&self) -> bool {
        false
    }

    fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Groups { function: self.clone(), groups: self.groups()?, known: 0 }))
    }

    fn evaluate(&self, states: &[ArrayRef]) -> Result<ArrayRef> {
        let count = states.first().map_or(0, |state| state.len());
        if count == 0 {
            // DataFusion's adapter cannot tell the type of no results.
            return Ok(new_empty_array(self.call.field().data_type()));
        }
        let mut groups = self.groups()?;
        let each: Vec<usize> = (0..count).collect();
        groups.merge_batch(states, &each, count)?;
        groups.evaluate(EmitTo::All)
    }
}

struct Groups {
    function: Generic,
    groups: Box<dyn GroupsAccumulator>,
    /// Number of groups that the accumulator has been told of.
    known: usize,
}

impl Accumulator for Groups {
    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        if rows.weights.is_some() {
            return Err(exec_datafusion_err!(
                "{} cannot take rows back",
                self.function.call.name()
            ));
        }
        self.known = self.known.max(rows.groups);

        self.groups.update_batch(rows.args, rows.group_of, rows.filter, self.known)
    }

    fn merge(&mut self, states: &[ArrayRef], group_of: &[usize], groups: usize) -> Result<()> {
        self.known = self.known.max(groups);
        self.groups.merge_batch(states, group_of, self.known)
    }

    fn ensure(&mut self, groups: usize) -> Result<()> {
        if groups <= self.known {
            return Ok(());
        }
        // Unless a filter says otherwise, DataFusion takes it that each group has a row.
        let missing: Vec<usize> = (self.known..groups).collect();
        let types = self.function.arguments.iter();
        let nulls: Vec<ArrayRef> = types.map(|of| new_null_array(of, missing.len())).collect();
        let none = BooleanArray::from(vec![false; missing.len()]);
        self.groups.update_batch(&nulls, &missing, Some(&none), groups)?;
        self.known = groups;
        Ok(())
    }

    fn finish(&mut self, groups: usize) -> Result<Vec<ArrayRef>> {
        self.ensure(groups)?;
        self.known = 0;
        self.groups.state(EmitTo::All)
    }
}
