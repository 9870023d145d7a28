//! gzip, as Java's `GZIPOutputStream` writes it; several members after one another are read too.

use std::io::{Read, Write};

use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;

use super::{Buffer, Fault, invalid_level};
use crate::error::{Error, Result};

pub(super) fn level(level: Option<i32>) -> Result<u32> {
    match level {
        // -1 is Kafka's way to say "default".
        None | Some(-1) => Ok(6),
        Some(level @ 1..=9) => Ok(level as u32),
        Some(level) => Err(invalid_level("gzip", level, "1 to 9")),
    }
}

pub(super) fn compress(level: u32, input: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let mut encoder = GzEncoder::new(out, flate2::Compression::new(level));
    encoder
        .write_all(input)
        .and_then(|()| encoder.finish().map(drop))
        .map_err(|error| Error::Compression { codec: "gzip", reason: error.to_string() })
}

pub(super) fn decompress(input: &[u8], out: &mut Buffer) -> Result<(), Fault> {
    let mut decoder = MultiGzDecoder::new(input);
    loop {
        // One byte beyond the limit, so that "exactly full" and "too large" can be told apart.
        let room = out.room_with_slack(1.min(out.allowance()), 1)?;
        let read = decoder.read(room).map_err(Fault::malformed)?;
        if read == 0 {
            return Ok(());
        }
        out.advance(read)?;
    }
}
