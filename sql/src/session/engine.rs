//! What sessions share.

use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::runtime::{Builder, Runtime};

use super::{Host, RunningJob, Session, Submission};
use crate::catalog::{Catalog, Entry, MemoryTable};
use crate::function::FunctionRegistry;
use crate::parser::{Statement, parse_script};
use crate::{Error, Result};

/// The catalog, the functions and the host, shared by all sessions of a process.
pub struct Engine {
    pub(super) host: Arc<dyn Host>,
    pub(super) functions: Arc<FunctionRegistry>,
    catalog: RwLock<Catalog>,
    /// Held while a definition is checked, kept and made known: so that two of one name cannot both be the first.
    pub(super) defining: Mutex<()>,
    runtime: Runtime,
}

impl Engine {
    /// An engine with the built-in functions and the definitions that the host has kept.
    ///
    /// # Errors
    /// [`Error::Io`] if the definitions cannot be read, or one of them can no longer be understood.
    pub fn open(host: Arc<dyn Host>) -> Result<Arc<Self>> {
        let functions = FunctionRegistry::new(host.clock(), 0);
        Self::open_with_functions(host, functions)
    }

    /// As [`Engine::open`], with functions of one's own.
    ///
    /// # Errors
    /// As [`Engine::open`].
    pub fn open_with_functions(
        host: Arc<dyn Host>,
        functions: FunctionRegistry,
    ) -> Result<Arc<Self>> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("sql batch")
            .enable_time()
            .build()
            .map_err(|error| Error::io("starting threads for batch queries", error))?;
        let engine = Arc::new(Self {
            host: host.clone(),
            functions: Arc::new(functions),
            catalog: RwLock::default(),
            defining: Mutex::new(()),
            runtime,
        });
        for (name, definition) in host.catalog_entries()? {
            Session::new(engine.clone()).load(&definition).map_err(|error| {
                Error::io(format!("reading the definition of `{name}` (`{definition}`)"), error)
            })?;
        }
        Ok(engine)
    }

    /// Starts a job again from what it was made from.
    ///
    /// # Errors
    /// As [`Session::execute`]: a table may be gone, say.
    pub fn resume(self: &Arc<Self>, submission: &Submission) -> Result<Arc<dyn RunningJob>> {
        let mut session = Session::new(self.clone());
        for (key, value) in &submission.settings {
            session.settings_mut().set(key, value)?;
        }
        for definition in &submission.temporary {
            session.load(definition)?;
        }
        let statement = single(&submission.statement)?;
        session.start_again(&statement, &submission.name)
    }

    /// Makes a table of rows in memory, in place of one of the same name. It is gone with the process.
    pub fn register_memory(&self, name: &str, table: MemoryTable) {
        self.catalog_mut().put(name, Entry::Memory(Arc::new(table)));
    }

    /// What is known by name.
    pub fn catalog(&self) -> RwLockReadGuard<'_, Catalog> {
        self.catalog.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn catalog_mut(&self) -> RwLockWriteGuard<'_, Catalog> {
        self.catalog.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The functions that can be called.
    pub fn functions(&self) -> &FunctionRegistry {
        &self.functions
    }

    pub(super) fn runtime(&self) -> &Runtime {
        &self.runtime
    }
}

/// The one statement of a text.
pub(super) fn single(text: &str) -> Result<Statement> {
    let mut script = parse_script(text)?;
    match script.len() {
        1 => Ok(script.remove(0).statement),
        n => Err(Error::invalid(format!("one statement was expected, and there are {n}"))),
    }
}
