//! The one place where rows, keys and state become bytes.
//!
//! Every encoded piece starts with a version byte, so that the encoding can be replaced. Version 1 is
//! bincode 2's standard configuration: little endian, variable-length integers.

use serde::{Serialize, de::DeserializeOwned};

const VERSION: u8 = 1;

/// Why bytes could not be decoded, or a value not be encoded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// Written by a newer version, or not by us at all.
    #[error("encoding version {0} is not known here (this version reads 1)")]
    Version(u8),
    /// There are no bytes.
    #[error("there are no bytes to decode")]
    Empty,
    /// The type cannot be encoded.
    #[error("cannot be encoded: {0}")]
    Encode(String),
    /// The bytes do not hold a value of the type.
    #[error("cannot be decoded: {0}")]
    Decode(String),
}

/// Appends the encoding of `value` to `out`.
pub fn encode_into<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
    out.push(VERSION);
    bincode::serde::encode_into_std_write(value, out, bincode::config::standard())
        .map(|_| ())
        .map_err(|e| CodecError::Encode(e.to_string()))
}

/// The encoding of `value`.
///
/// ```
/// use riverrun_dataflow::codec;
/// let bytes = codec::encode(&("a", 7u64)).unwrap();
/// assert_eq!(codec::decode::<(String, u64)>(&bytes).unwrap(), ("a".to_owned(), 7));
/// ```
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CodecError> {
    let mut out = Vec::with_capacity(32);
    encode_into(value, &mut out)?;
    Ok(out)
}

/// Decodes what [`encode`] wrote; all bytes must be used.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    match bytes.split_first() {
        None => Err(CodecError::Empty),
        Some((&VERSION, rest)) => {
            let config = bincode::config::standard();
            let (value, used) = bincode::serde::decode_from_slice(rest, config)
                .map_err(|e| CodecError::Decode(e.to_string()))?;
            if used != rest.len() {
                return Err(CodecError::Decode(format!("{} bytes left over", rest.len() - used)));
            }
            Ok(value)
        }
        Some((&other, _)) => Err(CodecError::Version(other)),
    }
}
