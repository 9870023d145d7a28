//! Where rows come from: scans, event time, constant rows.

use std::sync::Arc;

use arrow_schema::Schema;
use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::logical_expr::{LogicalPlan, SubqueryAlias, TableScan};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use riverrun_dataflow::{Columns, OperatorKind, OperatorSpec};

use super::calc::column_of;
use super::{Planned, StreamPlanner};
use crate::catalog::{MemoryTable, Table};
use crate::connector::{self, ScanOptions};
use crate::operator::calc::CalcSpec;
use crate::operator::last_rows::{LastRowSpec, LastRows};
use crate::operator::memory::MemorySource;
use crate::operator::watermark::{WatermarkAssigner, WatermarkSpec};
use crate::plan::{EventTime, Relation, Rows, invalid};
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
            Rows::Table(table) => self.table(&relation, table, scan),
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

    fn table(
        &mut self,
        relation: &Relation,
        table: &Arc<Table>,
        scan: &TableScan,
    ) -> Result<Planned> {
        let schema = scan.projected_schema.clone();
        let columns = relation.table_columns(table, scan.projection.as_deref());
        let wanted = connector::columns_to_read(table, &columns);
        let bounded = self.settings.until_caught_up();
        let scan = ScanOptions::needing(&relation.needs, table, bounded);
        let source = connector::source(self.env, table, &wanted, &scan)?;
        self.endless |= !source.bounded;
        let all = if wanted.len() == columns.len() {
            schema.clone()
        } else {
            let fields = wanted.iter().map(|at| table.columns[*at].field());
            let wide = Schema::new(fields.collect::<Vec<_>>());
            Arc::new(DFSchema::try_from(wide).map_err(invalid)?)
        };
        let mut planned =
            Planned::source(source.stream, all.clone(), source.retracts, source.parallelism);
        if let Some(key) = source.upsert {
            planned = self.last_rows(&table.name, planned, key);
        }
        if wanted.len() > columns.len() {
            planned = self.first_columns(planned, columns.len(), schema);
        }
        Ok(planned)
    }

    /// The last row of each key, as changes, of rows that replace each other.
    fn last_rows(&mut self, table: &str, input: Planned, key: Vec<usize>) -> Planned {
        let spec = LastRowSpec { key: key.clone(), input: input.arrow_schema() };
        let description = format!("{table}, by {}", names(&input, &key));
        let (ttl, until) = self.time_to_live(&key).unzip();
        self.note_state("last rows", format!("one row per key of {table}"), until);
        let operator = OperatorSpec::new("last rows", OperatorKind::Keyed).described(description);
        let stream = self.spread(&input, &key).transform(operator, move |_| {
            Ok(Box::new(LastRows::new(spec.clone())?.with_time_to_live(ttl)))
        });
        let parallelism = self.env.parallelism();
        Planned {
            stream,
            retracts: true,
            keys: vec![key.clone()],
            spread_by: Some(key),
            parallelism,
            ..input
        }
    }

    /// The first so many columns.
    fn first_columns(&self, input: Planned, count: usize, schema: DFSchemaRef) -> Planned {
        let columns = (0..count)
            .map(|at| Arc::new(Column::new(schema.field(at).name(), at)) as Arc<dyn PhysicalExpr>);
        let spec = CalcSpec {
            filter: None,
            columns: Some(columns.collect()),
            output: schema.inner().clone(),
        };
        let stream = self.calc(&input, spec, format!("the first {count} columns"));
        input.moved(stream, schema, |column| (column < count).then_some(column))
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

/// Names of columns, for descriptions.
fn names(input: &Planned, columns: &[usize]) -> String {
    let names: Vec<&str> =
        columns.iter().map(|at| input.schema.field(*at).name().as_str()).collect();
    names.join(", ")
}
