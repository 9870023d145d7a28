//! Any bytes through each codec. The first byte chooses the codec.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use riverrun_log_store::{Compression, Decompressor};

fuzz_target!(|data: &[u8]| {
    let Some((codec, input)) = data.split_first() else { return };
    let codec = Compression::ALL[1 + usize::from(*codec) % 4];
    let limit = 1 << 20;
    let mut decompressor = Decompressor::with_limit(limit);
    if let Ok(output) = decompressor.decompress(codec, &Bytes::copy_from_slice(input)) {
        assert!(output.len() <= limit);
    }
});
