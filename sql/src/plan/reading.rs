//! How little of each table is to be read.
//!
//! A last walk over an optimised plan takes along what the nodes above read of each column, and which rows they keep, as far as
//! projections, filters and event time go, down to the scans. Each scan then knows which fields of its columns are needed
//! ([`parts`](super::parts)) and which of its table's records ([`pruning`](super::pruning)). Filters stay where they are: what is left out
//! only saves work.
//!
//! Below a WATERMARK all rows are read if something above goes by event time, since a row that a filter leaves out moves it all the
//! same.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    Expr, Extension, LogicalPlan, Projection, SubqueryAlias, TableScan, Volatility,
};
use riverrun_operators::Wanted;

use super::parts::{Part, Parts, below_expressions, below_projection};
use super::pruning::wanted;
use super::{EventTime, Relation, Rows};
use crate::catalog::Table;

/// What a scan needs of its relation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// Of columns that hold rows, by their position: the fields that are needed.
    pub fields: BTreeMap<usize, BTreeSet<String>>,
    /// The records that are needed.
    pub records: Wanted,
    /// Conditions that hold for the folders whose files are needed, on the columns by which the table is `PARTITIONED`.
    pub folders: Vec<Expr>,
}

/// What the nodes above want of a node's result.
#[derive(Clone, Default)]
struct Above {
    /// What is read of each column.
    parts: Parts,
    /// Conditions on its rows, all of which must hold; others are not needed.
    filters: Vec<Expr>,
    /// Something goes by event time.
    timed: bool,
}

/// The plan, with scans that know what is needed.
///
/// # Errors
/// What DataFusion says of a plan that cannot be put together again.
pub fn read_less(plan: LogicalPlan) -> Result<LogicalPlan> {
    below(plan, Above::default()).map(|transformed| transformed.data)
}

/// For each scan that leaves out records: the table, and what is read.
pub fn pruned(plan: &LogicalPlan) -> Vec<String> {
    let mut scans = Vec::new();
    // Looking at a plan does not fail.
    let _ = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some(relation) = Relation::of(&scan.source)
        {
            let Needs { records, folders, .. } = &relation.needs;
            if !records.is_all() {
                scans.push(format!("{}: only {records}", relation.name));
            }
            if !folders.is_empty() {
                let folders: Vec<String> = folders.iter().map(ToString::to_string).collect();
                scans.push(format!(
                    "{}: only folders with {}",
                    relation.name,
                    folders.join(" AND ")
                ));
            }
        }
        Ok(TreeNodeRecursion::Continue)
    });
    scans
}

/// What each of a plan's scans reads, in order. Plans that are equal otherwise may differ in it.
pub(crate) fn needs_of(plan: &LogicalPlan) -> Vec<Needs> {
    let mut needs = Vec::new();
    // Looking at a plan does not fail.
    let _ = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            let relation = Relation::of(&scan.source);
            needs.push(relation.map(|relation| relation.needs.clone()).unwrap_or_default());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    needs
}

fn below(plan: LogicalPlan, above: Above) -> Result<Transformed<LogicalPlan>> {
    let Above { parts, filters, timed } = above;
    let child = match &plan {
        LogicalPlan::TableScan(scan) => {
            return Ok(Transformed::yes(needing(scan, parts, &filters)));
        }
        LogicalPlan::Projection(node) => Above {
            parts: below_projection(node, parts),
            filters: filters.iter().filter_map(|filter| through(node, filter)).collect(),
            timed,
        },
        LogicalPlan::Filter(node) => {
            let schema = node.input.schema();
            let parts = below_expressions(&[&node.predicate], schema, parts);
            let own = split_conjunction(&node.predicate).into_iter().cloned();
            Above { parts, filters: filters.into_iter().chain(own).collect(), timed }
        }
        LogicalPlan::SubqueryAlias(node) => Above {
            parts,
            filters: filters.iter().filter_map(|filter| unaliased(node, filter)).collect(),
            timed,
        },
        LogicalPlan::Union(_) | LogicalPlan::Aggregate(_) | LogicalPlan::Distinct(_) => {
            Above { timed, ..Above::default() }
        }
        LogicalPlan::Extension(Extension { node }) => {
            match node.as_any().downcast_ref::<EventTime>() {
                Some(node) => Above {
                    parts: below_expressions(
                        &[&node.time, &node.watermark],
                        node.input.schema(),
                        parts,
                    ),
                    filters: if timed { Vec::new() } else { filters },
                    timed,
                },
                None => Above { timed: true, ..Above::default() },
            }
        }
        _ => Above { timed: true, ..Above::default() },
    };
    let plan = plan.map_subqueries(|inner| below(inner, Above { timed, ..Above::default() }))?;
    plan.transform_data(|plan| plan.map_children(|input| below(input, child.clone())))
}

