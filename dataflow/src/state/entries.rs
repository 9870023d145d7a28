//! The encoding of keyed state in a snapshot: per key group a run of changes.
//!
//! ```text
//! group := change*
//! change := op u8 | table u8 | namespace i64 LE | key length u32 LE | key | [value length u32 LE | value]
//! op: 1 put (with value), 2 remove
//! ```
//! Dropped namespaces are applied first, then the changes in order; a full snapshot has only puts.

use serde::{Deserialize, Serialize};

use crate::{Error, KeyGroup, Result, SnapshotKind};

/// The keyed state of one operator in one subtask, as bytes by key group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyedState {
    /// Everything, or the changes since the snapshot before.
    pub kind: SnapshotKind,
    /// Namespaces that went as a whole, as (table, namespace): to be applied before the groups.
    pub dropped: Vec<(u8, i64)>,
    /// Non-empty groups in ascending order.
    #[serde(with = "whole_groups")]
    pub groups: Vec<(KeyGroup, Vec<u8>)>,
}

/// The bytes of a group move as one piece. Serde on its own takes a `Vec<u8>` for a list of numbers and visits each; what is
/// written is the same.
mod whole_groups {
    use std::fmt;

    use serde::de::{Error, Visitor};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::KeyGroup;

    struct Piece<'a>(&'a [u8]);

    impl Serialize for Piece<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(self.0)
        }
    }

    struct Owned(Vec<u8>);

    impl<'de> Deserialize<'de> for Owned {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Bytes;
            impl Visitor<'_> for Bytes {
                type Value = Owned;
                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("bytes")
                }
                fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Owned, E> {
                    Ok(Owned(bytes.to_vec()))
                }
                fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Owned, E> {
                    Ok(Owned(bytes))
                }
            }
            deserializer.deserialize_byte_buf(Bytes)
        }
    }

    pub(super) fn serialize<S: Serializer>(
        groups: &[(KeyGroup, Vec<u8>)],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(groups.iter().map(|(group, bytes)| (group, Piece(bytes))))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<(KeyGroup, Vec<u8>)>, D::Error> {
        let groups = Vec::<(KeyGroup, Owned)>::deserialize(deserializer)?;
        Ok(groups.into_iter().map(|(group, Owned(bytes))| (group, bytes)).collect())
    }
}

/// One change of keyed state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change<'a> {
    /// The key has this value now.
    Put {
        /// The encoded key.
        key: &'a [u8],
        /// The encoded value.
        value: &'a [u8],
    },
    /// The key is gone.
    Remove {
        /// The encoded key.
        key: &'a [u8],
    },
}

const PUT: u8 = 1;
const REMOVE: u8 = 2;

/// Collects changes by key group.
#[derive(Debug, Default)]
pub struct Entries {
    dropped: Vec<(u8, i64)>,
    groups: Vec<Vec<u8>>,
}

impl Entries {
    /// Room for `key_groups` groups.
    pub fn new(key_groups: u16) -> Self {
        Self { dropped: Vec::new(), groups: vec![Vec::new(); usize::from(key_groups)] }
    }

    /// Makes room for so many more puts in each group, if keys and values have about `payload` bytes together.
    pub fn reserve(&mut self, counts: &[usize], payload: usize) {
        const FRAME: usize = 1 + 1 + 8 + 4 + 4;
        for (group, count) in self.groups.iter_mut().zip(counts) {
            group.reserve(count * (FRAME + payload));
        }
    }

    /// Namespace `namespace` of table `table` went as a whole, before any other change of this snapshot
    /// that concerns it.
    pub fn drop_namespace(&mut self, table: u8, namespace: i64) {
        self.dropped.push((table, namespace));
    }

    /// Adds a change of table `table` to a group.
    pub fn push(&mut self, group: KeyGroup, table: u8, namespace: i64, change: &Change<'_>) {
        let out = &mut self.groups[usize::from(group)];
        let (op, key, value): (u8, &[u8], Option<&[u8]>) = match change {
            Change::Put { key, value } => (PUT, key, Some(value)),
            Change::Remove { key } => (REMOVE, key, None),
        };
        out.push(op);
        out.push(table);
        out.extend_from_slice(&namespace.to_le_bytes());
        put_bytes(out, key);
        if let Some(value) = value {
            put_bytes(out, value);
        }
    }

    /// The collected state.
    pub fn finish(self, kind: SnapshotKind) -> KeyedState {
        let groups = (0..).zip(self.groups).filter(|(_, bytes)| !bytes.is_empty()).collect();
        KeyedState { kind, dropped: self.dropped, groups }
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    // A key or value of 4 GiB cannot be built: rows travel in batches far below that.
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

impl KeyedState {
    /// The part of this state that belongs to the given key groups.
    pub fn restricted_to(&self, groups: &std::ops::Range<KeyGroup>) -> Self {
        Self {
            kind: self.kind,
            dropped: self.dropped.clone(),
            groups: self
                .groups
                .iter()
                .filter(|(group, _)| groups.contains(group))
                .cloned()
                .collect(),
        }
    }

    /// Number of bytes in all groups.
    pub fn size_bytes(&self) -> usize {
        self.groups.iter().map(|(_, bytes)| bytes.len()).sum()
    }
}

/// Walks the changes of one group's bytes in order and calls `apply(table, namespace, change)`.
///
/// # Errors
/// [`Error::State`] if the bytes are cut or hold an unknown operation, or what `apply` returns.
pub fn decode_entries(
    operator: &str,
    mut bytes: &[u8],
    mut apply: impl FnMut(u8, i64, Change<'_>) -> Result<()>,
) -> Result<()> {
    let cut = || Error::state(operator, "the snapshot is cut short; restore an older checkpoint");
    fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
        let (head, rest) = bytes.split_at_checked(len)?;
        *bytes = rest;
        Some(head)
    }
    fn take_bytes<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
        let len = take(bytes, 4)?;
        take(bytes, u32::from_le_bytes([len[0], len[1], len[2], len[3]]) as usize)
    }
    while !bytes.is_empty() {
        let head = take(&mut bytes, 10).ok_or_else(cut)?;
        let (op, table) = (head[0], head[1]);
        let mut namespace = [0u8; 8];
        namespace.copy_from_slice(&head[2..10]);
        let namespace = i64::from_le_bytes(namespace);
        let key = take_bytes(&mut bytes).ok_or_else(cut)?;
        let change = match op {
            PUT => Change::Put { key, value: take_bytes(&mut bytes).ok_or_else(cut)? },
            REMOVE => Change::Remove { key },
            other => {
                return Err(Error::state(
                    operator,
                    format!(
                        "the snapshot holds an unknown operation {other}; it was written by a newer version"
                    ),
                ));
            }
        };
        apply(table, namespace, change)?;
    }
    Ok(())
}
