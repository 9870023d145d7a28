//! Zstandard frames, with or without a content size; several after one another are read too.

use zstd::zstd_safe::{
    CCtx, CParameter, DCtx, InBuffer, OutBuffer, ResetDirective, compress_bound, get_error_name,
    get_frame_content_size, max_c_level, min_c_level, zstd_sys::ZSTD_EndDirective,
};

use super::{Buffer, Fault, invalid_level};
use crate::error::{Error, Result};

/// Kafka's default.
const DEFAULT_LEVEL: i32 = 3;

/// A compression context, used again for every batch.
pub(super) struct Encoder {
    context: CCtx<'static>,
}

impl Encoder {
    pub(super) fn new(level: Option<i32>) -> Result<Encoder> {
        let level = level.unwrap_or(DEFAULT_LEVEL);
        let (min, max) = (min_c_level(), max_c_level());
        if !(min..=max).contains(&level) {
            return Err(invalid_level("zstd", level, &format!("{min} to {max}")));
        }
        let mut context = CCtx::try_create().ok_or_else(|| failure("no memory for a context"))?;
        context
            .set_parameter(CParameter::CompressionLevel(level))
            .map_err(|code| failure(get_error_name(code)))?;
        Ok(Encoder { context })
    }

    pub(super) fn compress(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        out.reserve(compress_bound(input.len()));
        let mut to = OutBuffer::around_pos(out, start);
        let mut from = InBuffer::around(input);
        // With all input and enough room at hand this is one step, and the frame tells its size.
        let left = self
            .context
            .compress_stream2(&mut to, &mut from, ZSTD_EndDirective::ZSTD_e_end)
            .map_err(|code| failure(get_error_name(code)))?;
        if left != 0 {
            return Err(failure("the frame outgrew its bound"));
        }
        Ok(())
    }
}

fn failure(reason: &str) -> Error {
    Error::Compression { codec: "zstd", reason: reason.to_string() }
}

/// A decompression context, used again for every batch.
pub(super) struct Decoder {
    context: DCtx<'static>,
}

impl Decoder {
    /// The decoder in `slot`, made when it is first needed.
    pub(super) fn get(slot: &mut Option<Decoder>) -> Result<&mut Decoder, Fault> {
        match slot {
            Some(decoder) => Ok(decoder),
            None => {
                let context = DCtx::try_create()
                    .ok_or_else(|| Fault::malformed("there is no memory for a context"))?;
                Ok(slot.insert(Decoder { context }))
            }
        }
    }

    pub(super) fn decompress(&mut self, input: &[u8], out: &mut Buffer) -> Result<(), Fault> {
        // Whatever became of the batch before.
        self.context
            .reset(ResetDirective::SessionOnly)
            .map_err(|code| Fault::malformed(get_error_name(code)))?;
        let mut want = match get_frame_content_size(input) {
            Ok(Some(size)) => usize::try_from(size).map_err(|_| Fault::TooLarge)?,
            // Not told: begin with a guess and grow.
            Ok(None) => input.len().saturating_mul(4).min(out.allowance()),
            Err(error) => return Err(Fault::malformed(error)),
        };
        let mut from = InBuffer::around(input);
        loop {
            let room = out.room(want)?;
            let mut to = OutBuffer::around(room);
            let before = from.pos();
            let state = self
                .context
                .decompress_stream(&mut to, &mut from)
                .map_err(|code| Fault::malformed(get_error_name(code)))?;
            let (written, full) = (to.pos(), to.pos() == to.capacity());
            out.advance(written)?;
            let consumed = from.pos() == input.len();
            if state == 0 && consumed {
                return Ok(());
            }
            if consumed && !full {
                return Err(Fault::malformed("the bytes end in the middle of a frame"));
            }
            if written == 0 && from.pos() == before && !full {
                return Err(Fault::malformed("the frame makes no progress"));
            }
            want = usize::from(full);
        }
    }
}
