//! `SHOW`, `DESCRIBE` and a bare `SET`.

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};

use super::{Outcome, Session};
use crate::catalog::{Column, ColumnKind, Entry};
use crate::function::type_name;
use crate::parser::ShowKind;
use crate::{Error, Result};

fn text_columns(names: &[&str]) -> SchemaRef {
    let fields = names.iter().map(|name| Field::new(*name, DataType::Utf8, true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// One column of text.
pub(super) fn text_schema(name: &str) -> SchemaRef {
    text_columns(&[name])
}

/// The columns of DESCRIBE.
pub(super) fn describe_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("name", DataType::Utf8, true),
        Field::new("type", DataType::Utf8, true),
        Field::new("null", DataType::Boolean, true),
        Field::new("key", DataType::Utf8, true),
        Field::new("extras", DataType::Utf8, true),
        Field::new("watermark", DataType::Utf8, true),
    ]))
}

/// The columns of a bare SET.
pub(super) fn settings_schema() -> SchemaRef {
    text_columns(&["key", "value", "meaning"])
}

/// Rows of text.
pub(super) fn text_rows(schema: SchemaRef, rows: Vec<Vec<Option<String>>>) -> Result<Outcome> {
    let columns: Vec<ArrayRef> = (0..schema.fields().len())
        .map(|column| {
            let values = rows.iter().map(|row| row.get(column).cloned().flatten());
            Arc::new(StringArray::from_iter(values)) as ArrayRef
        })
        .collect();
    rows_of(schema, columns)
}

fn rows_of(schema: SchemaRef, columns: Vec<ArrayRef>) -> Result<Outcome> {
    let batch = RecordBatch::try_new(schema.clone(), columns)
        .map_err(|error| Error::io("making a list", error))?;
    Ok(Outcome::Rows { schema, batches: vec![batch] })
}

impl Session {
    pub(super) fn show_schema(&self, kind: &ShowKind) -> SchemaRef {
        match kind {
            ShowKind::Tables => text_columns(&["table name", "kind"]),
            ShowKind::Views => text_schema("view name"),
            ShowKind::MaterializedViews => text_columns(&["materialized view name", "job"]),
            ShowKind::Functions => text_schema("function name"),
            ShowKind::Jobs => text_columns(&["job name", "status", "statement", "failure"]),
            ShowKind::Columns(_) => describe_schema(),
            ShowKind::Create(_) => text_schema("result"),
            ShowKind::Setting(None) => settings_schema(),
            ShowKind::Setting(Some(key)) => text_schema(key),
        }
    }

    pub(super) fn show(&self, kind: &ShowKind) -> Result<Outcome> {
        let schema = self.show_schema(kind);
        let rows = match kind {
            ShowKind::Tables => self
                .entries()
                .into_iter()
                .map(|(name, entry)| vec![Some(name), Some(entry.kind().to_owned())])
                .collect(),
            ShowKind::Views => self
                .entries()
                .into_iter()
                .filter(|(_, entry)| matches!(entry, Entry::View(_)))
                .map(|(name, _)| vec![Some(name)])
                .collect(),
            ShowKind::MaterializedViews => self
                .entries()
                .into_iter()
                .filter_map(|(name, entry)| match entry {
                    Entry::Materialized(view) => Some(vec![Some(name), Some(view.job.clone())]),
                    _ => None,
                })
                .collect(),
            ShowKind::Functions => {
                let names = self.engine.functions.names().into_iter();
                names.map(|name| vec![Some(name.to_owned())]).collect()
            }
            ShowKind::Jobs => self
                .engine
                .host
                .jobs()
                .into_iter()
                .map(|job| vec![Some(job.name), Some(job.state), Some(job.statement), job.failure])
                .collect(),
            ShowKind::Columns(name) => return self.describe_table(name),
            ShowKind::Create(name) => {
                let entry = self.known_entry(name)?;
                let definition = entry.definition().ok_or_else(|| {
                    Error::invalid(format!("`{name}` is in memory: no statement makes it"))
                })?;
                vec![vec![Some(definition.to_owned())]]
            }
            ShowKind::Setting(None) => return self.show_settings(),
            ShowKind::Setting(Some(key)) => vec![vec![Some(self.settings.get(key)?.to_owned())]],
        };
        text_rows(schema, rows)
    }

    /// All names that the session sees.
    pub fn entries(&self) -> Vec<(String, Entry)> {
        let mut all = (*self.engine.catalog()).clone();
        for (name, entry) in self.temporary.iter() {
            all.put(name, entry.clone());
        }
        all.iter().map(|(name, entry)| (name.to_owned(), entry.clone())).collect()
    }

    /// The columns of a table or view.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is none of this name, or it can no longer be planned.
    pub fn columns(&self, name: &str) -> Result<Vec<Column>> {
        let physical = |schema: &SchemaRef| {
            let columns = schema.fields().iter().map(|field| Column {
                name: field.name().clone(),
                data_type: field.data_type().clone(),
                nullable: field.is_nullable(),
                kind: ColumnKind::Physical,
            });
            columns.collect()
        };
        Ok(match self.known_entry(name)? {
            Entry::Table { table, .. } => table.columns.clone(),
            Entry::Materialized(view) => view.columns().to_vec(),
            Entry::Memory(table) => physical(&table.schema),
            Entry::View(view) => {
                let plan = self.with_planner(0, |planner| planner.plan(&view.query.query))?;
                physical(super::naming::renamed(plan, &view.columns, name)?.schema().inner())
            }
        })
    }

    pub(super) fn describe_table(&self, name: &str) -> Result<Outcome> {
        let columns = self.columns(name)?;
        let entry = self.known_entry(name)?;
        let table = entry.table().cloned();
        let key = match &entry {
            // The whole row, which says nothing.
            Entry::Materialized(view) if view.counts_copies => Vec::new(),
            _ => table.as_ref().map(|table| table.primary_key.clone()).unwrap_or_default(),
        };
        let watermark = table.as_ref().and_then(|table| table.watermark.clone());
        let text = |of: &dyn Fn(&Column) -> Option<String>| {
            Arc::new(StringArray::from_iter(columns.iter().map(of))) as ArrayRef
        };
        let nullable: BooleanArray =
            columns.iter().map(|column| Some(column.nullable)).collect::<Vec<_>>().into();
        rows_of(
            describe_schema(),
            vec![
                text(&|column| Some(column.name.clone())),
                text(&|column| Some(type_name(&column.data_type))),
                Arc::new(nullable),
                text(&|column| {
                    key.contains(&column.name).then(|| format!("PRI({})", key.join(", ")))
                }),
                text(&|column| match &column.kind {
                    ColumnKind::Physical => None,
                    ColumnKind::Computed { expression } => Some(format!("AS {expression}")),
                    ColumnKind::Metadata { key, is_virtual } => Some(format!(
                        "METADATA FROM '{key}'{}",
                        if *is_virtual { " VIRTUAL" } else { "" }
                    )),
                }),
                text(&|column| {
                    let watermark = watermark.as_ref()?;
                    (watermark.column == column.name).then(|| watermark.expression.clone())
                }),
            ],
        )
    }

    pub(super) fn show_settings(&self) -> Result<Outcome> {
        let rows = self.settings.all().map(|(key, value, meaning)| {
            vec![Some(key.to_owned()), Some(value.to_owned()), Some(meaning.to_owned())]
        });
        text_rows(settings_schema(), rows.collect())
    }
}
