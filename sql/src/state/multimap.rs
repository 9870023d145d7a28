//! Keyed state that keeps for each key an ordered set of values.

mod values;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, btree_map};

use hashbrown::HashMap;
use riverrun_dataflow::{
    Change, Entries, Error, KeyedState, Record, Result, SnapshotKind, codec, decode_entries,
};

pub use self::values::{Iter, Values};
use self::values::{Known, Slot};
use super::{RowBytes, key_group_of_row};

type Map<W> = HashMap<RowBytes, Values<W>, foldhash::fast::FixedState>;

/// (namespace, key) -> value -> what the value has, with a memory of what changed since the last snapshot.
///
/// Keys and values are rows as bytes, values of a key are in the order of their bytes. What a value has is mostly its weight; an operator may keep
/// more with it. A value that has the default of `W` (the weight 0) is not there. It is the change of single values that
/// is remembered: a snapshot of changes costs what was changed, however many values a key has.
///
/// Namespaces (of windows, say) can be dropped as a whole.
///
/// ```
/// use riverrun_dataflow::{Entries, SnapshotKind};
/// use riverrun_sql::state::Multimap;
/// let mut values: Multimap = Multimap::default();
/// assert_eq!(values.add(0, b"k", b"v", 2), (0, 2));
/// assert_eq!(values.add(0, b"k", b"v", -1), (2, 1));
/// let mut entries = Entries::new(128);
/// values.snapshot_into("test", 0, SnapshotKind::Full, 128, &mut entries).unwrap();
/// let mut restored: Multimap = Multimap::default();
/// restored.restore("test", 0, &[entries.finish(SnapshotKind::Full)]).unwrap();
/// assert_eq!(restored.values(0, b"k").and_then(|values| values.get(b"v")), Some(&1));
/// ```
#[derive(Debug)]
pub struct Multimap<W = i64> {
    panes: BTreeMap<i64, Pane<W>>,
    dropped: Vec<i64>,
    len: usize,
    /// Changes count only once there was a snapshot, or state was restored: the first one has everything.
    tracking: bool,
}

#[derive(Debug)]
struct Pane<W> {
    map: Map<W>,
    /// Keys whose values changed since the last snapshot; those without any values left among them.
    changed: Vec<RowBytes>,
}

impl<W> Default for Multimap<W> {
    fn default() -> Self {
        Self { panes: BTreeMap::new(), dropped: Vec::new(), len: 0, tracking: false }
    }
}

impl<W> Default for Pane<W> {
    fn default() -> Self {
        Self { map: Map::default(), changed: Vec::new() }
    }
}

impl Multimap<i64> {
    /// Adds to the weight of a value and returns it as it was before and is now.
    pub fn add(&mut self, namespace: i64, key: &[u8], value: &[u8], weight: i64) -> (i64, i64) {
        self.update(namespace, key, value, |has| {
            let old = *has;
            *has += weight;
            (old, *has)
        })
    }
}

impl<W: Record + Default + PartialEq> Multimap<W> {
    /// Number of values of all keys in all namespaces.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if there are no values.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The values of a key, if it has any.
    pub fn values(&self, namespace: i64, key: &[u8]) -> Option<&Values<W>> {
        let values = self.panes.get(&namespace)?.map.get(key)?;
        (!values.is_empty()).then_some(values)
    }

    /// Changes what a value has, which is the default if it is not there; if it is the default afterwards, the value goes.
    pub fn update<R>(
        &mut self,
        namespace: i64,
        key: &[u8],
        value: &[u8],
        change: impl FnOnce(&mut W) -> R,
    ) -> R {
        self.at(namespace, key, |values| values.update(value, change))
    }

