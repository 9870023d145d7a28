//! Any bytes, taken as what a client sends: batches one after another.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use riverrun_log_store::{Batch, Decompressor, HEADER_LEN};

fuzz_target!(|data: &[u8]| {
    let mut decompressor = Decompressor::with_limit(1 << 20);
    let mut rest = Bytes::copy_from_slice(data);
    while let Ok(batch) = Batch::parse_first(&mut rest) {
        assert_eq!(batch.header().encode(), batch.bytes()[..HEADER_LEN]);
        let _ = batch.verify_crc();
        let _ = batch.control_marker();
        let Ok(records) = batch.records(&mut decompressor) else { continue };
        assert!(records.payload().len() <= 1 << 20 || records.payload().len() < data.len());
        for record in records.iter().map_while(Result::ok) {
            assert!((batch.base_offset()..=batch.last_offset()).contains(&record.offset));
            assert_eq!(record.headers.iter().count(), record.headers.len());
        }
    }
});
