//! Snappy in the framing of xerial's `SnappyOutputStream`, which Java clients read and write; raw
//! snappy, which others write, is read too.
//!
//! ```text
//! 0x82 "SNAPPY" 0x00  version:i32  lowest_compatible_version:i32  (length:i32 raw_snappy)*
//! ```

use snap::raw;

use super::{Buffer, Fault};
use crate::error::{Error, Result};

const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const VERSION: i32 = 1;
/// Input bytes in a chunk, as in Java.
const CHUNK: usize = 32 << 10;
/// No snappy stream expands by more than this: its widest element makes 64 bytes out of two or more.
const MAX_EXPANSION: usize = 64;

/// Snappy's hash tables, used again for every batch.
pub(super) struct Encoder {
    encoder: raw::Encoder,
}

impl Encoder {
    pub(super) fn new() -> Encoder {
        Encoder { encoder: raw::Encoder::new() }
    }

    pub(super) fn compress(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_be_bytes());
        out.extend_from_slice(&VERSION.to_be_bytes());
        for chunk in input.chunks(CHUNK) {
            let start = out.len();
            out.resize(start + 4 + raw::max_compress_len(chunk.len()), 0);
            let length = self.encoder.compress(chunk, &mut out[start + 4..]).map_err(|error| {
                Error::Compression { codec: "snappy", reason: error.to_string() }
            })?;
            out[start..start + 4].copy_from_slice(&(length as i32).to_be_bytes());
            out.truncate(start + 4 + length);
        }
        Ok(())
    }
}

pub(super) fn decompress(input: &[u8], out: &mut Buffer) -> Result<(), Fault> {
    let Some(mut chunks) = input.strip_prefix(&MAGIC) else {
        return decompress_raw(input, out);
    };
    // Both version numbers; every version so far is compatible with version 1.
    let (_, compatible) = (take_i32(&mut chunks)?, take_i32(&mut chunks)?);
    if compatible > VERSION {
        return Err(Fault::Malformed(format!(
            "framing version {compatible} is not known, only {VERSION} is"
        )));
    }
    while !chunks.is_empty() {
        let length = usize::try_from(take_i32(&mut chunks)?)
            .map_err(|_| Fault::malformed("a chunk has a negative length"))?;
        let (chunk, rest) = chunks
            .split_at_checked(length)
            .ok_or_else(|| Fault::malformed("the bytes end in the middle of a chunk"))?;
        decompress_raw(chunk, out)?;
        chunks = rest;
    }
    Ok(())
}

fn decompress_raw(chunk: &[u8], out: &mut Buffer) -> Result<(), Fault> {
    let length = raw::decompress_len(chunk).map_err(Fault::malformed)?;
    // Before anything is reserved: the claim must be one that these bytes can keep.
    if length > chunk.len().saturating_mul(MAX_EXPANSION) {
        return Err(Fault::malformed("a chunk claims more than its bytes can hold"));
    }
    let room = out.room(length)?;
    let written = raw::Decoder::new().decompress(chunk, room).map_err(Fault::malformed)?;
    out.advance(written)
}

fn take_i32(input: &mut &[u8]) -> Result<i32, Fault> {
    let (bytes, rest) = input
        .split_first_chunk::<4>()
        .ok_or_else(|| Fault::malformed("the bytes end in the middle of a chunk's length"))?;
    *input = rest;
    Ok(i32::from_be_bytes(*bytes))
}
