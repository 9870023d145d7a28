//! `SELECT`.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{Schema, SchemaRef, SortOptions};
use datafusion::logical_expr::{Expr, LogicalPlan};
use futures_util::StreamExt;
use futures_util::future::{AbortHandle, Abortable};
use riverrun_dataflow::{Environment, OperatorKind, OperatorSpec, RestartStrategy};

use super::{RunningJob, RuntimeMode, Session, Submission};
use crate::batch;
use crate::operator::collect::{Collect, Collected};
use crate::parser::{Parsed, QueryText, Statement};
use crate::stream::{Planned, StreamPlanner};
use crate::{Changes, Error, Result};

/// Batches that a query may be ahead of whoever reads its result.
const AHEAD: usize = 16;

/// The rows of a query, as they come.
pub struct QueryStream {
    schema: SchemaRef,
    retracts: bool,
    bounded: bool,
    order: Vec<(usize, SortOptions)>,
    results: Receiver<Collected>,
    control: QueryControl,
    over: bool,
}

/// Stops a query, from any thread.
#[derive(Clone)]
pub struct QueryControl(Running);

#[derive(Clone)]
enum Running {
    Job(Arc<dyn RunningJob>),
    Batch(AbortHandle),
}

impl QueryControl {
    /// Stops the query. Whoever waits for its next rows gets [`Error::Cancelled`].
    pub fn cancel(&self) {
        match &self.0 {
            Running::Job(job) => job.cancel(),
            Running::Batch(handle) => handle.abort(),
        }
    }
}

impl QueryStream {
    /// The columns of the rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Whether rows may be taken back by later ones.
    pub fn retracts(&self) -> bool {
        self.retracts
    }

    /// Whether the rows have an end.
    pub fn is_bounded(&self) -> bool {
        self.bounded
    }

    /// The order in which the whole result is to be shown: columns, the most important first. Empty: any.
    pub fn order(&self) -> &[(usize, SortOptions)] {
        &self.order
    }

    /// What stops the query.
    pub fn control(&self) -> QueryControl {
        self.control.clone()
    }

    /// The next rows; `None` at the end. Waits until there are some.
    ///
    /// # Errors
    /// What made the query fail; [`Error::Cancelled`] if it was stopped.
    pub fn next_changes(&mut self) -> Result<Option<Changes>> {
        if self.over {
            return Ok(None);
        }
        match self.results.recv() {
            Ok(Collected::Rows(changes)) => Ok(Some(changes)),
            Ok(Collected::End(end)) => {
                self.over = true;
                end.map(|()| None)
            }
            Err(_) => {
                self.over = true;
                Err(Error::Cancelled)
            }
        }
    }

    /// Waits for the end of a bounded query and returns the rows that are left, in the query's order if it has one.
    ///
    /// # Errors
    /// As [`QueryStream::next_changes`].
    pub fn net(mut self) -> Result<RecordBatch> {
        let mut changes = Vec::new();
        while let Some(batch) = self.next_changes()? {
            changes.push(batch);
        }
        let in_order = changes.iter().all(|batch| batch.weights.is_none());
        let rows = if in_order {
            let batches: Vec<_> = changes.into_iter().map(|batch| batch.rows).collect();
            arrow_select::concat::concat_batches(&self.schema, &batches)
                .map_err(|error| Error::io("putting a result together", error))?
        } else {
            batch::net_rows(&self.schema, &changes)?
        };
        sorted(rows, &self.order)
    }
}

/// Rows in an order.
fn sorted(rows: RecordBatch, order: &[(usize, SortOptions)]) -> Result<RecordBatch> {
    if order.is_empty() || rows.num_rows() < 2 {
        return Ok(rows);
    }
    let columns: Vec<_> = order
        .iter()
        .map(|(column, options)| arrow_ord::sort::SortColumn {
            values: rows.column(*column).clone(),
            options: Some(*options),
        })
        .collect();
    arrow_ord::sort::lexsort_to_indices(&columns, None)
        .and_then(|indices| arrow_select::take::take_record_batch(&rows, &indices))
        .map_err(|error| Error::io("sorting a result", error))
}

impl Session {
    pub(super) fn query(&self, query: &QueryText) -> Result<QueryStream> {
        let plan = self.logical_plan(query)?;
        self.check_sources(&plan, &[])?;
        match self.settings.mode() {
            RuntimeMode::Batch => Ok(self.batch_query(plan)),
            RuntimeMode::Streaming => self.streaming_query(query, plan),
        }
    }

    /// Whether a statement's rows come as changes, which later ones take back: those of a query without end that updates its result.
    /// Nothing is run.
    ///
    /// # Errors
    /// As [`Session::execute`].
    pub fn gives_changes(&self, parsed: &Parsed) -> Result<bool> {
        let Statement::Query(query) = &parsed.statement else { return Ok(false) };
        if self.settings.mode() == RuntimeMode::Batch {
            return Ok(false);
        }
        let (plan, _) = without_final_order(self.logical_plan(query)?);
        let env = self.job_environment("query");
        let mut planner = self.stream_planner(&env);
        Ok(planner.plan(&plan)?.retracts && !planner.bounded())
    }

