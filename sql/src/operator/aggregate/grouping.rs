//! Rows to groups.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_schema::{DataType, Field, Schema};
use datafusion::common::Result;
use datafusion::logical_expr::EmitTo;
use datafusion::physical_plan::aggregates::group_values::{GroupValues, new_group_values};
use datafusion::physical_plan::aggregates::order::GroupOrdering;

/// Numbers the different rows of some columns as they come.
pub(super) struct Grouping {
    /// `None` without columns: all rows are one group.
    values: Option<Box<dyn GroupValues>>,
    /// True if there was a row, without columns.
    any: bool,
}

impl Grouping {
    /// For columns of these types.
    pub fn new(types: impl IntoIterator<Item = DataType>) -> Result<Self> {
        let fields: Vec<Field> = types
            .into_iter()
            .enumerate()
            .map(|(at, of)| Field::new(format!("c{at}"), of, true))
            .collect();
        let values = match fields.is_empty() {
            true => None,
            false => Some(new_group_values(Arc::new(Schema::new(fields)), &GroupOrdering::None)?),
        };
        Ok(Self { values, any: false })
    }

    /// Writes the group of each of `rows` rows to `group_of`.
    pub fn intern(
        &mut self,
        columns: &[ArrayRef],
        rows: usize,
        group_of: &mut Vec<usize>,
    ) -> Result<()> {
        match &mut self.values {
            Some(values) => values.intern(columns, group_of),
            None => {
                self.any |= rows > 0;
                group_of.clear();
                group_of.resize(rows, 0);
                Ok(())
            }
        }
    }

    /// Number of groups.
    pub fn len(&self) -> usize {
        self.values.as_ref().map_or(usize::from(self.any), |values| values.len())
    }

    /// The columns of the groups, in the order of their numbers; numbers start anew.
    pub fn take(&mut self) -> Result<Vec<ArrayRef>> {
        self.any = false;
        match &mut self.values {
            Some(values) if values.is_empty() => Ok(Vec::new()),
            Some(values) => {
                let groups = values.len();
                let columns = values.emit(EmitTo::All)?;
                // Some implementations go on to find the groups that are gone.
                values.clear_shrink(groups);
                Ok(columns)
            }
            None => Ok(Vec::new()),
        }
    }
}
