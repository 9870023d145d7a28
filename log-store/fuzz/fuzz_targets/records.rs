//! Any bytes as the records of an otherwise sound batch, so that the walk is reached at once. The
//! first two bytes are the records count.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use riverrun_log_store::{Batch, BatchBuilder, Compression, Decompressor, HEADER_LEN};

fuzz_target!(|data: &[u8]| {
    let Some((count, payload)) = data.split_first_chunk::<2>() else { return };
    let count = i32::from(u16::from_be_bytes(*count));
    let mut builder = BatchBuilder::new(Compression::None).expect("a builder");
    builder.append(0, None, None, &[]).expect("fits");
    let mut bytes = builder.finish().expect("a batch");
    bytes.truncate(HEADER_LEN);
    bytes.extend_from_slice(payload);
    let length = bytes.len() as i32 - 12;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    bytes[23..27].copy_from_slice(&count.to_be_bytes());
    bytes[57..61].copy_from_slice(&count.to_be_bytes());

    let batch = Batch::parse(Bytes::from(bytes)).expect("sound lengths");
    let records = batch.records(&mut Decompressor::new()).expect("not compressed");
    let sound = records.iter().take_while(Result::is_ok).count();
    let mut walked = 0;
    let complete = records.for_each(|_| walked += 1).is_ok();
    assert_eq!(sound, walked);
    assert!(!complete || sound == records.len());
});
