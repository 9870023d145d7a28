//! Results of windows that may have to be taken back.

use arrow_array::{ArrayRef, UInt32Array};
use arrow_select::interleave::interleave;
use arrow_select::take::take;
use riverrun_dataflow::{
    Error, KeyedState, Result, SnapshotKind, StateTable, TableSnapshot, Timestamp,
};

use super::spec::AggregateSpec;
use super::states::PaneResults;
use crate::state::{RowBytes, RowCodec};

/// Number of the table in snapshots: behind all sets.
pub(super) const TABLE: u8 = 255;

/// For each window the results of its groups that were put out last.
pub(super) struct Emitted {
    keys: RowCodec,
    results: RowCodec,
    table: StateTable<RowBytes, RowBytes>,
}

impl Emitted {
    pub fn new(operator: &str, spec: &AggregateSpec) -> Result<Self> {
        let types = (0..spec.calls.len()).map(|call| spec.result_type(call));
        Ok(Self {
            keys: RowCodec::new(operator, spec.key_types())?,
            results: RowCodec::new(operator, types)?,
            table: StateTable::default(),
        })
    }

    /// What has changed of a window's results, old rows with weight -1 and new ones with 1; remembers the new ones.
    pub fn changes(
        &mut self,
        operator: &str,
        window: Timestamp,
        new: PaneResults,
    ) -> Result<(PaneResults, Vec<i64>)> {
        let encoded = self.results.encode(operator, &new.results, new.keys.len())?;
        let (mut old_keys, mut old_rows): (Vec<RowBytes>, Vec<RowBytes>) = (vec![], vec![]);
        // Rows of the result as (0, row of old) or (1, row of new).
        let (mut rows, mut weights) = (Vec::new(), Vec::new());
        let mut there = hashbrown::HashSet::<&RowBytes, foldhash::fast::FixedState>::default();
        for (at, (key, row)) in new.keys.iter().zip(encoded.iter()).enumerate() {
            there.insert(key);
            let old = self.table.get(window, key.as_slice());
            if old.is_some_and(|old| old.as_slice() == row) {
                continue;
            }
            if let Some(old) = old {
                rows.push((0, old_rows.len()));
                weights.push(-1);
                old_keys.push(key.clone());
                old_rows.push(old.clone());
            }
            rows.push((1, at));
            weights.push(1);
            self.table.put(window, key.clone(), row.into());
        }
        let gone = self.table.iter(window).filter(|(key, _)| !there.contains(key));
        let gone: Vec<RowBytes> = gone.map(|(key, _)| key.clone()).collect();
        for key in gone {
            if let Some(old) = self.table.remove(window, &key) {
                rows.push((0, old_rows.len()));
                weights.push(-1);
                old_keys.push(key);
                old_rows.push(old);
            }
        }
        let columns = self.keys.decode(operator, old_keys.iter().map(RowBytes::as_slice))?;
        let results = self.results.decode(operator, old_rows.iter().map(RowBytes::as_slice))?;
        let keys = rows.iter().map(|(from, at)| match from {
            0 => old_keys[*at].clone(),
            _ => new.keys[*at].clone(),
        });
        let mixed = |old: &[ArrayRef], new: &[ArrayRef]| {
            let columns = old.iter().zip(new);
            columns.map(|(old, new)| mixed(operator, old, new, &rows)).collect::<Result<Vec<_>>>()
        };
        let changes = PaneResults {
            keys: keys.collect(),
            columns: mixed(&columns, &new.columns)?,
            results: mixed(&results, &new.results)?,
        };
        Ok((changes, weights))
    }

    /// The windows of which there are results, in ascending order.
    pub fn windows(&self) -> impl Iterator<Item = Timestamp> + '_ {
        self.table.namespaces()
    }

    /// Forgets windows whose last instant is up to a time.
    pub fn drop_until(&mut self, time: Timestamp) {
        let over: Vec<Timestamp> =
            self.table.namespaces().take_while(|end| end.saturating_sub(1) <= time).collect();
        over.into_iter().for_each(|window| drop(self.table.drop_namespace(window)));
    }

    pub fn snapshot(&mut self, kind: SnapshotKind) -> TableSnapshot<RowBytes, RowBytes> {
        self.table.snapshot(kind)
    }

    pub fn restore(&mut self, operator: &str, chains: &[Vec<KeyedState>]) -> Result<()> {
        chains.iter().try_for_each(|chain| self.table.restore(operator, TABLE, chain))
    }
}

fn mixed(
    operator: &str,
    old: &ArrayRef,
    new: &ArrayRef,
    rows: &[(usize, usize)],
) -> Result<ArrayRef> {
    let failed = |error| Error::io(operator, error);
    if rows.iter().all(|(from, _)| *from == 1) {
        let rows = UInt32Array::from_iter_values(rows.iter().map(|(_, at)| *at as u32));
        return take(new, &rows, None).map_err(failed);
    }
    interleave(&[&**old, &**new], rows).map_err(failed)
}
