//! Where a program puts its job together.

use std::cell::RefCell;
use std::ops::Deref;

use riverrun_log_store::Store;

use crate::{JobOptions, StopSignal};

/// Work on the store that a job wants done before it, or beside it.
pub(crate) type Task = Box<dyn FnOnce(&Store, &StopSignal) -> anyhow::Result<()> + Send>;

/// The place where a program puts its job together: the DSL's [`riverrun_dataflow::Environment`] (to which it derefs), with
/// the options that the program was started with and the tasks that go with the job.
pub struct Environment {
    flow: riverrun_dataflow::Environment,
    options: JobOptions,
    before: RefCell<Vec<Task>>,
    beside: RefCell<Vec<Task>>,
}

impl Deref for Environment {
    type Target = riverrun_dataflow::Environment;

    fn deref(&self) -> &Self::Target {
        &self.flow
    }
}

impl Environment {
    /// An empty job with these options; its name is `name` unless the options say otherwise.
    pub fn new(name: &str, options: JobOptions) -> Self {
        let flow = riverrun_dataflow::Environment::new(options.job_name.as_deref().unwrap_or(name));
        flow.set_parallelism(options.parallelism);
        let interval = options.checkpoint_interval;
        flow.configure(|settings| settings.checkpoint_interval = Some(interval));
        Self { flow, options, before: RefCell::default(), beside: RefCell::default() }
    }

    /// The options that the program was started with.
    pub fn options(&self) -> &JobOptions {
        &self.options
    }

    /// Has `task` done to its end before the job starts. It is not called when only the graph is asked for.
    pub fn before_run(
        &self,
        task: impl FnOnce(&Store, &StopSignal) -> anyhow::Result<()> + Send + 'static,
    ) {
        self.before.borrow_mut().push(Box::new(task));
    }

    /// Has `task` done in a thread of its own while the job runs. When it fails, the job is stopped with a
    /// checkpoint and the program fails; when the job ends, the task's stop signal is raised.
    pub fn beside_run(
        &self,
        task: impl FnOnce(&Store, &StopSignal) -> anyhow::Result<()> + Send + 'static,
    ) {
        self.beside.borrow_mut().push(Box::new(task));
    }

    pub(crate) fn take_tasks(&self) -> (Vec<Task>, Vec<Task>) {
        (self.before.take(), self.beside.take())
    }
}
