//! Window functions out of SQL, for tests.

use arrow_array::RecordBatch;
use datafusion::common::config::ConfigOptions;
use datafusion::datasource::MemTable;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::analyzer::Analyzer;
use datafusion::prelude::SessionContext;
use riverrun_dataflow::Environment;

use super::*;
use crate::stream::StreamPlanner;

/// The spec of the window functions in a query over `t`.
pub(crate) fn spec(sql: &str, rows: &RecordBatch) -> OverSpec {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let plan = runtime.block_on(async {
        let context = SessionContext::new();
        let table = MemTable::try_new(rows.schema(), vec![vec![]]).unwrap();
        context.register_table("t", Arc::new(table)).unwrap();
        context.sql(sql).await.unwrap().into_unoptimized_plan()
    });
    let options = ConfigOptions::new();
    let plan = Analyzer::new().execute_and_check(plan, &options, |_, _| {}).unwrap();
    let mut found = None;
    let mut below = vec![&plan];
    while let Some(plan) = below.pop() {
        if let LogicalPlan::Window(window) = plan {
            assert!(found.replace(window).is_none(), "one set of partitions and order");
        }
        below.extend(plan.inputs());
    }
    let window = found.unwrap();
    let env = Environment::new("test");
    let input = window.input.schema();
    assert_eq!(input.fields().len(), rows.num_columns(), "{sql}: all columns are read");
    let functions = StreamPlanner::new(&env).over_functions(&window.window_expr, input).unwrap();
    let order = functions[0].function.order_by().iter().map(|key| {
        let column = key.expr.to_string();
        let at = rows.schema().fields().iter().position(|field| column.starts_with(field.name()));
        (at.unwrap(), key.options)
    });
    OverSpec {
        input: rows.schema(),
        partition: if sql.contains("PARTITION BY p") { vec![0] } else { vec![] },
        order: order.collect(),
        functions,
        columns: (0..rows.num_columns()).collect(),
        output: window.schema.inner().clone(),
    }
}
