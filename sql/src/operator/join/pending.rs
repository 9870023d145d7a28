//! Rows that wait until event time has reached them.

use std::collections::BTreeMap;

use arrow_array::{BooleanArray, RecordBatch};
use arrow_schema::SchemaRef;
use arrow_select::filter::filter_record_batch;
use riverrun_dataflow::{
    Change, Entries, Error, KeyGroup, KeyedState, Result, SnapshotKind, Timestamp, decode_entries,
};

use crate::state::RowCodec;

/// Rows in the batches in which they came. Each has a number, by which a snapshot says that it is gone.
pub(super) struct PendingRows {
    schema: SchemaRef,
    codec: RowCodec,
    batches: Vec<PendingBatch>,
    next: u64,
    /// Rows that went since the last snapshot, which has them.
    gone: Vec<(KeyGroup, u64)>,
}

struct PendingBatch {
    rows: RecordBatch,
    marks: Vec<Mark>,
    least: Timestamp,
    /// The last snapshot has its rows.
    saved: bool,
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    time: Timestamp,
    group: KeyGroup,
    number: u64,
}

/// The number of the table in snapshots.
const TABLE: u8 = 1;

impl PendingRows {
    pub(super) fn new(operator: &str, schema: SchemaRef) -> Result<Self> {
        let codec = RowCodec::of_schema(operator, &schema)?;
        Ok(Self { schema, codec, batches: Vec::new(), next: 0, gone: Vec::new() })
    }

    /// Adds rows with their times and key groups.
    pub(super) fn add(
        &mut self,
        rows: RecordBatch,
        marks: impl Iterator<Item = (Timestamp, KeyGroup)>,
    ) {
        let next = self.next;
        let marks = marks.zip(next..).map(|((time, group), number)| Mark { time, group, number });
        let marks: Vec<Mark> = marks.collect();
        self.next += marks.len() as u64;
        if let Some(least) = marks.iter().map(|mark| mark.time).min() {
            self.batches.push(PendingBatch { rows, marks, least, saved: false });
        }
    }

    /// Takes out the rows whose time is not above `now`, with their times.
    pub(super) fn take_due(
        &mut self,
        operator: &str,
        now: Timestamp,
    ) -> Result<Vec<(RecordBatch, Vec<Timestamp>)>> {
        let mut due = Vec::new();
        for batch in &mut self.batches {
            if batch.least > now {
                continue;
            }
            let is_due = |mark: &Mark| mark.time <= now;
            let mask: BooleanArray = batch.marks.iter().map(|mark| Some(is_due(mark))).collect();
            let filtered = |mask: &BooleanArray| {
                filter_record_batch(&batch.rows, mask).map_err(|e| Error::io(operator, e))
            };
            let rows = filtered(&mask)?;
            let rest: BooleanArray = mask.iter().map(|due| due.map(|due| !due)).collect();
            batch.rows = filtered(&rest)?;
            let (going, left): (Vec<Mark>, Vec<Mark>) =
                std::mem::take(&mut batch.marks).into_iter().partition(is_due);
            if batch.saved {
                self.gone.extend(going.iter().map(|mark| (mark.group, mark.number)));
            }
            batch.least = left.iter().map(|mark| mark.time).min().unwrap_or(Timestamp::MAX);
            batch.marks = left;
            due.push((rows, going.into_iter().map(|mark| mark.time).collect()));
        }
        self.batches.retain(|batch| !batch.marks.is_empty());
        Ok(due)
    }

    /// Number of rows.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.batches.iter().map(|batch| batch.marks.len()).sum()
    }

    /// Adds all rows, or those that are new and those that went, to a snapshot.
    pub(super) fn snapshot(
        &mut self,
        operator: &str,
        kind: SnapshotKind,
        entries: &mut Entries,
    ) -> Result<()> {
        let gone = std::mem::take(&mut self.gone);
        if kind == SnapshotKind::Delta {
            for (group, number) in gone {
                entries.push(group, TABLE, 0, &Change::Remove { key: &number.to_le_bytes() });
            }
        }
        for batch in &mut self.batches {
            if kind == SnapshotKind::Delta && batch.saved {
                continue;
            }
            batch.saved = true;
            let rows = self.codec.encode(operator, batch.rows.columns(), batch.rows.num_rows())?;
            for (mark, row) in batch.marks.iter().zip(rows.iter()) {
                let mut value = mark.time.to_le_bytes().to_vec();
                value.extend_from_slice(row);
                let key = mark.number.to_le_bytes();
                let change = Change::Put { key: &key, value: &value };
                entries.push(mark.group, TABLE, 0, &change);
            }
        }
        Ok(())
    }

    /// Adds what one former subtask left.
    pub(super) fn restore(&mut self, operator: &str, chain: &[KeyedState]) -> Result<()> {
        let mut found: BTreeMap<(KeyGroup, Vec<u8>), Vec<u8>> = BTreeMap::new();
        for state in chain {
            for (group, bytes) in &state.groups {
                decode_entries(operator, bytes, |table, _, change| {
                    if table != TABLE {
                        return Ok(());
                    }
                    match change {
                        Change::Put { key, value } => {
                            found.insert((*group, key.to_vec()), value.to_vec());
                        }
                        Change::Remove { key } => {
                            found.remove(&(*group, key.to_vec()));
                        }
                    }
                    Ok(())
                })?;
            }
        }
        let mut marks = Vec::with_capacity(found.len());
        let mut rows = Vec::with_capacity(found.len());
        for ((group, _), value) in &found {
            let Some((time, row)) = value.split_first_chunk::<8>() else {
                return Err(Error::state(
                    operator,
                    "a restored row that waits for event time is cut short; restore an older checkpoint",
                ));
            };
            marks.push((i64::from_le_bytes(*time), *group));
            rows.push(row);
        }
        let count = rows.len();
        let batch = self.codec.decode_batch(operator, &self.schema, rows, count)?;
        self.add(batch, marks.into_iter());
        Ok(())
    }
}
