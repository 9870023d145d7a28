//! Ranks within windows of event time.

use std::sync::Arc;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMillisecondType;
use riverrun_dataflow::{
    Barrier, Batch, Error, Operator, OperatorContext, OperatorMetrics, OperatorState, Output,
    RestoredState, Result, Snapshot, Timestamp, Watermark,
};

use super::{Kept, RankSpec, Tops};
use crate::Changes;
use crate::operator::emission::BATCH_ROWS;
use crate::operator::groups::Groups;
use crate::operator::reached::Reached;

/// Top-N of rows that fall into windows of event time and are never taken back: the result of a window is emitted once, when the
/// watermark reaches its last millisecond, and its rows are forgotten. Rows that come later are late: counted, and left out.
pub struct WindowRank {
    operator: String,
    kept: Kept,
    /// The column that says where a row's window ends; one of the partition's.
    window_end: usize,
    metrics: Arc<OperatorMetrics>,
    reached: Reached,
    tops: Tops,
}

impl WindowRank {
    /// The operator of this spec, whose partition has the window's start and end among its columns.
    ///
    /// # Errors
    /// [`Error::Io`] if the rows have a column that cannot be kept as bytes.
    pub fn new(spec: RankSpec, window_end: usize) -> Result<Self> {
        debug_assert!(spec.partition.contains(&window_end) && !spec.retracts);
        Ok(Self {
            operator: "window rank".to_owned(),
            kept: Kept::new(spec)?,
            window_end,
            metrics: Arc::default(),
            reached: Reached::default(),
            tops: Tops::default(),
        })
    }

    fn fire(&mut self, to: Timestamp, out: &mut dyn Output) -> Result<()> {
        let over = |end: &i64| end.saturating_sub(1) <= to;
        let ends: Vec<i64> = self.kept.rows.namespaces().take_while(over).collect();
        for end in ends {
            let Kept { spec, layout, rows, emission, ranks, .. } = &mut self.kept;
            let mut keys: Vec<_> = rows.iter(end).collect();
            keys.sort_unstable_by_key(|(key, _)| *key);
            for (key, values) in keys {
                self.tops.pick(spec.picks(), layout, values);
                self.tops.emit_all(key.as_slice(), emission, ranks);
            }
            rows.drop_namespace(end);
            if self.kept.emission.len() >= BATCH_ROWS {
                self.kept.emit(&self.operator, out)?;
            }
        }
        self.kept.emit(&self.operator, out)
    }
}

impl Operator for WindowRank {
    fn restore(&mut self, state: RestoredState) -> Result<()> {
        self.reached = Reached::restored(&self.operator, &state.list)?;
        self.kept.restore(&self.operator, &state)
    }

    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.operator.clone_from(&context.operator);
        self.metrics = context.metrics.clone();
        self.kept.key_groups = context.key_groups;
        Ok(())
    }

    fn process(&mut self, _input: usize, batch: Batch, _out: &mut dyn Output) -> Result<()> {
        let changes = Changes::of(batch, &self.operator)?;
        let ends = changes.rows.column(self.window_end);
        let Some(ends) = ends.as_primitive_opt::<TimestampMillisecondType>() else {
            return Err(Error::WrongBatch {
                operator: self.operator.clone(),
                expected: "a window's end in milliseconds".to_owned(),
                got: ends.data_type().to_string(),
            });
        };
        let laid_out = self.kept.layout.encode(&self.operator, &changes.rows)?;
        let mut late = 0;
        for rows in Groups::of(laid_out.keys.iter()).iter() {
            let first = rows[0] as usize;
            let end = if ends.is_null(first) { Timestamp::MIN } else { ends.value(first) };
            if end.saturating_sub(1) <= self.reached.timestamp() {
                late += rows.len() as u64;
                continue;
            }
            let key = laid_out.keys.row(first);
            let Kept { spec, layout, rows: kept, scratch, .. } = &mut self.kept;
            kept.at(end, key, |values| {
                let rows = spec.wanted(values.values(), &laid_out, rows, scratch);
                spec.add(values, layout, &laid_out, &rows, &changes, scratch);
            });
        }
        if late > 0 {
            OperatorMetrics::add(&self.metrics.late_records, late);
        }
        Ok(())
    }

    fn on_watermark(&mut self, watermark: Watermark, out: &mut dyn Output) -> Result<()> {
        let last = self.kept.rows.namespaces().next_back();
        let to = Reached::by(watermark, last.map(|end| end.saturating_sub(1)));
        self.fire(to, out)?;
        self.reached.advance_to(to);
        out.emit_watermark(watermark)
    }

    fn snapshot(&mut self, barrier: Barrier) -> Result<Snapshot> {
        let keyed = self.kept.snapshot(&self.operator, barrier.kind)?;
        Ok(Snapshot::Ready(OperatorState {
            keyed: Some(keyed),
            list: vec![self.reached.encode(&self.operator)?],
            ..OperatorState::default()
        }))
    }
}
