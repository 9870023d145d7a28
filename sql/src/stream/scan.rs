//! Where rows come from: scans, event time, constant rows.

use std::sync::Arc;

use datafusion::common::DFSchemaRef;
use datafusion::logical_expr::{LogicalPlan, SubqueryAlias, TableScan};
use riverrun_dataflow::{Columns, OperatorKind, OperatorSpec};

use super::calc::column_of;
use super::{Planned, StreamPlanner};
use crate::catalog::MemoryTable;
use crate::operator::memory::MemorySource;
use crate::operator::watermark::{WatermarkAssigner, WatermarkSpec};
use crate::plan::{EventTime, Relation, Rows};
use crate::{Error, Result};

impl StreamPlanner<'_> {
    pub(super) fn scan(&mut self, scan: &TableScan) -> Result<Planned> {
        let relation = Relation::of(&scan.source).ok_or_else(|| {
            Error::unsupported(format!("reading `{}` as a stream", scan.table_name))
        })?;
        let columns = match &scan.projection {
            Some(projection) => projection.clone(),
            None => (0..relation.schema.fields().len()).collect(),
        };
        match &relation.rows {
            Rows::Table(table) => self.table(table, &columns, scan.projected_schema.clone()),
            Rows::Memory(table) => {
                Ok(self.memory(&relation.name, table, columns, scan.projected_schema.clone()))
            }
            Rows::Planned(plan) => self.plan(plan),
        }
    }

    fn memory(
        &mut self,
        name: &str,
        table: &Arc<MemoryTable>,
        columns: Vec<usize>,
        schema: DFSchemaRef,
    ) -> Planned {
        let spec = OperatorSpec::new("memory", OperatorKind::Source).described(name).single();
        let source = table.clone();
        let stream = self.env.add_source::<Columns>(spec, move |_| {
            Ok(Box::new(MemorySource::new(source.clone(), columns.clone())))
        });
        Planned::source(stream, schema, table.retracts(), 1)
    }

    pub(super) fn event_time(&mut self, node: &EventTime) -> Result<Planned> {
        let input = self.plan(&node.input)?;
        let spec = WatermarkSpec {
            time: self.expression(&node.time, &input.schema)?,
            watermark: self.expression(&node.watermark, &input.schema)?,
        };
        let operator = OperatorSpec::new("watermark", OperatorKind::Transform)
            .described(format!("for {} as {}", node.time, node.watermark));
        let stream = input
            .stream
            .transform(operator, move |_| Ok(Box::new(WatermarkAssigner::new(spec.clone()))))
            .parallelism(input.parallelism);
        let time = column_of(&node.time, &input);
        let schema = input.schema.clone();
        let mut planned = input.moved(stream, schema, Some);
        planned.time.extend(time);
        Ok(planned)
    }

    pub(super) fn alias(&mut self, alias: &SubqueryAlias) -> Result<Planned> {
        let mut planned = self.plan(&alias.input)?;
        planned.schema = alias.schema.clone();
        Ok(planned)
    }

    /// Rows that a plan itself holds: `VALUES`, or the one empty row of a SELECT without FROM.
    pub(super) fn constant(&mut self, plan: &LogicalPlan) -> Result<Planned> {
        let (schema, rows) = match plan {
            LogicalPlan::Values(values) => (values.schema.clone(), values.values.clone()),
            LogicalPlan::EmptyRelation(empty) => {
                let rows = if empty.produce_one_row { vec![Vec::new()] } else { Vec::new() };
                (empty.schema.clone(), rows)
            }
            other => return Err(Error::unsupported(format!("{} here", other.display()))),
        };
        let batch = crate::plan::constant_rows(&schema, &rows, |expr, schema| {
            self.expression(expr, schema)
        })?;
        let table = MemoryTable {
            schema: schema.inner().clone(),
            batches: vec![crate::Changes::inserts(batch)],
            watermark: None,
        };
        let columns = (0..schema.fields().len()).collect();
        let name = format!("{} constant rows {}", rows.len(), crate::plan::described(&rows));
        Ok(self.memory(&name, &Arc::new(table), columns, schema))
    }
}

impl StreamPlanner<'_> {
    fn table(
        &mut self,
        table: &Arc<crate::catalog::Table>,
        _columns: &[usize],
        _schema: DFSchemaRef,
    ) -> Result<Planned> {
        Err(Error::unsupported(format!("reading `{}`", table.name)))
    }
}
