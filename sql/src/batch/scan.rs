//! Tables as streams of batches.

use std::fmt;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use riverrun_dataflow::{
    Batch, Clock, Environment, Operator, Output, Resources, SplitIndex, SplitStatus, Watermark,
};

use super::drive::drive;
use super::net::net_rows;
use crate::Changes;
use crate::catalog::Table;
use crate::connector::{self, ScanOptions};
use crate::operator::last_rows::{LastRowSpec, LastRows};
use crate::plan::{Relation, Rows};

/// Batches that a scan may be ahead of whoever reads it.
const AHEAD: usize = 4;

/// What reading a table needs of the process.
pub(crate) struct BatchScan {
    pub(crate) resources: Resources,
    pub(crate) clock: Arc<dyn Clock>,
}

/// The scan of some of a relation's columns.
pub(crate) fn scan(
    relation: &Relation,
    projection: Option<&Vec<usize>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let columns: Vec<usize> = match projection {
        Some(projection) => projection.clone(),
        None => (0..relation.schema.fields().len()).collect(),
    };
    let schema = Arc::new(relation.schema.project(&columns)?);
    let partition = ScannedRelation { relation: relation.clone(), columns, schema: schema.clone() };
    let exec =
        StreamingTableExec::try_new(schema, vec![Arc::new(partition)], None, None, false, None)?;
    Ok(Arc::new(exec))
}

struct ScannedRelation {
    relation: Relation,
    columns: Vec<usize>,
    schema: SchemaRef,
}

impl fmt::Debug for ScannedRelation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.relation.name)
    }
}

impl PartitionStream for ScannedRelation {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut builder = RecordBatchReceiverStream::builder(self.schema.clone(), AHEAD);
        let results = builder.tx();
        let (relation, columns, schema) =
            (self.relation.clone(), self.columns.clone(), self.schema.clone());
        builder.spawn_blocking(move || {
            read(&relation, &columns, &schema, &mut |rows| {
                // Nobody reads on: a LIMIT was reached.
                results.blocking_send(Ok(rows)).map_err(|_| riverrun_dataflow::Error::Cancelled)
            })
            .or_else(|error| match error {
                crate::Error::Engine(riverrun_dataflow::Error::Cancelled) => Ok(()),
                error => Err(DataFusionError::External(Box::new(error))),
            })
        });
        builder.build()
    }
}

/// Reads a relation from its beginning to its present end.
fn read(
    relation: &Relation,
    columns: &[usize],
    schema: &SchemaRef,
    take: &mut dyn FnMut(RecordBatch) -> riverrun_dataflow::Result<()>,
) -> crate::Result<()> {
    match &relation.rows {
        Rows::Memory(table) => {
            let mut changes = table.batches.clone();
            if table.retracts() {
                // Rows must be added up with all their columns before some are dropped.
                let net = net_rows(&relation.schema, &changes)?;
                changes = vec![Changes::inserts(net)];
            }
            for batch in changes {
                let rows = batch
                    .rows
                    .project(columns)
                    .map_err(|error| riverrun_dataflow::Error::io(&relation.name, error))?;
                take(rows)?;
            }
            Ok(())
        }
        Rows::Table(table) => read_table(relation, table, columns, schema, take),
        Rows::Planned(_) => Err(crate::Error::unsupported(format!(
            "scanning `{}`, whose rows a plan describes",
            relation.name
        ))),
    }
}

/// Reads a table through the source that a streaming job would have.
fn read_table(
    relation: &Relation,
    table: &Table,
    columns: &[usize],
    schema: &SchemaRef,
    take: &mut dyn FnMut(RecordBatch) -> riverrun_dataflow::Result<()>,
) -> crate::Result<()> {
    let asked = relation.table_columns(table, Some(columns));
    let wanted = connector::columns_to_read(table, &asked);
    let env = Environment::new(format!("scan of {}", relation.name));
    let scan = ScanOptions::needing(&relation.needs, table, true);
    let source = connector::source(&env, table, &wanted, &scan)?;
    if !source.bounded {
        return Err(crate::Error::Refused(format!(
            "table `{}` has no end: a batch query would never be over; ask it in streaming mode, or give it a bound",
            relation.name
        )));
    }
    let job = env.build(relation.batch.resources.clone())?;
    let own: Vec<usize> = (0..columns.len()).collect();
    let as_asked = |rows: &RecordBatch| -> riverrun_dataflow::Result<RecordBatch> {
        let rows = rows.project(&own).and_then(|rows| rows.with_schema(schema.clone()));
        rows.map_err(|error| riverrun_dataflow::Error::io(&relation.name, error))
    };
    if !source.retracts && source.upsert.is_none() {
        drive(&job, &relation.batch.clock, &mut |batch| {
            take(as_asked(&Changes::of(batch, &relation.name)?.rows)?)
        })?;
        return Ok(());
    }
    let fields = wanted.iter().map(|at| table.columns[*at].field());
    let wide: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let mut changes = Changed::default();
    let mut last = match source.upsert {
        Some(key) => Some(LastRows::new(LastRowSpec { input: wide.clone(), key })?),
        None => None,
    };
    drive(&job, &relation.batch.clock, &mut |batch| match &mut last {
        Some(last) => last.process(0, batch, &mut changes),
        None => changes.emit(batch),
    })?;
    take(as_asked(&net_rows(&wide, &changes.0)?)?)?;
    Ok(())
}

/// Keeps changes.
#[derive(Default)]
struct Changed(Vec<Changes>);

impl Output for Changed {
    fn emit(&mut self, batch: Batch) -> riverrun_dataflow::Result<()> {
        self.0.push(Changes::of(batch, "scan")?);
        Ok(())
    }
    fn emit_side(&mut self, _tag: &str, _batch: Batch) -> riverrun_dataflow::Result<()> {
        Ok(())
    }
    fn emit_watermark(&mut self, _watermark: Watermark) -> riverrun_dataflow::Result<()> {
        Ok(())
    }
    fn emit_split(&mut self, _: SplitIndex, _: SplitStatus) -> riverrun_dataflow::Result<()> {
        Ok(())
    }
    fn emit_idle(&mut self) -> riverrun_dataflow::Result<()> {
        Ok(())
    }
}