    /// Looks at the values of a key and changes them, having found the key once.
    pub fn at<R>(
        &mut self,
        namespace: i64,
        key: &[u8],
        work: impl FnOnce(&mut KeyValues<'_, W>) -> R,
    ) -> R {
        let Pane { map, changed } = self.panes.entry(namespace).or_default();
        let values = match map.get_mut(key) {
            Some(values) => values,
            None => map.entry(RowBytes::from(key)).or_default(),
        };
        let (tracking, len) = (self.tracking, &mut self.len);
        let mut values = KeyValues { key, values, changed, len, tracking };
        let result = work(&mut values);
        if values.values.is_empty() && !values.values.listed {
            map.remove(key);
        }
        result
    }

    /// The keys of a namespace with their values, in no particular order.
    pub fn iter(&self, namespace: i64) -> impl Iterator<Item = (&RowBytes, &Values<W>)> {
        let keys = self.panes.get(&namespace).into_iter().flat_map(|pane| &pane.map);
        keys.filter(|(_, values)| !values.is_empty())
    }

    /// The namespaces that have keys, in ascending order.
    pub fn namespaces(&self) -> impl DoubleEndedIterator<Item = i64> + '_ {
        let filled = |pane: &Pane<W>| pane.map.values().any(|values| !values.is_empty());
        self.panes.iter().filter(move |(_, pane)| filled(pane)).map(|(namespace, _)| *namespace)
    }

    /// Takes all values of a key away.
    pub fn remove_key(&mut self, namespace: i64, key: &[u8]) {
        self.at(namespace, key, |values| while values.pop_last().is_some() {});
    }

    /// Takes a whole namespace away: how the values of a window go when it is over.
    pub fn drop_namespace(&mut self, namespace: i64) {
        if let btree_map::Entry::Occupied(entry) = self.panes.entry(namespace) {
            self.dropped.push(namespace);
            let pane = entry.remove();
            self.len -= pane.map.values().map(Values::len).sum::<usize>();
        }
    }

    /// Adds the state, or its changes since the snapshot before, to `entries` as table number `table`. It is encoded as
    /// it is walked over, which is faster than a copy of it. Changes are remembered anew from here.
    ///
    /// # Errors
    /// [`Error::State`] naming `operator` if what a value has cannot be encoded.
    pub fn snapshot_into(
        &mut self,
        operator: &str,
        table: u8,
        kind: SnapshotKind,
        key_groups: u16,
        entries: &mut Entries,
    ) -> Result<()> {
        let dropped = std::mem::take(&mut self.dropped);
        if kind == SnapshotKind::Delta {
            dropped.into_iter().for_each(|namespace| entries.drop_namespace(table, namespace));
        }
        let mut encoder =
            Encoder { operator, table, key_groups, entries, key: vec![], with: vec![] };
        let all = kind == SnapshotKind::Full || !self.tracking;
        self.tracking = true;
        for (&namespace, pane) in &mut self.panes {
            let changed = std::mem::take(&mut pane.changed);
            if all {
                for (key, values) in &mut pane.map {
                    values
                        .drain_all(|value, with| encoder.push(namespace, key, value, Some(with)))?;
                }
            }
            for key in changed {
                let Some(values) = pane.map.get_mut(&key) else { continue };
                if !all {
                    values
                        .drain_changes(|value, with| encoder.push(namespace, &key, value, with))?;
                }
                if values.is_empty() {
                    pane.map.remove(&key);
                }
            }
        }
        self.panes.retain(|_, pane| !pane.map.is_empty());
        Ok(())
    }

    /// Adds the state of table number `table` that one former subtask left: a full snapshot and the changes after it, in
    /// order. Restored values do not count as changes.
    ///
    /// # Errors
    /// [`Error::State`] naming `operator` if the bytes do not hold such state.
    pub fn restore(&mut self, operator: &str, table: u8, chain: &[KeyedState]) -> Result<()> {
        let bad = |e: codec::CodecError| Error::state(operator, format!("a restored entry {e}"));
        self.tracking = true;
        let mut restored: BTreeMap<i64, Map<W>> = BTreeMap::new();
        for state in chain {
            for (_, namespace) in state.dropped.iter().filter(|(of, _)| *of == table) {
                restored.remove(namespace);
            }
            for (_, bytes) in &state.groups {
                decode_entries(operator, bytes, |of, namespace, change| {
                    if of != table {
                        return Ok(());
                    }
                    let map = restored.entry(namespace).or_default();
                    let (Change::Put { key: at, .. } | Change::Remove { key: at }) = &change;
                    let (key, value) = split(at).ok_or_else(|| {
                        Error::state(operator, "an entry is cut short; restore an older checkpoint")
                    })?;
                    match change {
                        Change::Put { value: with, .. } => {
                            let with = codec::decode(with).map_err(bad)?;
                            let values = match map.get_mut(key) {
                                Some(values) => values,
                                None => map.entry(RowBytes::from(key)).or_default(),
                            };
                            let slot = Slot { with, known: Known::Well };
                            match values.slot_mut(value) {
                                Some(old) => *old = slot,
                                None => values.insert(RowBytes::from(value), slot, false),
                            }
                        }
                        Change::Remove { .. } => {
                            if let Some(values) = map.get_mut(key) {
                                values.remove(value);
                                if values.is_empty() {
                                    map.remove(key);
                                }
                            }
                        }
                    }
                    Ok(())
                })?;
            }
        }
        for (namespace, map) in restored {
            self.len += map.values().map(Values::len).sum::<usize>();
            if !map.is_empty() {
                // Former subtasks had different keys.
                self.panes.entry(namespace).or_default().map.extend(map);
            }
        }
        Ok(())
    }
}

