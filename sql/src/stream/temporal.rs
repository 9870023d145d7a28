//! Joins with a table as it was, or is, at a time.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use futures_util::TryStreamExt;
use riverrun_dataflow::{KeyHasher, OperatorKind, OperatorSpec};

use super::calc::column_of;
use super::planner::planning;
use super::{Planned, StreamPlanner, same_types};
use crate::catalog::Table;
use crate::connector;
use crate::operator::join::{
    JoinInput, JoinSpec, LookupJoin, LookupJoinSpec, LookupTable, TemporalJoin as VersionJoin,
    TemporalJoinSpec,
};
use crate::plan::{AsOf, Relation, Rows, TemporalJoin};
use crate::{Error, Result};

/// How long a looked up table is taken to be as it was, unless it says so by 'lookup.cache.ttl'.
const REFRESH: Duration = Duration::from_secs(10);

impl StreamPlanner<'_> {
    pub(super) fn temporal_join(&mut self, node: &TemporalJoin) -> Result<Planned> {
        match &node.as_of {
            AsOf::EventTime { left, right } => self.version_join(node, left, right),
            AsOf::ProcessingTime => self.lookup_join(node),
        }
    }

    fn version_join(&mut self, node: &TemporalJoin, time: &Expr, since: &Expr) -> Result<Planned> {
        let (left, right) = (self.plan(&node.left)?, self.plan(&node.right)?);
        let [left_time, right_time] = [(time, &left), (since, &right)].map(|(time, input)| {
            column_of(time, input).filter(|at| input.time.contains(at)).ok_or_else(|| {
                Error::invalid(format!(
                    "FOR SYSTEM_TIME AS OF: {time} is no event time any more where the rows are joined"
                ))
            })
        });
        let time = [left_time?, right_time?];
        if left.retracts {
            return Err(Error::unsupported(
                "FOR SYSTEM_TIME AS OF the event time of rows that can be taken back: when one is, the version that it met may be gone. \
                 Join the rows before they are aggregated",
            ));
        }
        let (left, right) = self.keyed(left, right, &node.on)?;
        let spec = TemporalJoinSpec {
            join: self.spec_of(node, [left.input(), right.input()], false)?,
            time,
        };
        self.note_state(
            "temporal-join",
            "the version of each key that holds, and newer ones",
            None,
        );
        self.note_state(
            "temporal-join",
            "rows of the left input",
            Some("the watermark reaches their time".to_owned()),
        );
        let operator = Self::keyed_spec("temporal-join", described(node), &left.keys);
        let stream = self.spread(&left.planned, &left.keys).transform_with(
            &self.spread(&right.planned, &right.keys),
            operator,
            move |_| Ok(Box::new(VersionJoin::new(spec.clone())?)),
        );
        let there = left.keys.iter().all(|key| *key < left.columns);
        let mut planned =
            Planned::source(stream, node.schema.clone(), false, self.env.parallelism());
        // Rows come when the watermark has reached their time, before it is passed on. Each comes at most once.
        planned.time = vec![time[0]];
        planned.keys = left.planned.keys;
        planned.spread_by = there.then_some(left.keys);
        Ok(planned)
    }

    fn lookup_join(&mut self, node: &TemporalJoin) -> Result<Planned> {
        let left = self.plan(&node.left)?;
        let (left_keys, right_keys) = same_types(&node.on, &left.schema, node.right.schema())?;
        let left = self.with_keys(left, &left_keys)?;
        let (plan, keys) = with_keys(&node.right, &right_keys)?;
        let (tables, names) = looked_up(&plan)?;
        let refresh = refresh_of(&tables)?;
        let retracts = left.planned.retracts;
        let right = JoinInput {
            schema: plan.schema().inner().clone(),
            columns: node.right.schema().fields().len(),
            keys,
        };
        let spec = LookupJoinSpec {
            join: self.spec_of(node, [left.input(), right], retracts)?,
            table: Arc::new(PlannedTable { plan, tables, names: names.clone() }),
            refresh,
            left_retracts: retracts,
        };
        let all: Vec<usize> = (0..left.planned.schema.fields().len()).collect();
        let until = format!("it has changed, which is looked at every {refresh:?}");
        self.note_state("lookup-join", format!("all of {names}, in each subtask"), Some(until));
        let kind = if retracts { OperatorKind::Keyed } else { OperatorKind::Transform };
        let operator = OperatorSpec::new("lookup-join", kind).described(described(node));
        let input = if retracts {
            self.note_state("lookup-join", "the left rows with what they met", None);
            self.spread(&left.planned, &all)
        } else {
            left.planned.stream.clone()
        };
        let stream =
            input.transform(operator, move |_| Ok(Box::new(LookupJoin::new(spec.clone())?)));
        let columns = left.columns;
        let mut planned = left.planned.moved(stream.clone(), node.schema.clone(), |column| {
            (column < columns).then_some(column)
        });
        planned.keys.clear();
        if retracts {
            planned.spread_by = None;
            planned.parallelism = self.env.parallelism();
        } else {
            planned.stream = stream.parallelism(planned.parallelism);
        }
        Ok(planned)
    }

    fn spec_of(
        &self,
        node: &TemporalJoin,
        inputs: [JoinInput; 2],
        retracts: bool,
    ) -> Result<JoinSpec> {
        let filter = match &node.filter {
            Some(filter) => Some(self.expression(filter, &node.schema)?),
            None => None,
        };
        Ok(JoinSpec {
            join_type: node.join_type,
            inputs,
            nulls_equal: false,
            filter,
            output: node.schema.inner().clone(),
            retracts,
            time_to_live: None,
        })
    }
}

