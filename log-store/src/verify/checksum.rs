//! Checksums of batches on a disk that may be bad: read in pieces by positioned reads, never through a
//! mapping (where a bad sector would kill the process), and never more in memory than a piece.

use std::io;

use crc_fast::{CrcAlgorithm, Digest};

use crate::batch::crc32c;
use crate::environment::File;

/// Bytes that are read at once.
pub(super) const PIECE: usize = 1 << 20;

/// CRC-32C of `length` bytes at `position`.
pub(super) fn of_range(
    file: &dyn File,
    position: u64,
    length: u64,
    buffer: &mut Vec<u8>,
) -> io::Result<u32> {
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    let mut done = 0;
    while done < length {
        let piece = PIECE.min((length - done) as usize);
        buffer.resize(piece, 0);
        file.read_at(position + done, buffer)?;
        digest.update(buffer);
        done += piece as u64;
    }
    Ok(digest.finalize() as u32)
}

/// CRC-32C of a whole batch from that of its stamped front and that of the rest.
pub(super) fn combined(front: &[u8], rest: u32, rest_length: u64) -> u32 {
    let front = u64::from(crc32c(front));
    crc_fast::checksum_combine(CrcAlgorithm::Crc32Iscsi, front, u64::from(rest), rest_length) as u32
}

/// Which one bit of `length` bytes has flipped, if that is what turned the checksum `expected` into
/// `found`: the byte, counted from the first, and its bit.
///
/// A checksum is linear: what a flipped bit changes in it depends on its distance from the end alone.
/// So the difference is run backwards until it is that of a bit in the last byte.
pub(super) fn flipped_bit(expected: u32, found: u32, length: u64) -> Option<(u64, u8)> {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let mut table = [0u32; 256];
    let mut by_top = [0u8; 256];
    for byte in 0..=255u8 {
        let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
        let crc = (0..8).fold(u32::from(byte), step);
        table[usize::from(byte)] = crc;
        by_top[(crc >> 24) as usize] = byte;
    }
    let mut difference = expected ^ found;
    for from_end in 0..length {
        if let Some(bit) = (0..8).find(|bit| table[1 << bit] == difference) {
            return Some((length - 1 - from_end, bit));
        }
        let low = by_top[(difference >> 24) as usize];
        difference = (difference ^ table[usize::from(low)]) << 8 | u32::from(low);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn one_flipped_bit_is_located(
            mut bytes in proptest::collection::vec(any::<u8>(), 1..3000), bit in any::<u64>(),
        ) {
            let expected = crc32c(&bytes);
            prop_assert_eq!(flipped_bit(expected, expected, bytes.len() as u64), None);
            let bit = bit % (bytes.len() as u64 * 8);
            bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
            let located = flipped_bit(expected, crc32c(&bytes), bytes.len() as u64);
            prop_assert_eq!(located, Some((bit / 8, (bit % 8) as u8)));
        }
    }
}