/// The values of one key of a [`Multimap`], to be changed.
pub struct KeyValues<'a, W> {
    key: &'a [u8],
    values: &'a mut Values<W>,
    changed: &'a mut Vec<RowBytes>,
    len: &'a mut usize,
    tracking: bool,
}

impl<W: Default + PartialEq> KeyValues<'_, W> {
    /// The values; none if the key is new.
    pub fn values(&self) -> &Values<W> {
        self.values
    }

    /// As [`Multimap::update`].
    pub fn update<R>(&mut self, value: &[u8], change: impl FnOnce(&mut W) -> R) -> R {
        let Some(slot) = self.values.slot_mut(value) else {
            let mut with = W::default();
            let result = change(&mut with);
            if with != W::default() {
                let slot = Slot { with, known: Known::Not };
                self.values.insert(RowBytes::from(value), slot, self.tracking);
                *self.len += 1;
                self.list();
            }
            return result;
        };
        let result = change(&mut slot.with);
        if slot.with == W::default() {
            if let Some((value, slot)) = self.values.remove(value) {
                self.went(value, slot.known);
            }
        } else if slot.known == Known::Well {
            slot.known = Known::Otherwise;
            self.values.note_change(value);
            self.list();
        }
        result
    }

    /// Takes the last value away.
    pub fn pop_last(&mut self) -> Option<W> {
        let (value, slot) = self.values.pop_last()?;
        self.went(value, slot.known);
        Some(slot.with)
    }

    fn went(&mut self, value: RowBytes, known: Known) {
        *self.len -= 1;
        if known != Known::Not {
            self.values.note(value);
            self.list();
        }
    }

    /// Puts the key among those that changed.
    fn list(&mut self) {
        if self.tracking && !self.values.listed {
            self.values.listed = true;
            self.changed.push(RowBytes::from(self.key));
        }
    }
}

/// Puts values into a snapshot: `key length u32 LE | key | value` is the entry's key, what the value has its value.
struct Encoder<'a> {
    operator: &'a str,
    table: u8,
    key_groups: u16,
    entries: &'a mut Entries,
    key: Vec<u8>,
    with: Vec<u8>,
}

impl Encoder<'_> {
    fn push<W: Record>(
        &mut self,
        namespace: i64,
        key: &RowBytes,
        value: &RowBytes,
        with: Option<&W>,
    ) -> Result<()> {
        let (key, value) = (key.as_slice(), value.as_slice());
        self.key.clear();
        // Rows travel in batches of far less than 4 GiB.
        self.key.extend_from_slice(&(key.len() as u32).to_le_bytes());
        self.key.extend_from_slice(key);
        self.key.extend_from_slice(value);
        let group = key_group_of_row(key, self.key_groups);
        let change = match with {
            None => Change::Remove { key: &self.key },
            Some(with) => {
                self.with.clear();
                codec::encode_into(with, &mut self.with)
                    .map_err(|e| Error::state(self.operator, e))?;
                Change::Put { key: &self.key, value: &self.with }
            }
        };
        self.entries.push(group, self.table, namespace, &change);
        Ok(())
    }
}

fn split(entry: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = entry.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_le_bytes(*len) as usize)
}
