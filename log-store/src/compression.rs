//! The codecs of record batches: none, gzip, snappy, lz4, zstd.
//!
//! Each codec is a file with two functions, in the framing that Kafka's clients use. A
//! [`Decompressor`] decodes into pooled buffers: touching fresh memory costs more than decoding lz4
//! does. Decoding is bounded, whatever the bytes claim.

mod buffer;
mod gzip;
mod lz4;
mod snappy;
mod zstd;

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;

use crate::error::{Error, Result};
use buffer::{Buffer, BufferPool};

/// Largest decompressed size of a batch that a [`Decompressor`] accepts unless told otherwise, in
/// bytes: 64 MiB.
pub const DEFAULT_MAX_DECOMPRESSED: usize = 64 << 20;

/// How the records of a batch are compressed; the names and codes are Kafka's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Compression {
    /// As they are.
    #[default]
    None,
    /// Small and slow.
    Gzip,
    /// Google's Snappy in the framing of xerial's Java library.
    Snappy,
    /// The fastest: LZ4 frames.
    Lz4,
    /// The smallest at a good speed: Zstandard frames.
    Zstd,
}

impl Compression {
    /// Every codec, in the order of their codes.
    pub const ALL: [Compression; 5] = [
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ];

    /// Kafka's code, as it stands in the lowest three bits of a batch's attributes.
    pub fn code(self) -> i16 {
        self as i16
    }

    /// The codec of one of Kafka's codes; `None` if there is none.
    pub fn from_code(code: i16) -> Option<Compression> {
        Compression::ALL.get(usize::try_from(code).ok()?).copied()
    }

    /// Kafka's name, as in `compression.type`.
    pub fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Compression {
    type Err = Error;

    fn from_str(name: &str) -> Result<Compression> {
        Compression::ALL
            .into_iter()
            .find(|codec| codec.name() == name)
            .ok_or_else(|| Error::UnknownCompression { name: name.to_string() })
    }
}

/// Why bytes did not decode; becomes an [`Error`] once the codec's name is known.
#[derive(Debug)]
pub(crate) enum Fault {
    Malformed(String),
    TooLarge,
}

impl Fault {
    fn malformed(reason: impl fmt::Display) -> Fault {
        Fault::Malformed(reason.to_string())
    }
}

/// Decompresses batches into buffers that are used again: when the last reader of a decompressed
/// batch is gone, its buffer comes back.
///
/// A decompressor belongs to one thread at a time; what it hands out may go anywhere.
pub struct Decompressor {
    pool: BufferPool,
    limit: usize,
    lz4: Option<lz4::Decoder>,
    zstd: Option<zstd::Decoder>,
}

impl Decompressor {
    /// A decompressor that refuses batches of more than [`DEFAULT_MAX_DECOMPRESSED`] bytes.
    pub fn new() -> Decompressor {
        Decompressor::with_limit(DEFAULT_MAX_DECOMPRESSED)
    }

    /// A decompressor that refuses batches of more than `limit` bytes.
    pub fn with_limit(limit: usize) -> Decompressor {
        Decompressor { pool: BufferPool::default(), limit, lz4: None, zstd: None }
    }

    /// Decompresses `input`, which is the part of a batch that follows its header.
    ///
    /// Uncompressed input is handed back as it is.
    ///
    /// # Errors
    /// [`Error::Decompression`] if the bytes are not what `codec` writes, or end too early;
    /// [`Error::DecompressedTooLarge`] if they hold more than the limit.
    pub fn decompress(&mut self, codec: Compression, input: &Bytes) -> Result<Bytes> {
        if codec == Compression::None {
            return Ok(input.clone());
        }
        let mut out = Buffer::new(&self.pool, self.limit);
        let decoded = match codec {
            Compression::None => Ok(()),
            Compression::Gzip => gzip::decompress(input, &mut out),
            Compression::Snappy => snappy::decompress(input, &mut out),
            Compression::Lz4 => {
                lz4::Decoder::get(&mut self.lz4).and_then(|lz4| lz4.decompress(input, &mut out))
            }
            Compression::Zstd => {
                zstd::Decoder::get(&mut self.zstd).and_then(|zstd| zstd.decompress(input, &mut out))
            }
        };
        match decoded {
            Ok(()) => Ok(out.freeze()),
            Err(Fault::Malformed(reason)) => {
                Err(Error::Decompression { codec: codec.name(), reason })
            }
            Err(Fault::TooLarge) => {
                Err(Error::DecompressedTooLarge { codec: codec.name(), limit: self.limit })
            }
        }
    }
}

impl Default for Decompressor {
    fn default() -> Self {
        Decompressor::new()
    }
}

impl fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decompressor").field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// Compresses batches with one codec, keeping its context and tables from batch to batch.
pub(crate) struct Compressor {
    compression: Compression,
    codec: Codec,
}

enum Codec {
    None,
    Gzip(u32),
    Snappy(Box<snappy::Encoder>),
    Lz4(lz4::Encoder),
    Zstd(zstd::Encoder),
}

impl Compressor {
    /// `level` means what Kafka's `compression.{gzip,lz4,zstd}.level` mean; `None` is each codec's default.
    pub(crate) fn new(compression: Compression, level: Option<i32>) -> Result<Compressor> {
        let codec = match compression {
            Compression::None => Codec::None,
            Compression::Gzip => Codec::Gzip(gzip::level(level)?),
            Compression::Snappy => Codec::Snappy(Box::new(snappy::Encoder::new())),
            Compression::Lz4 => Codec::Lz4(lz4::Encoder::new(level)?),
            Compression::Zstd => Codec::Zstd(zstd::Encoder::new(level)?),
        };
        Ok(Compressor { compression, codec })
    }

    pub(crate) fn compression(&self) -> Compression {
        self.compression
    }

    /// Appends the compressed form of `input` to `out`.
    pub(crate) fn compress(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<()> {
        match &mut self.codec {
            Codec::None => {
                out.extend_from_slice(input);
                Ok(())
            }
            Codec::Gzip(level) => gzip::compress(*level, input, out),
            Codec::Snappy(encoder) => encoder.compress(input, out),
            Codec::Lz4(encoder) => encoder.compress(input, out),
            Codec::Zstd(encoder) => encoder.compress(input, out),
        }
    }
}

/// A level outside of what the codec knows.
fn invalid_level(codec: &str, level: i32, known: &str) -> Error {
    Error::InvalidConfig {
        key: format!("compression.{codec}.level"),
        value: level.to_string(),
        reason: format!("levels go from {known}"),
    }
}

#[cfg(test)]
mod tests;
