//! ORDER BY: rows wait until no row can come that sorts before them.

use std::sync::Arc;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMillisecondType;
use arrow_schema::{SchemaRef, SortOptions};
use riverrun_dataflow::{
    Barrier, Batch, Entries, Error, Operator, OperatorContext, OperatorMetrics, OperatorState,
    Output, RestoredState, Result, Snapshot, Timestamp, Watermark,
};

use super::emission::{BATCH_ROWS, Emission};
use super::reached::Reached;
use crate::Changes;
use crate::state::{Multimap, RowLayout};

/// What a [`Sort`] does.
#[derive(Debug, Clone)]
pub struct SortSpec {
    /// The rows, that come in and go out.
    pub rows: SchemaRef,
    /// The columns by which rows are ordered; rows that are equal by them are ordered by the others.
    pub order: Vec<(usize, SortOptions)>,
    /// What rows wait for.
    pub until: SortUntil,
}

/// What the rows of a [`Sort`] wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortUntil {
    /// For the watermark to reach their event time, which is the first column of the order, ascending. Rows are never taken
    /// back; late ones are counted and left out.
    Watermark {
        /// The event time column.
        time: usize,
    },
    /// For the end of the input. Rows may be taken back before that.
    End,
}

/// Puts all rows in order, in one subtask.
pub struct Sort {
    operator: String,
    spec: SortSpec,
    layout: RowLayout,
    /// By event time if rows wait for that, otherwise all in one namespace.
    rows: Multimap,
    key_groups: u16,
    metrics: Arc<OperatorMetrics>,
    reached: Reached,
    emission: Emission,
}

const TABLE: u8 = 0;

/// All rows belong together.
const KEY: &[u8] = &[];

impl Sort {
    /// The operator of this spec.
    ///
    /// # Errors
    /// [`Error::Io`] if the rows have a column that cannot be ordered.
    pub fn new(spec: SortSpec) -> Result<Self> {
        Ok(Self {
            operator: "sort".to_owned(),
            layout: RowLayout::new("sort", &spec.rows, &[], &spec.order, false)?,
            spec,
            rows: Multimap::default(),
            key_groups: 1,
            metrics: Arc::default(),
            reached: Reached::default(),
            emission: Emission::default(),
        })
    }

    /// The namespace of each row; `None` for late ones.
    fn namespaces(&self, changes: &Changes) -> Result<Vec<Option<i64>>> {
        let SortUntil::Watermark { time } = self.spec.until else {
            return Ok(vec![Some(0); changes.len()]);
        };
        let times = changes.rows.column(time);
        let Some(times) = times.as_primitive_opt::<TimestampMillisecondType>() else {
            return Err(Error::WrongBatch {
                operator: self.operator.clone(),
                expected: "event time in milliseconds".to_owned(),
                got: times.data_type().to_string(),
            });
        };
        let reached = self.reached.timestamp();
        let of = |row| if times.is_null(row) { Timestamp::MIN } else { times.value(row) };
        Ok((0..times.len()).map(of).map(|time| (time > reached).then_some(time)).collect())
    }

    /// Emits the rows of namespaces up to `to`, and forgets them.
    fn release(&mut self, to: i64, out: &mut dyn Output) -> Result<()> {
        let due: Vec<i64> = self.rows.namespaces().take_while(|at| *at <= to).collect();
        for namespace in due {
            let values = self.rows.values(namespace, KEY);
            for (row, weight) in values.into_iter().flat_map(|values| values.iter()) {
                for _ in 0..*weight {
                    self.emission.push(KEY, row.as_slice(), 1);
                    if self.emission.len() == BATCH_ROWS {
                        emit(&mut self.emission, &self.operator, &self.layout, &self.spec, out)?;
                    }
                }
            }
            self.rows.drop_namespace(namespace);
        }
        emit(&mut self.emission, &self.operator, &self.layout, &self.spec, out)
    }
}

fn emit(
    emission: &mut Emission,
    operator: &str,
    layout: &RowLayout,
    spec: &SortSpec,
    out: &mut dyn Output,
) -> Result<()> {
    let columns: Vec<usize> = (0..spec.rows.fields().len()).collect();
    emission.emit(operator, layout, &columns, Vec::new(), &spec.rows, out)
}

impl Operator for Sort {
    fn restore(&mut self, state: RestoredState) -> Result<()> {
        self.reached = Reached::restored(&self.operator, &state.list)?;
        state.keyed.iter().try_for_each(|chain| self.rows.restore(&self.operator, TABLE, chain))
    }

    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.operator.clone_from(&context.operator);
        self.metrics = context.metrics.clone();
        self.key_groups = context.key_groups;
        Ok(())
    }

    fn process(&mut self, _input: usize, batch: Batch, _out: &mut dyn Output) -> Result<()> {
        let changes = Changes::of(batch, &self.operator)?;
        let namespaces = self.namespaces(&changes)?;
        let laid_out = self.layout.encode(&self.operator, &changes.rows)?;
        let mut scratch = Vec::new();
        let mut late = 0;
        for (row, namespace) in namespaces.into_iter().enumerate() {
            let Some(namespace) = namespace else {
                late += 1;
                continue;
            };
            let rest = laid_out.rest(row, &mut scratch);
            self.rows.add(namespace, KEY, rest, changes.weight(row));
        }
        if late > 0 {
            OperatorMetrics::add(&self.metrics.late_records, late);
        }
        Ok(())
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut dyn Output) -> Result<()> {
        if self.spec.until != SortUntil::End {
            let to = Reached::by(watermark, self.rows.namespaces().next_back());
            self.release(to, out)?;
            self.reached.advance_to(to);
        }
        out.emit_watermark(watermark)
    }

    fn on_end_of_input(&mut self, out: &mut dyn Output) -> Result<()> {
        self.release(i64::MAX, out)
    }

    fn snapshot(&mut self, barrier: Barrier) -> Result<Snapshot> {
        let mut entries = Entries::new(self.key_groups);
        let key_groups = self.key_groups;
        self.rows.snapshot_into(&self.operator, TABLE, barrier.kind, key_groups, &mut entries)?;
        Ok(Snapshot::Ready(OperatorState {
            keyed: Some(entries.finish(barrier.kind)),
            list: vec![self.reached.encode(&self.operator)?],
            ..OperatorState::default()
        }))
    }
}

#[cfg(test)]
mod tests;
