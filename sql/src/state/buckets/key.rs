//! A key's bytes, in place if they are few.

/// Keys up to this length need no memory of their own: two BIGINT columns are 18 bytes.
const INLINE: usize = 22;

/// The bytes of a key.
pub(super) enum Key {
    /// The first `len` bytes of the array.
    Inline(u8, [u8; INLINE]),
    /// Longer ones.
    Heap(Box<[u8]>),
}

impl Key {
    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Inline(len, bytes) => &bytes[..usize::from(*len)],
            Self::Heap(bytes) => bytes,
        }
    }

    /// Bytes outside of the value itself.
    pub(super) fn heap(&self) -> usize {
        match self {
            Self::Inline(..) => 0,
            Self::Heap(bytes) => bytes.len(),
        }
    }
}

impl From<&[u8]> for Key {
    fn from(key: &[u8]) -> Self {
        if key.len() > INLINE {
            return Self::Heap(key.into());
        }
        let mut bytes = [0; INLINE];
        bytes[..key.len()].copy_from_slice(key);
        // At most INLINE, which is a small number.
        Self::Inline(key.len() as u8, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_any_length_come_back() {
        for len in [0, 1, INLINE, INLINE + 1, 100] {
            let bytes: Vec<u8> = (0..len as u8).collect();
            assert_eq!(Key::from(bytes.as_slice()).as_slice(), bytes);
        }
        assert_eq!(size_of::<Key>(), 24);
    }
}
