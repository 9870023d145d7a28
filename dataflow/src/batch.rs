//! Batches: what operators work on. Rows of the typed DSL, or Arrow columns.

use std::any::{Any, type_name};

use arrow_array::RecordBatch;

use crate::{Error, Result, Timestamp};

/// What a row type of the typed DSL must be able to do.
///
/// Implemented for every type that qualifies; serde is what lets a row cross a process border and a
/// state entry reach a checkpoint.
pub trait Record: Clone + Send + serde::Serialize + serde::de::DeserializeOwned + 'static {}

impl<T: Clone + Send + serde::Serialize + serde::de::DeserializeOwned + 'static> Record for T {}

/// Number of a source split (a topic partition, a file); no two splits of a subtask have the same.
///
/// Batches carry it until they leave the source's operator chain, so that watermarks can be tracked
/// per split.
pub type SplitIndex = u32;

/// Rows or columns that move together: the unit of work of the whole engine.
#[derive(Debug)]
pub struct Batch {
    /// The rows or columns.
    pub data: Data,
    /// The source split that the rows came from; `None` behind an exchange.
    pub split: Option<SplitIndex>,
}

/// The two kinds of batch.
#[derive(Debug)]
pub enum Data {
    /// Rows of the typed DSL. The type is erased here, once per batch.
    Rows(Box<dyn AnyRows>),
    /// Arrow columns.
    Columns(Columns),
}

/// Arrow columns, with the roles that some of them play.
#[derive(Debug, Clone)]
pub struct Columns {
    /// The columns.
    pub batch: RecordBatch,
    /// Index of the event time column (`Timestamp(Millisecond)`), if there is one.
    pub time_column: Option<usize>,
    /// Index of the weight column (`Int64`: +1 insert, -1 retract), if rows can be retracted.
    pub weight_column: Option<usize>,
}

/// Rows of one type, each with its event timestamp.
#[derive(Debug, Clone)]
pub struct Rows<T> {
    /// The rows, in order.
    pub values: Vec<T>,
    /// One timestamp a row in milliseconds, [`crate::NO_TIMESTAMP`] where none was assigned.
    pub timestamps: Vec<Timestamp>,
}

impl<T> Rows<T> {
    /// No rows yet, with room for `capacity`.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { values: Vec::with_capacity(capacity), timestamps: Vec::with_capacity(capacity) }
    }

    /// Adds a row.
    #[inline]
    pub fn push(&mut self, value: T, timestamp: Timestamp) {
        self.values.push(value);
        self.timestamps.push(timestamp);
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// True if there are no rows.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self { values: Vec::new(), timestamps: Vec::new() }
    }
}

/// [`Rows`] with their type erased.
pub trait AnyRows: Any + Send + std::fmt::Debug {
    /// Number of rows.
    fn len(&self) -> usize;
    /// True if there are no rows.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Name of the row type, for messages.
    fn row_type(&self) -> &'static str;
    /// A copy, for edges that go to several places.
    fn duplicate(&self) -> Box<dyn AnyRows>;
    /// For the way back to the type.
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
    /// For a look at the rows without taking them.
    fn as_any(&self) -> &dyn Any;
}

struct RowTypeName;

impl std::fmt::Debug for RowTypeName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("..")
    }
}

/// Wrapper that erases a row type without asking the type for `Debug`.
struct Erased<T>(Rows<T>);

impl<T> std::fmt::Debug for Erased<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows")
            .field("type", &type_name::<T>())
            .field("len", &self.0.len())
            .field("values", &RowTypeName)
            .finish()
    }
}

impl<T: Record> AnyRows for Erased<T> {
    fn len(&self) -> usize {
        self.0.len()
    }
    fn row_type(&self) -> &'static str {
        type_name::<T>()
    }
    fn duplicate(&self) -> Box<dyn AnyRows> {
        Box::new(Erased(self.0.clone()))
    }
    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Batch {
    /// A batch of typed rows.
    pub fn rows<T: Record>(rows: Rows<T>, split: Option<SplitIndex>) -> Self {
        Self { data: Data::Rows(Box::new(Erased(rows))), split }
    }

    /// A batch of columns.
    pub fn columns(columns: Columns, split: Option<SplitIndex>) -> Self {
        Self { data: Data::Columns(columns), split }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        match &self.data {
            Data::Rows(rows) => rows.len(),
            Data::Columns(columns) => columns.batch.num_rows(),
        }
    }

    /// True if there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A copy: columns are shared, rows are cloned.
    pub fn duplicate(&self) -> Self {
        let data = match &self.data {
            Data::Rows(rows) => Data::Rows(rows.duplicate()),
            Data::Columns(columns) => Data::Columns(columns.clone()),
        };
        Self { data, split: self.split }
    }

    /// The rows, if they are of type `T`.
    ///
    /// # Errors
    /// [`Error::WrongBatch`] if the batch holds columns or rows of another type; `operator` is named in it.
    pub fn into_rows<T: Record>(self, operator: &str) -> Result<Rows<T>> {
        let got = self.type_name();
        match self.data {
            Data::Rows(rows) => match rows.into_any().downcast::<Erased<T>>() {
                Ok(rows) => Ok(rows.0),
                Err(_) => Err(wrong(operator, type_name::<T>(), got)),
            },
            Data::Columns(_) => Err(wrong(operator, type_name::<T>(), got)),
        }
    }

    /// A look at the rows, if they are of type `T`.
    pub fn as_rows<T: Record>(&self) -> Option<&Rows<T>> {
        match &self.data {
            Data::Rows(rows) => rows.as_any().downcast_ref::<Erased<T>>().map(|rows| &rows.0),
            Data::Columns(_) => None,
        }
    }

    /// The columns, if the batch is columnar.
    ///
    /// # Errors
    /// [`Error::WrongBatch`] if it holds rows; `operator` is named in it.
    pub fn into_columns(self, operator: &str) -> Result<Columns> {
        let got = self.type_name();
        match self.data {
            Data::Columns(columns) => Ok(columns),
            Data::Rows(_) => Err(wrong(operator, "columns", got)),
        }
    }

    fn type_name(&self) -> &'static str {
        match &self.data {
            Data::Rows(rows) => rows.row_type(),
            Data::Columns(_) => "columns",
        }
    }
}

fn wrong(operator: &str, expected: &str, got: &str) -> Error {
    Error::WrongBatch {
        operator: operator.to_owned(),
        expected: expected.to_owned(),
        got: got.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_with_their_type_and_no_other() {
        let mut rows = Rows::default();
        rows.push("a".to_owned(), 7);
        let batch = Batch::rows(rows, Some(3));
        assert_eq!((batch.len(), batch.duplicate().split), (1, Some(3)));
        let error = batch.duplicate().into_rows::<u64>("count").map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("`count` expected batches of u64"), "{error}");
        let rows = batch.into_rows::<String>("print").unwrap();
        assert_eq!((rows.values[0].as_str(), rows.timestamps[0]), ("a", 7));
    }
}
