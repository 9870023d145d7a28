//! The sessions that the rows of a batch make.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMillisecondType;
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, UInt32Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use arrow_select::take::take_record_batch;
use riverrun_dataflow::{Batch, Error, Operator, OperatorContext, Output, Result};

use crate::Changes;
use crate::state::RowCodec;

/// What a [`SessionAssigner`] does.
#[derive(Debug, Clone)]
pub struct SessionAssignerSpec {
    /// The columns of the key.
    pub keys: Vec<usize>,
    /// The column of the row's time.
    pub time: usize,
    /// How far rows of a session may be apart, in milliseconds.
    pub gap: i64,
    /// The rows that come in.
    pub input: SchemaRef,
}

impl SessionAssignerSpec {
    /// The rows that come out: behind those that come in, the start and the end of their session.
    pub fn output(&self) -> SchemaRef {
        let mut fields: Vec<_> = self.input.fields().iter().cloned().collect();
        for name in ["session start", "session end"] {
            fields.push(Arc::new(Field::new(name, DataType::Int64, true)));
        }
        Arc::new(Schema::new(fields))
    }
}

/// Gives each row the session that it is in among the rows of its batch. Rows without a time are left out: they are in none.
pub struct SessionAssigner {
    spec: SessionAssignerSpec,
    output: SchemaRef,
    operator: String,
    codec: Option<RowCodec>,
}

impl SessionAssigner {
    /// The operator of this spec.
    pub fn new(spec: SessionAssignerSpec) -> Self {
        let output = spec.output();
        Self { spec, output, operator: "sessions".to_owned(), codec: None }
    }
}

impl Operator for SessionAssigner {
    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.operator.clone_from(&context.operator);
        let types = self.spec.keys.iter().map(|at| self.spec.input.field(*at).data_type().clone());
        self.codec = Some(RowCodec::new(&self.operator, types)?);
        Ok(())
    }

    fn process(&mut self, _input: usize, batch: Batch, out: &mut dyn Output) -> Result<()> {
        let split = batch.split;
        let Some(codec) = &self.codec else { return Ok(()) };
        let rows = Changes::of(batch, &self.operator)?.rows;
        let bad = |error| Error::io(&self.operator, error);
        let keys: Vec<ArrayRef> =
            self.spec.keys.iter().map(|at| rows.column(*at).clone()).collect();
        let keys = codec.encode(&self.operator, &keys, rows.num_rows())?;
        let times = rows.column(self.spec.time);
        let times = times.as_primitive_opt::<TimestampMillisecondType>().ok_or_else(|| {
            Error::io(&self.operator, format!("a time of {} has no sessions", times.data_type()))
        })?;
        let timed = (0..rows.num_rows()).filter(|row| times.is_valid(*row));
        let mut order: Vec<usize> = timed.collect();
        order.sort_unstable_by_key(|row| (keys.row(*row), times.value(*row)));
        let (mut starts, mut ends) = (Vec::with_capacity(order.len()), vec![0; order.len()]);
        for (at, row) in order.iter().enumerate() {
            let time = times.value(*row);
            let before = at.checked_sub(1).map(|at| order[at]).filter(|before| {
                keys.row(*before) == keys.row(*row)
                    && time.saturating_sub(times.value(*before)) <= self.spec.gap
            });
            starts.push(before.map_or(time, |_| starts[at - 1]));
            ends[at] = time.saturating_add(self.spec.gap);
        }
        // The end of a session is that of its last row.
        for at in (0..order.len().saturating_sub(1)).rev() {
            if starts[at + 1] == starts[at] && keys.row(order[at]) == keys.row(order[at + 1]) {
                ends[at] = ends[at + 1];
            }
        }
        let order = UInt32Array::from_iter_values(order.into_iter().map(|row| row as u32));
        let rows = take_record_batch(&rows, &order).map_err(bad)?;
        let mut columns = rows.columns().to_vec();
        columns.push(Arc::new(Int64Array::from(starts)));
        columns.push(Arc::new(Int64Array::from(ends)));
        let rows = RecordBatch::try_new(self.output.clone(), columns).map_err(bad)?;
        out.emit(Changes::inserts(rows).into_batch(&self.operator, split)?)
    }
}
