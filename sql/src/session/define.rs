//! `CREATE` and `DROP`.

use std::sync::{Arc, PoisonError};

use super::{Outcome, Session};
use crate::catalog::{Entry, View};
use crate::parser::{CreateTable, CreateView, DropKind};
use crate::{Error, Result};

impl Session {
    pub(super) fn create_table(&mut self, create: &CreateTable) -> Result<Outcome> {
        let name = create.table.name.clone();
        if self.is_taken(&name, create.temporary, create.if_not_exists)? {
            return Ok(Outcome::Done("CREATE TABLE".to_owned()));
        }
        if let Some(query) = &create.query {
            return self.create_table_as(create, query);
        }
        let table = self.resolved(&create.table)?;
        crate::connector::validate(&table)?;
        let entry = Entry::Table { table: Arc::new(table), definition: create.text.clone() };
        self.define(&name, entry, create.temporary)?;
        Ok(Outcome::Done("CREATE TABLE".to_owned()))
    }

    pub(super) fn load_table(&mut self, create: &CreateTable) -> Result<()> {
        let table = self.resolved(&create.table)?;
        let entry = Entry::Table { table: Arc::new(table), definition: create.text.clone() };
        self.known(&create.table.name, entry, create.temporary);
        Ok(())
    }

    pub(super) fn create_view(&mut self, create: &CreateView) -> Result<Outcome> {
        let done = Outcome::Done("CREATE VIEW".to_owned());
        if create.or_replace {
            match self.entry(&create.name) {
                None | Some(Entry::View(_)) => {}
                Some(other) => {
                    return Err(Error::invalid(format!(
                        "`{}` is a {}, which a view cannot replace",
                        create.name,
                        other.kind()
                    )));
                }
            }
        } else if self.is_taken(&create.name, create.temporary, create.if_not_exists)? {
            return Ok(done);
        }
        // A view that cannot be planned is refused now, not when it is asked.
        let plan = self.with_planner(0, |planner| planner.plan(&create.query.query))?;
        super::naming::renamed(plan, &create.columns, &create.name)?;
        let entry = view(create);
        self.define(&create.name, entry, create.temporary)?;
        Ok(done)
    }

    pub(super) fn load_view(&mut self, create: &CreateView) -> Result<()> {
        self.known(&create.name, view(create), create.temporary);
        Ok(())
    }

    pub(super) fn drop_entry(
        &mut self,
        kind: DropKind,
        name: &str,
        if_exists: bool,
    ) -> Result<Outcome> {
        let (what, tag) = match kind {
            DropKind::Table => ("table", "DROP TABLE"),
            DropKind::View => ("view", "DROP VIEW"),
            DropKind::MaterializedView => ("materialized view", "DROP MATERIALIZED VIEW"),
        };
        let done = Outcome::Done(tag.to_owned());
        let entry = match self.entry(name) {
            None if if_exists => return Ok(done),
            None => {
                self.known_entry(name)?;
                return Ok(done);
            }
            Some(entry) => entry,
        };
        if entry.kind() != what {
            return Err(Error::invalid(format!(
                "`{name}` is a {}: use DROP {}",
                entry.kind(),
                entry.kind().to_uppercase()
            )));
        }
        if self.temporary.remove(name).is_some() {
            return Ok(done);
        }
        let engine = self.engine.clone();
        let _guard = engine.defining.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Materialized(view) = &entry {
            engine.host.cancel(&view.job, false)?;
        }
        engine.host.delete_catalog_entry(name)?;
        engine.catalog_mut().remove(name);
        if let Entry::Materialized(view) = &entry
            && let Some(topic) = view.table.option("topic")
        {
            engine.host.delete_topic(topic)?;
        }
        Ok(done)
    }

    /// Whether a name is taken, which is an error unless that was reckoned with.
    pub(super) fn is_taken(
        &self,
        name: &str,
        temporary: bool,
        if_not_exists: bool,
    ) -> Result<bool> {
        // A temporary table may hide one that is not.
        let entry = match temporary {
            true => self.temporary.get(name).cloned(),
            false => self.engine.catalog().get(name).cloned(),
        };
        match entry {
            None => Ok(false),
            Some(_) if if_not_exists => Ok(true),
            Some(entry) => Err(Error::invalid(format!(
                "{} `{name}` is there already: DROP it, or say IF NOT EXISTS",
                entry.kind()
            ))),
        }
    }

    /// Makes a name known, durably unless it is temporary.
    pub(super) fn define(&mut self, name: &str, entry: Entry, temporary: bool) -> Result<()> {
        if !temporary {
            let engine = self.engine.clone();
            let _guard = engine.defining.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(definition) = entry.definition() {
                engine.host.put_catalog_entry(name, definition)?;
            }
            engine.catalog_mut().put(name, entry);
            return Ok(());
        }
        self.temporary.put(name, entry);
        Ok(())
    }

    /// Makes a name known that needs no keeping.
    pub(super) fn known(&mut self, name: &str, entry: Entry, temporary: bool) {
        if temporary {
            self.temporary.put(name, entry);
        } else {
            self.engine.catalog_mut().put(name, entry);
        }
    }
}

fn view(create: &CreateView) -> Entry {
    Entry::View(Arc::new(View {
        columns: create.columns.clone(),
        query: create.query.clone(),
        definition: create.text.clone(),
    }))
}
