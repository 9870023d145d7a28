//! The values of one key of a [`Multimap`](super::Multimap), in order.

use std::collections::{BTreeMap, btree_map};
use std::ops::Bound;

use crate::state::RowBytes;

/// Up to so many values are a sorted list, which takes a fraction of a tree's memory: most keys have few.
const FEW: usize = 12;
/// Length at which a list of notes is looked through for repetitions first.
const CROWDED: u32 = 64;

/// What a value has, and what the last snapshot knows of it.
#[derive(Debug, Clone)]
pub(super) struct Slot<W> {
    pub with: W,
    pub known: Known,
}

/// What the last snapshot knows of a value that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// All.
    Well,
    /// Something else.
    Otherwise,
    /// Nothing: when it goes before the next one, nothing has happened.
    Not,
}

/// The values of one key in the order of their bytes.
#[derive(Debug)]
pub struct Values<W> {
    all: Ordered<W>,
    /// Values that went since the last snapshot, and, where there are many, those that it does not know well; a value may be
    /// there several times.
    noted: Vec<RowBytes>,
    /// Length of `noted` at which repetitions are taken out of it.
    crowded: u32,
    /// The key is among those whose values changed.
    pub(super) listed: bool,
}

#[derive(Debug)]
enum Ordered<W> {
    Few(Vec<(RowBytes, Slot<W>)>),
    Many(BTreeMap<RowBytes, Slot<W>>),
}

impl<W> Default for Values<W> {
    fn default() -> Self {
        Self { all: Ordered::Few(Vec::new()), noted: Vec::new(), crowded: CROWDED, listed: false }
    }
}

impl<W> Values<W> {
    /// Number of values.
    pub fn len(&self) -> usize {
        match &self.all {
            Ordered::Few(list) => list.len(),
            Ordered::Many(tree) => tree.len(),
        }
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What a value has, if it is there.
    pub fn get(&self, value: &[u8]) -> Option<&W> {
        self.slot(value).map(|slot| &slot.with)
    }

    /// The values in ascending order of their bytes, with what they have; also from the end.
    pub fn iter(&self) -> Iter<'_, W> {
        match &self.all {
            Ordered::Few(list) => Iter(Walk::Few(list.iter())),
            Ordered::Many(tree) => Iter(Walk::Many(tree.iter())),
        }
    }

