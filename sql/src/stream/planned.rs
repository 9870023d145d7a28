//! A stream in the making, and what is known of its rows.

use arrow_schema::SchemaRef;
use datafusion::common::DFSchemaRef;
use riverrun_dataflow::{Columns, DataStream};

/// A stream with what the planner knows of it. Column numbers are positions in `schema`.
#[derive(Clone)]
pub struct Planned {
    /// The stream; its batches have the columns of `schema`, then perhaps a weight column.
    pub stream: DataStream<Columns>,
    /// The rows, with the names by which expressions find their columns.
    pub schema: DFSchemaRef,
    /// False if every row is an insertion that is never taken back.
    pub retracts: bool,
    /// Event time columns: a row's value is above the watermark when it comes, unless the row is late.
    pub time: Vec<usize>,
    /// The window that each row belongs to, if rows went through a windowing function.
    pub window: Option<WindowColumns>,
    /// Sets of columns of which at most one row exists at a time (in the accumulated result).
    pub keys: Vec<Vec<usize>>,
    /// The columns by whose hash rows are spread, if an exchange came before and they are still there. Then the changes of rows with the same
    /// values in these columns come in order: at no time are there more rows of one of `keys` than one.
    pub spread_by: Option<Vec<usize>>,
    /// Number of subtasks of the operator that makes the stream.
    pub parallelism: u32,
}

/// Where a row's window is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowColumns {
    /// Its first instant.
    pub start: usize,
    /// The instant behind its last one.
    pub end: usize,
    /// True if windows follow event time: when the watermark reaches `end - 1` no more rows of the window come, except late ones.
    pub event_time: bool,
}

/// Which state an operator keeps, for `EXPLAIN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateNote {
    /// The operator, as it is called in the job graph.
    pub operator: String,
    /// What is kept: `one row per auction`.
    pub keeps: String,
    /// When it goes; `None` if it grows as long as the job runs.
    pub until: Option<String>,
}

impl Planned {
    /// A stream of which nothing is known but its rows' columns.
    pub fn source(
        stream: DataStream<Columns>,
        schema: DFSchemaRef,
        retracts: bool,
        parallelism: u32,
    ) -> Self {
        Self {
            stream,
            schema,
            retracts,
            time: Vec::new(),
            window: None,
            keys: Vec::new(),
            spread_by: None,
            parallelism,
        }
    }

    /// The rows as an Arrow schema.
    pub fn arrow_schema(&self) -> SchemaRef {
        self.schema.inner().clone()
    }

    /// True if the changes of rows with the same values in some columns come in order, one behind the other.
    pub fn in_order_by(&self, columns: &[usize]) -> bool {
        let spread_by = self.spread_by.as_deref();
        spread_by.is_some_and(|by| by.iter().all(|column| columns.contains(column)))
    }

    /// The stream behind a projection: `at(i)` is the new position of column `i`, `None` if it is gone. What is no
    /// longer wholly there is forgotten.
    pub fn moved(
        self,
        stream: DataStream<Columns>,
        schema: DFSchemaRef,
        at: impl Fn(usize) -> Option<usize>,
    ) -> Self {
        let all = |columns: &[usize]| columns.iter().map(|c| at(*c)).collect::<Option<Vec<_>>>();
        Self {
            stream,
            schema,
            retracts: self.retracts,
            time: self.time.iter().filter_map(|column| at(*column)).collect(),
            window: self.window.as_ref().and_then(|window| {
                let (start, end) = (at(window.start)?, at(window.end)?);
                Some(WindowColumns { start, end, event_time: window.event_time })
            }),
            keys: self.keys.iter().filter_map(|key| all(key)).collect(),
            spread_by: self.spread_by.as_deref().and_then(all),
            parallelism: self.parallelism,
        }
    }
}
