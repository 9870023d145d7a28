//! What a FROM names, as DataFusion asks for it.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::{DefaultTableSource, TableType};
use datafusion::logical_expr::{Expr, LogicalPlan, TableSource};
use datafusion::physical_plan::ExecutionPlan;

use super::Needs;
use crate::batch::{BatchScan, scan};
use crate::catalog::{MemoryTable, Table};

/// Where a relation's rows are.
#[derive(Debug, Clone)]
pub enum Rows {
    /// Outside. The relation's columns are those of [`Table::source_columns`].
    Table(Arc<Table>),
    /// In memory.
    Memory(Arc<MemoryTable>),
    /// Nowhere yet: a plan that is put in the relation's place says how to get them.
    Planned(Arc<LogicalPlan>),
}

/// Something that can be scanned.
#[derive(Clone)]
pub struct Relation {
    /// Its name, for messages.
    pub name: String,
    /// Its columns.
    pub schema: SchemaRef,
    /// Its rows.
    pub rows: Rows,
    /// How little of it is to be read.
    pub needs: Needs,
    /// How batch queries read it.
    pub(crate) batch: Arc<BatchScan>,
}

impl fmt::Debug for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relation").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Relation {
    /// The relation as a logical plan's scan holds it.
    pub fn into_source(self) -> Arc<dyn TableSource> {
        Arc::new(DefaultTableSource::new(Arc::new(self)))
    }

    /// The positions in a table, whose rows the relation has, of the columns that a scan reads: all, or those of its projection.
    pub(crate) fn table_columns(&self, table: &Table, projection: Option<&[usize]>) -> Vec<usize> {
        let read = table.source_columns();
        match projection {
            Some(projection) => projection.iter().map(|at| read[*at]).collect(),
            None => read,
        }
    }

    /// The relation behind a scan, if it is one of ours.
    pub fn of(source: &Arc<dyn TableSource>) -> Option<Arc<Self>> {
        let provider = datafusion::datasource::source_as_provider(source).ok()?;
        let provider: Arc<dyn std::any::Any + Send + Sync> = provider;
        provider.downcast::<Self>().ok()
    }
}

#[async_trait]
impl TableProvider for Relation {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn get_logical_plan(&'_ self) -> Option<Cow<'_, LogicalPlan>> {
        match &self.rows {
            Rows::Planned(plan) => Some(Cow::Borrowed(plan)),
            Rows::Table(_) | Rows::Memory(_) => None,
        }
    }

    async fn scan(
        &self,
        _session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        scan(self, projection)
    }
}