    /// As [`Values::iter`], from a value on, whether it is there or not.
    pub fn from(&self, value: &[u8]) -> Iter<'_, W> {
        match &self.all {
            Ordered::Few(list) => Iter(Walk::Few(list[place(list, value)..].iter())),
            Ordered::Many(tree) => {
                let bounds = (Bound::Included(value), Bound::Unbounded);
                Iter(Walk::Part(tree.range::<[u8], _>(bounds)))
            }
        }
    }

    /// As [`Values::iter`], up to a value, and without it.
    pub fn before(&self, value: &[u8]) -> Iter<'_, W> {
        match &self.all {
            Ordered::Few(list) => Iter(Walk::Few(list[..place(list, value)].iter())),
            Ordered::Many(tree) => {
                let bounds = (Bound::Unbounded, Bound::Excluded(value));
                Iter(Walk::Part(tree.range::<[u8], _>(bounds)))
            }
        }
    }

    pub(super) fn slot(&self, value: &[u8]) -> Option<&Slot<W>> {
        match &self.all {
            Ordered::Few(list) => {
                let at = list.binary_search_by(|(have, _)| have.as_slice().cmp(value)).ok()?;
                Some(&list[at].1)
            }
            Ordered::Many(tree) => tree.get(value),
        }
    }

    pub(super) fn slot_mut(&mut self, value: &[u8]) -> Option<&mut Slot<W>> {
        match &mut self.all {
            Ordered::Few(list) => {
                let at = list.binary_search_by(|(have, _)| have.as_slice().cmp(value)).ok()?;
                Some(&mut list[at].1)
            }
            Ordered::Many(tree) => tree.get_mut(value),
        }
    }

    /// Adds a value that is not there. With `tracking` it is remembered for the next snapshot.
    pub(super) fn insert(&mut self, value: RowBytes, slot: Slot<W>, tracking: bool) {
        match &mut self.all {
            Ordered::Few(list) => match list.binary_search_by(|(have, _)| have.cmp(&value)) {
                Ok(at) => list[at].1 = slot,
                Err(at) if list.len() < FEW => {
                    // Most keys have one value: room for four would be wasted on them.
                    if list.len() < 4 {
                        list.reserve_exact(1);
                    }
                    list.insert(at, (value, slot));
                }
                Err(_) => {
                    let mut tree: BTreeMap<_, _> = std::mem::take(list).into_iter().collect();
                    tree.insert(value, slot);
                    if tracking {
                        let unknown = |(_, slot): &(_, &Slot<W>)| slot.known != Known::Well;
                        let values = tree.iter().filter(unknown).map(|(value, _)| value.clone());
                        self.noted.extend(values);
                    }
                    self.all = Ordered::Many(tree);
                }
            },
            Ordered::Many(tree) => {
                if tracking {
                    note(&mut self.noted, &mut self.crowded, value.clone());
                }
                tree.insert(value, slot);
            }
        }
    }

    /// Remembers that the slot of a value that is there changed.
    pub(super) fn note_change(&mut self, value: &[u8]) {
        // A few are looked through at the next snapshot.
        if matches!(self.all, Ordered::Many(_)) {
            self.note(RowBytes::from(value));
        }
    }

    /// Takes the last value out.
    pub(super) fn pop_last(&mut self) -> Option<(RowBytes, Slot<W>)> {
        match &mut self.all {
            Ordered::Few(list) => list.pop(),
            Ordered::Many(tree) => {
                let removed = tree.pop_last();
                self.settle();
                removed
            }
        }
    }

    /// A few values are a list.
    fn settle(&mut self) {
        if let Ordered::Many(tree) = &mut self.all
            && tree.len() <= FEW / 2
        {
            self.all = Ordered::Few(std::mem::take(tree).into_iter().collect());
        }
    }

    /// Takes a value out.
    pub(super) fn remove(&mut self, value: &[u8]) -> Option<(RowBytes, Slot<W>)> {
        match &mut self.all {
            Ordered::Few(list) => {
                let at = list.binary_search_by(|(have, _)| have.as_slice().cmp(value)).ok()?;
                Some(list.remove(at))
            }
            Ordered::Many(tree) => {
                let removed = tree.remove_entry(value);
                self.settle();
                removed
            }
        }
    }

    /// Remembers that a value is not what the last snapshot says. Values that come and go many times between two
    /// snapshots do not make the list grow.
    pub(super) fn note(&mut self, value: RowBytes) {
        note(&mut self.noted, &mut self.crowded, value);
    }

    /// Tells of all changes since the last snapshot, which then knows them: `None` for a value that went.
    pub(super) fn drain_changes<E>(
        &mut self,
        mut tell: impl FnMut(&RowBytes, Option<&W>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut noted = self.take_noted();
        noted.sort_unstable();
        noted.dedup();
        for value in noted {
            match self.slot_mut(value.as_slice()) {
                None => tell(&value, None)?,
                Some(slot) if slot.known == Known::Well => {}
                Some(slot) => {
                    slot.known = Known::Well;
                    tell(&value, Some(&slot.with))?;
                }
            }
        }
        if let Ordered::Few(list) = &mut self.all {
            for (value, slot) in list.iter_mut().filter(|(_, slot)| slot.known != Known::Well) {
                slot.known = Known::Well;
                tell(value, Some(&slot.with))?;
            }
        }
        Ok(())
    }

    /// Tells of all values, which the snapshot then knows.
    pub(super) fn drain_all<E>(
        &mut self,
        mut tell: impl FnMut(&RowBytes, &W) -> Result<(), E>,
    ) -> Result<(), E> {
        self.take_noted();
        let mut tell = |value: &RowBytes, slot: &mut Slot<W>| {
            slot.known = Known::Well;
            tell(value, &slot.with)
        };
        match &mut self.all {
            Ordered::Few(list) => list.iter_mut().try_for_each(|(value, slot)| tell(value, slot)),
            Ordered::Many(tree) => tree.iter_mut().try_for_each(|(value, slot)| tell(value, slot)),
        }
    }

    fn take_noted(&mut self) -> Vec<RowBytes> {
        self.crowded = CROWDED;
        self.listed = false;
        std::mem::take(&mut self.noted)
    }
}

/// Where in a list a value is, or would be.
fn place<W>(list: &[(RowBytes, Slot<W>)], value: &[u8]) -> usize {
    list.partition_point(|(have, _)| have.as_slice() < value)
}

fn note(noted: &mut Vec<RowBytes>, crowded: &mut u32, value: RowBytes) {
    noted.push(value);
    if noted.len() >= *crowded as usize {
        noted.sort_unstable();
        noted.dedup();
        *crowded = u32::try_from(2 * noted.len()).unwrap_or(u32::MAX).max(CROWDED);
    }
}

/// Walks over [`Values`].
pub struct Iter<'a, W>(Walk<'a, W>);

enum Walk<'a, W> {
    Few(std::slice::Iter<'a, (RowBytes, Slot<W>)>),
    Many(btree_map::Iter<'a, RowBytes, Slot<W>>),
    Part(btree_map::Range<'a, RowBytes, Slot<W>>),
}

impl<'a, W> Iterator for Iter<'a, W> {
    type Item = (&'a RowBytes, &'a W);

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Walk::Few(list) => list.next().map(|(value, slot)| (value, &slot.with)),
            Walk::Many(tree) => tree.next().map(|(value, slot)| (value, &slot.with)),
            Walk::Part(tree) => tree.next().map(|(value, slot)| (value, &slot.with)),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.0 {
            Walk::Few(list) => list.size_hint(),
            Walk::Many(tree) => tree.size_hint(),
            Walk::Part(tree) => tree.size_hint(),
        }
    }
}

impl<W> DoubleEndedIterator for Iter<'_, W> {
    fn next_back(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Walk::Few(list) => list.next_back().map(|(value, slot)| (value, &slot.with)),
            Walk::Many(tree) => tree.next_back().map(|(value, slot)| (value, &slot.with)),
            Walk::Part(tree) => tree.next_back().map(|(value, slot)| (value, &slot.with)),
        }
    }
}