/// The scan, of a relation that knows what is needed of it.
fn needing(scan: &TableScan, parts: Parts, filters: &[Expr]) -> LogicalPlan {
    let mut scan = scan.clone();
    let Some(relation) = Relation::of(&scan.source) else { return LogicalPlan::TableScan(scan) };
    let Rows::Table(table) = &relation.rows else { return LogicalPlan::TableScan(scan) };
    let place = |at: usize| scan.projection.as_ref().map_or(at, |projection| projection[at]);
    let fields = parts.into_iter().flatten().enumerate().filter_map(|(at, part)| match part {
        Part::Fields(fields) if !fields.is_empty() => Some((place(at), fields)),
        _ => None,
    });
    let all = filters.iter().chain(&scan.filters);
    let folders = all.clone().filter_map(|filter| of_folders(filter, table)).collect();
    let records = all.fold(Wanted::default(), |records, filter| records.and(wanted(filter, table)));
    let records = crate::connector::records_to_read(table, records);
    let needs = Needs { fields: fields.collect(), records, folders };
    scan.source = Relation { needs, ..relation.as_ref().clone() }.into_source();
    LogicalPlan::TableScan(scan)
}

/// The condition, if it is only about columns by which a table is `PARTITIONED` and always says the same of the same values.
fn of_folders(filter: &Expr, table: &Table) -> Option<Expr> {
    let mut known = true;
    let plain = filter.clone().transform(|expr| {
        known &= match &expr {
            Expr::Column(column) => table.partitioned_by.contains(&column.name),
            Expr::ScalarFunction(call) => call.func.signature().volatility == Volatility::Immutable,
            Expr::BinaryExpr(_)
            | Expr::Between(_)
            | Expr::Case(_)
            | Expr::Cast(_)
            | Expr::InList(_)
            | Expr::IsNotNull(_)
            | Expr::IsNull(_)
            | Expr::Like(_)
            | Expr::Literal(..)
            | Expr::Not(_) => true,
            _ => false,
        };
        Ok(match expr {
            Expr::Column(column) => {
                Transformed::yes(Expr::Column(Column::new_unqualified(column.name)))
            }
            other => Transformed::no(other),
        })
    });
    plain.ok().filter(|_| known).map(|plain| plain.data)
}

/// A condition on a projection's result as one on its input, if it is about columns that are handed on as they are.
fn through(projection: &Projection, filter: &Expr) -> Option<Expr> {
    renamed(filter, &projection.schema, |at| {
        let mut expr = projection.expr.get(at)?;
        while let Expr::Alias(alias) = expr {
            expr = &alias.expr;
        }
        match expr {
            Expr::Column(column) => Some(column.clone()),
            _ => None,
        }
    })
}

/// A condition on an alias's result as one on what it stands for.
fn unaliased(alias: &SubqueryAlias, filter: &Expr) -> Option<Expr> {
    renamed(filter, &alias.schema, |at| {
        Some(Column::from(alias.input.schema().qualified_field(at)))
    })
}

/// The expression with other columns in place of its own, which have these positions in `schema`; `None` if one of them has none.
fn renamed(expr: &Expr, schema: &DFSchema, name: impl Fn(usize) -> Option<Column>) -> Option<Expr> {
    let mut known = true;
    let renamed = expr.clone().transform(|expr| {
        let Expr::Column(column) = &expr else { return Ok(Transformed::no(expr)) };
        match schema.maybe_index_of_column(column).and_then(&name) {
            Some(column) => Ok(Transformed::yes(Expr::Column(column))),
            None => {
                known = false;
                Ok(Transformed::no(expr))
            }
        }
    });
    renamed.ok().filter(|_| known).map(|renamed| renamed.data)
}
