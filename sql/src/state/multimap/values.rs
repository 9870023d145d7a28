//! The values of one key of a [`Multimap`](super::Multimap), in order.

use std::collections::{BTreeMap, btree_map};

use crate::state::RowBytes;

/// Up to so many values are a sorted list, which takes a fraction of a tree's memory: most keys have few.
const FEW: usize = 12;

/// What a value has, and whether that changed since the last snapshot.
#[derive(Debug, Clone)]
pub(super) struct Slot<W> {
    pub with: W,
    pub dirty: bool,
}

/// The values of one key in the order of their bytes.
#[derive(Debug)]
pub struct Values<W> {
    all: Ordered<W>,
    /// Values whose slot became dirty, or that went, since the last snapshot; a value may be there several times.
    pub(super) dirty: Vec<RowBytes>,
    /// Length of `dirty` at which repetitions are taken out of it.
    crowded: usize,
}

#[derive(Debug)]
enum Ordered<W> {
    Few(Vec<(RowBytes, Slot<W>)>),
    Many(BTreeMap<RowBytes, Slot<W>>),
}

impl<W> Default for Values<W> {
    fn default() -> Self {
        Self { all: Ordered::Few(Vec::new()), dirty: Vec::new(), crowded: 64 }
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

    /// Sets the slot of a value.
    pub(super) fn insert(&mut self, value: RowBytes, slot: Slot<W>) {
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
                    self.all = Ordered::Many(tree);
                }
            },
            Ordered::Many(tree) => {
                tree.insert(value, slot);
            }
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
                if tree.len() <= FEW / 2 {
                    self.all = Ordered::Few(std::mem::take(tree).into_iter().collect());
                }
                removed
            }
        }
    }

    /// Remembers that a value is not what the last snapshot says. Values that come and go many times between two
    /// snapshots do not make the list grow.
    pub(super) fn note(&mut self, value: RowBytes) {
        self.dirty.push(value);
        if self.dirty.len() >= self.crowded {
            self.dirty.sort_unstable();
            self.dirty.dedup();
            self.crowded = (2 * self.dirty.len()).max(64);
        }
    }

    /// Takes the list of values that are not what the last snapshot says.
    pub(super) fn take_dirty(&mut self) -> Vec<RowBytes> {
        self.crowded = 64;
        std::mem::take(&mut self.dirty)
    }
}

/// Walks over [`Values`].
pub struct Iter<'a, W>(Walk<'a, W>);

enum Walk<'a, W> {
    Few(std::slice::Iter<'a, (RowBytes, Slot<W>)>),
    Many(btree_map::Iter<'a, RowBytes, Slot<W>>),
}

impl<'a, W> Iterator for Iter<'a, W> {
    type Item = (&'a RowBytes, &'a W);

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Walk::Few(list) => list.next().map(|(value, slot)| (value, &slot.with)),
            Walk::Many(tree) => tree.next().map(|(value, slot)| (value, &slot.with)),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.0 {
            Walk::Few(list) => list.size_hint(),
            Walk::Many(tree) => tree.size_hint(),
        }
    }
}

impl<W> DoubleEndedIterator for Iter<'_, W> {
    fn next_back(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Walk::Few(list) => list.next_back().map(|(value, slot)| (value, &slot.with)),
            Walk::Many(tree) => tree.next_back().map(|(value, slot)| (value, &slot.with)),
        }
    }
}
