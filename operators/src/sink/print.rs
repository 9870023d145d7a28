//! Rows as text, for people.

use std::fmt::Display;
use std::io::Write;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

use riverrun_dataflow::{Batch, Error, Operator, OperatorContext, Output, Record, Result};

/// Where print sinks write to; clones write to the same place, whole batches at a time.
#[derive(Clone)]
pub struct SharedWriter(Arc<Mutex<dyn Write + Send>>);

impl SharedWriter {
    /// Writes to standard output.
    pub fn stdout() -> Self {
        Self::new(std::io::stdout())
    }

    /// Writes to standard error.
    pub fn stderr() -> Self {
        Self::new(std::io::stderr())
    }

    /// Writes to any writer.
    pub fn new(writer: impl Write + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(writer)))
    }
}

/// Prints each row on a line.
pub(super) struct PrintSink<T> {
    writer: SharedWriter,
    operator: String,
    prefix: String,
    buffer: Vec<u8>,
    _rows: PhantomData<fn(T)>,
}

impl SharedWriter {
    /// Writes whole lines.
    pub(super) fn write(&self, lines: &[u8]) -> Result<()> {
        let mut writer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        writer
            .write_all(lines)
            .and_then(|()| writer.flush())
            .map_err(|error| Error::io("printing rows", error))
    }
}

impl<T> PrintSink<T> {
    pub(super) fn new(writer: SharedWriter) -> Self {
        Self {
            writer,
            operator: "print".into(),
            prefix: String::new(),
            buffer: Vec::new(),
            _rows: PhantomData,
        }
    }
}

impl<T: Record + Display> Operator for PrintSink<T> {
    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.operator.clone_from(&context.operator);
        if context.parallelism > 1 {
            self.prefix = format!("{}> ", context.subtask.index + 1);
        }
        Ok(())
    }

    fn process(&mut self, _input: usize, batch: Batch, _out: &mut dyn Output) -> Result<()> {
        let rows = batch.into_rows::<T>(&self.operator)?;
        self.buffer.clear();
        for row in &rows.values {
            // Writing to a vector cannot fail.
            let _ = writeln!(self.buffer, "{}{row}", self.prefix);
        }
        self.writer.write(&self.buffer)
    }
}