fn described(node: &TemporalJoin) -> String {
    use datafusion::logical_expr::UserDefinedLogicalNodeCore;
    struct Explained<'a>(&'a TemporalJoin);
    impl std::fmt::Display for Explained<'_> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            self.0.fmt_for_explain(f)
        }
    }
    Explained(node).to_string().trim_start_matches("TemporalJoin: ").to_owned()
}

/// A plan with expressions as columns: those that there are, or new ones behind them; and where they are.
fn with_keys(plan: &LogicalPlan, exprs: &[Expr]) -> Result<(LogicalPlan, Vec<usize>)> {
    let schema = plan.schema();
    let mut columns: Vec<Expr> = schema.columns().into_iter().map(Expr::Column).collect();
    let mut keys = Vec::new();
    for (at, expr) in exprs.iter().enumerate() {
        let there = match expr {
            Expr::Column(column) => schema.maybe_index_of_column(column),
            _ => None,
        };
        keys.push(there.unwrap_or(columns.len()));
        if there.is_none() {
            columns.push(expr.clone().alias(format!("__key{at}")));
        }
    }
    if columns.len() == schema.fields().len() {
        return Ok((plan.clone(), keys));
    }
    let plan = LogicalPlanBuilder::from(plan.clone())
        .project(columns)
        .and_then(LogicalPlanBuilder::build)
        .map_err(|error| planning(&error))?;
    Ok((plan, keys))
}

/// The tables that a plan reads, which must have an end.
fn looked_up(plan: &LogicalPlan) -> Result<(Vec<Arc<Table>>, String)> {
    let (mut tables, mut names) = (Vec::new(), Vec::new());
    plan.apply(|plan| {
        if let LogicalPlan::TableScan(scan) = plan {
            names.push(scan.table_name.table().to_owned());
            if let Some(relation) = Relation::of(&scan.source)
                && let Rows::Table(table) = &relation.rows
            {
                tables.push(table.clone());
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .map_err(|error| planning(&error))?;
    for table in &tables {
        if !connector::has_present_end(table)? {
            return Err(Error::unsupported(format!(
                "looking up table `{}`: its connector '{}' has no present end. Tables of topics and files can be looked up",
                table.name,
                table.option("connector").unwrap_or_default()
            )));
        }
    }
    Ok((tables, names.join(", ")))
}

fn refresh_of(tables: &[Arc<Table>]) -> Result<Duration> {
    let each = tables.iter().map(|table| connector::lookup_refresh(table));
    let each = each.collect::<Result<Vec<_>>>()?;
    Ok(each.into_iter().flatten().min().unwrap_or(REFRESH))
}

/// What a plan over tables gives, read to their present end.
struct PlannedTable {
    plan: LogicalPlan,
    tables: Vec<Arc<Table>>,
    names: String,
}

impl LookupTable for PlannedTable {
    fn load(&self) -> riverrun_dataflow::Result<Vec<RecordBatch>> {
        let failed = |error: &dyn std::fmt::Display| {
            riverrun_dataflow::Error::io(format!("looking up {}", self.names), error)
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .map_err(|error| failed(&error))?;
        runtime.block_on(async {
            let stream = crate::batch::execute(&self.plan, 1).await.map_err(|e| failed(&e))?;
            stream.try_collect().await.map_err(|error| failed(&error))
        })
    }

    fn version(&self) -> riverrun_dataflow::Result<Option<u64>> {
        let mut hasher = KeyHasher::default();
        for table in &self.tables {
            match connector::present_version(table) {
                Ok(Some(version)) => version.hash(&mut hasher),
                Ok(None) => return Ok(None),
                Err(error) => {
                    let what = format!("looking at table `{}`", table.name);
                    return Err(riverrun_dataflow::Error::io(what, error));
                }
            }
        }
        Ok(Some(hasher.finish()))
    }
}
