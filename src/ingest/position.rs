//! How far each file was read, as it is committed with the records.

use serde::{Deserialize, Serialize};

use super::error::IngestError;

/// The kind of the metadata entries that hold positions.
pub(super) const KIND: &str = "ingest";

/// How many bytes at the start of a file tell it from others. An access log's first lines hold times and addresses, so
/// that two files hardly begin alike.
pub(super) const HEAD_LEN: usize = 1024;

/// A file, by what it is, and how far it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FilePosition {
    /// Files of one log are numbered as they are found, so a higher number is a newer file (or one asked for later).
    #[serde(skip)]
    pub(super) id: u64,
    /// For people who look at the entry: the name it had when it was last read.
    pub(super) name: String,
    pub(super) device: u64,
    pub(super) inode: u64,
    /// How many of the first bytes (decompressed) `head_hash` covers: at most [`HEAD_LEN`], and none beyond `offset`.
    pub(super) head_length: u32,
    pub(super) head_hash: u64,
    /// Up to where it was read, in (decompressed) bytes: the start of a line.
    pub(super) offset: u64,
    /// Whether `offset` lies within a line that is too long to be one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) within_line: bool,
    /// Whether it was asked for by its own, rotated name, rather than found to be a part of the log.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) by_name: bool,
}

#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    version: u32,
    #[serde(flatten)]
    position: T,
}

const VERSION: u32 = 1;

impl FilePosition {
    /// The start of a file.
    pub(super) fn new(id: u64, device: u64, inode: u64) -> FilePosition {
        FilePosition {
            id,
            name: String::new(),
            device,
            inode,
            head_length: 0,
            head_hash: hash(b""),
            offset: 0,
            within_line: false,
            by_name: false,
        }
    }

    /// The metadata entry's value.
    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(&Versioned { version: VERSION, position: self })
            .expect("numbers and text always have a JSON form")
    }

    /// Reads back what [`FilePosition::encode`] wrote.
    pub(super) fn decode(id: u64, value: &[u8]) -> Result<FilePosition, IngestError> {
        let damaged = |what: String| IngestError::Position { what };
        let Versioned { version, position }: Versioned<FilePosition> =
            serde_json::from_slice(value).map_err(|error| damaged(error.to_string()))?;
        if version != VERSION {
            return Err(damaged(format!("it is of version {version}, not {VERSION}")));
        }
        Ok(FilePosition { id, ..position })
    }

    /// Whether a file that begins with `head` may be this one: it does if it begins as this one did.
    pub(super) fn begins_like(&self, head: &[u8]) -> bool {
        head.get(..self.head_length as usize).is_some_and(|head| hash(head) == self.head_hash)
    }

    /// Takes note of the file's first bytes, as far as they have been read by now.
    pub(super) fn note_head(&mut self, head: &[u8]) {
        let length = head.len().min(HEAD_LEN).min(self.offset.try_into().unwrap_or(HEAD_LEN));
        if length > self.head_length as usize {
            self.head_length = length as u32;
            self.head_hash = hash(&head[..length]);
        }
    }
}

/// The key of a file's metadata entry: topic, path of the log, number of the file.
pub(super) fn key(topic: &str, log: &str, id: u64) -> String {
    format!("{}{id:020}", prefix(topic, log))
}

/// What the keys of all files of one log begin with.
pub(super) fn prefix(topic: &str, log: &str) -> String {
    // A topic's name has no space; a path may, but not one that looks like a number of twenty digits alone.
    format!("{topic} {log} ")
}

/// The number in a key, if the key belongs to this log.
pub(super) fn id_of(key: &str, prefix: &str) -> Option<u64> {
    let number = key.strip_prefix(prefix)?;
    let digits = number.len() == 20 && number.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| number.parse().ok())?
}

/// FNV-1a, which will not change. Nobody gains by making two logs begin alike.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position() -> FilePosition {
        FilePosition { by_name: true, ..FilePosition::new(7, u64::MAX, 12) }
    }

    #[test]
    fn encoding_round_trip() {
        let mut position = position();
        position.offset = 3;
        position.note_head(b"abcd");
        assert_eq!(position.head_length, 3);
        let value = position.encode();
        assert_eq!(FilePosition::decode(7, &value).unwrap(), position);
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        let text = String::from_utf8(position().encode()).unwrap();
        let newer = text.replace("\"version\":1", "\"version\":2");
        for (value, what) in [(&b"{}"[..], "missing field"), (newer.as_bytes(), "version 2")] {
            let error = FilePosition::decode(1, value).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
    }

    #[test]
    fn heads() {
        let mut position = position();
        position.note_head(b"");
        assert!(position.begins_like(b"") && position.begins_like(b"anything"));
        position.offset = 5000;
        let head = vec![b'x'; 2000];
        position.note_head(&head[..500]);
        assert_eq!(position.head_length, 500);
        assert!(position.begins_like(&head) && !position.begins_like(&head[..499]));
        assert!(!position.begins_like(&[&b"y"[..], &head[1..]].concat()));
        position.note_head(&head);
        assert_eq!(position.head_length as usize, HEAD_LEN);
    }

    #[test]
    fn keys() {
        let log = prefix("t", "/var/log/a");
        assert_eq!(id_of(&key("t", "/var/log/a", 42), &log), Some(42));
        assert_eq!(id_of(&key("t", "/var/log/ab", 42), &log), None);
        assert_eq!(id_of(&key("t", "/var/log/a 1", 42), &log), None);
        assert_eq!(id_of(&key("t", &key("", "/var/log/a", 7)[1..], 42), &log), None);
        assert_eq!(id_of(&key("t2", "/var/log/a", 42), &log), None);
        assert!(key("t", "/a", 9) < key("t", "/a", 10));
    }
}