    fn batch_query(&self, plan: LogicalPlan) -> QueryStream {
        // What can be NULL is not the same in DataFusion's physical plan.
        let fields = plan.schema().fields().iter().map(|f| f.as_ref().clone().with_nullable(true));
        let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let (sender, results) = sync_channel(AHEAD);
        let (handle, registration) = AbortHandle::new_pair();
        let parallelism = self.settings.parallelism();
        let engine = self.engine.clone();
        let expected = schema.clone();
        let run = move || {
            let rows = sender.clone();
            let work = async {
                let mut stream = batch::execute(&plan, parallelism).await?;
                while let Some(next) = stream.next().await {
                    let batch = next.map_err(|error| Error::Engine(batch::failed(&error)))?;
                    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
                    let columns = batch.columns().to_vec();
                    let batch =
                        RecordBatch::try_new_with_options(expected.clone(), columns, &options)
                            .map_err(|error| Error::io("reading a result", error))?;
                    if batch.num_rows() > 0
                        && rows.send(Collected::Rows(Changes::inserts(batch))).is_err()
                    {
                        break;
                    }
                }
                Ok(())
            };
            let end = engine.runtime().block_on(Abortable::new(work, registration));
            // If nobody listens, nobody wants to know the end.
            let _ = sender.send(Collected::End(end.unwrap_or(Err(Error::Cancelled))));
        };
        let control = QueryControl(Running::Batch(handle));
        spawn("batch query", run);
        QueryStream {
            schema,
            retracts: false,
            bounded: true,
            order: Vec::new(),
            results,
            control,
            over: false,
        }
    }

    fn streaming_query(&self, query: &QueryText, plan: LogicalPlan) -> Result<QueryStream> {
        let (plan, order) = without_final_order(plan);
        let env = self.job_environment("query");
        // Whoever reads the result has seen rows that cannot be taken back: a query does not start again.
        env.configure(|settings| {
            settings.restart = RestartStrategy::None;
            settings.checkpoint_interval = None;
        });
        let mut planner = self.stream_planner(&env);
        let planned = planner.plan(&plan)?;
        let bounded = planner.bounded();
        let (sender, results) = sync_channel(AHEAD);
        collect(&planned, &sender);
        let host = &self.engine.host;
        let job = host.start(env.build(host.resources())?, self.query_submission(query))?;
        let waiting = job.clone();
        spawn("query result", move || {
            let end = waiting.wait().map(|_| ());
            let _ = sender.send(Collected::End(end));
        });
        Ok(QueryStream {
            schema: plan.schema().inner().clone(),
            retracts: planned.retracts,
            bounded,
            order,
            results,
            control: QueryControl(Running::Job(job)),
            over: false,
        })
    }

    fn query_submission(&self, query: &QueryText) -> Submission {
        Submission {
            name: "query".to_owned(),
            statement: query.text.clone(),
            settings: self.settings.changed().clone(),
            temporary: Vec::new(),
            durable: false,
        }
    }

    /// A job with the session's settings.
    pub(super) fn job_environment(&self, name: &str) -> Environment {
        let env = Environment::new(name);
        env.set_parallelism(self.settings.parallelism());
        env.set_key_groups(self.settings.key_groups());
        let interval = self.settings.duration("execution.checkpointing.interval");
        env.configure(|settings| settings.checkpoint_interval = interval);
        env
    }

    /// A planner with the session's settings.
    pub(super) fn stream_planner<'a>(&self, env: &'a Environment) -> StreamPlanner<'a> {
        let mut planner = StreamPlanner::new(env);
        planner.settings = self.settings.clone();
        planner
    }
}

fn collect(planned: &Planned, sender: &SyncSender<Collected>) {
    let sender = sender.clone();
    let spec = OperatorSpec::new("collect", OperatorKind::Sink).single();
    planned.stream.add_sink(spec, move |_| Ok(Box::new(Collect::new(sender.clone()))));
}

/// A thread that nobody waits for: what it has to say it says through a channel.
fn spawn(name: &str, work: impl FnOnce() + Send + 'static) {
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    if let Err(error) = spawned {
        // The channel's other end is gone with the closure: the reader is told that the query is over.
        tracing::error!("no thread for a {name}: {error}");
    }
}

/// The plan without an ORDER BY at its very end: whoever shows the rows puts them in order, also when they change.
fn without_final_order(plan: LogicalPlan) -> (LogicalPlan, Vec<(usize, SortOptions)>) {
    let LogicalPlan::Sort(sort) = &plan else { return (plan, Vec::new()) };
    let order: Option<Vec<_>> = sort
        .expr
        .iter()
        .map(|key| {
            let Expr::Column(column) = &key.expr else { return None };
            let options = SortOptions { descending: !key.asc, nulls_first: key.nulls_first };
            Some((plan.schema().maybe_index_of_column(column)?, options))
        })
        .collect();
    match order {
        None => (plan, Vec::new()),
        // With a LIMIT, the order says which rows there are.
        Some(order) if sort.fetch.is_some() => (plan, order),
        Some(order) => (sort.input.as_ref().clone(), order),
    }
}
