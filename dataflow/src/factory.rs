//! The code behind a job graph.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::Arc;

use crate::{Committer, Error, Operator, OperatorId, Partitioner, Result, Source};

/// Makes the operators of a job by their ids. A TaskManager is given one and never names an operator itself.
pub trait OperatorFactory: Send + Sync {
    /// A new source.
    fn source(&self, id: OperatorId) -> Result<Box<dyn Source>>;
    /// A new operator.
    fn operator(&self, id: OperatorId) -> Result<Box<dyn Operator>>;
    /// A new partitioner for the HASH edge with this index.
    fn partitioner(&self, edge: usize) -> Result<Box<dyn Partitioner>>;
    /// The committer of a sink, `None` if the sink commits nothing.
    fn committer(&self, id: OperatorId) -> Result<Option<Box<dyn Committer>>>;
}

/// What sources and sinks need from the process they run in (the store, say), by type.
///
/// ```
/// use riverrun_dataflow::Resources;
/// let mut resources = Resources::default();
/// resources.insert(7u32);
/// assert_eq!(*resources.get::<u32>("a source").unwrap(), 7);
/// assert!(resources.get::<String>("a sink").is_err());
/// ```
#[derive(Clone, Default)]
pub struct Resources(HashMap<TypeId, Arc<dyn Any + Send + Sync>>);

impl Resources {
    /// Adds a resource, in place of one of the same type.
    pub fn insert<R: Send + Sync + 'static>(&mut self, resource: R) {
        self.0.insert(TypeId::of::<R>(), Arc::new(resource));
    }

    /// The resource of type `R`.
    ///
    /// # Errors
    /// [`Error::Io`] naming `who` asked for it, if there is none.
    pub fn get<R: Send + Sync + 'static>(&self, who: &str) -> Result<Arc<R>> {
        self.0.get(&TypeId::of::<R>()).and_then(|r| r.clone().downcast::<R>().ok()).ok_or_else(
            || {
                Error::io(
                    who,
                    format!(
                        "needs a {}, which this process has not opened",
                        std::any::type_name::<R>()
                    ),
                )
            },
        )
    }
}
