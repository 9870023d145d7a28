//! GROUPING SETS, ROLLUP and CUBE as DataFusion numbers their sets.

use std::collections::HashMap;

use datafusion::common::ScalarValue;
use datafusion::logical_expr::utils::{grouping_set_to_exprlist, powerset};
use datafusion::logical_expr::{Expr, GroupingSet};

use crate::stream::planner::planning;
use crate::{Error, Result};
use arrow_schema::DataType;

/// The sets of a GROUP BY: for each which of the grouping columns are not in it, and its id; empty if it has no grouping sets.
pub(super) fn grouping_sets(
    group: &[Expr],
    id_type: &DataType,
) -> Result<Vec<(Vec<bool>, ScalarValue)>> {
    let [Expr::GroupingSet(grouping)] = group else { return Ok(Vec::new()) };
    let sets: Vec<Vec<&Expr>> = match grouping {
        GroupingSet::GroupingSets(sets) => sets.iter().map(|set| set.iter().collect()).collect(),
        GroupingSet::Rollup(columns) => {
            (0..=columns.len()).map(|len| columns[..len].iter().collect()).collect()
        }
        GroupingSet::Cube(columns) => powerset(columns).map_err(|e| planning(&e))?,
    };
    let columns = grouping_set_to_exprlist(group).map_err(|error| planning(&error))?;
    if columns.len() > 63 {
        return Err(Error::unsupported("grouping sets of more than 63 columns"));
    }
    let mut seen: HashMap<u64, u64> = HashMap::new();
    sets.into_iter()
        .map(|set| {
            let left_out: Vec<bool> = columns.iter().map(|column| !set.contains(column)).collect();
            // One bit a column, the last column's lowest; above them how often the same set came before.
            let bits = left_out.iter().fold(0, |bits, out| (bits << 1) | u64::from(*out));
            let earlier = seen.entry(bits).or_default();
            let id = bits | (*earlier << columns.len());
            *earlier += 1;
            let id = ScalarValue::UInt64(Some(id)).cast_to(id_type);
            Ok((left_out, id.map_err(|error| planning(&error))?))
        })
        .collect()
}
