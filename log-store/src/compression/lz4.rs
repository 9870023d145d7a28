//! LZ4 frames through the C library, which is faster than any other implementation.
//!
//! We write one frame a batch, of independent blocks (Java reads no others), with its content size
//! and without checksums of its own, since the batch has one. We read every frame that the format
//! allows. Both ways the library works straight between input and output: [`Encoder`] has it flush
//! every block, [`Decoder`] leaves room for one block more than the content takes.

use std::ffi::CStr;
use std::ptr;

use lz4::liblz4::{
    BlockChecksum, BlockMode, BlockSize, ContentChecksum, FrameType, LZ4F_VERSION,
    LZ4F_compressBegin, LZ4F_compressBound, LZ4F_compressEnd, LZ4F_compressUpdate,
    LZ4F_createCompressionContext, LZ4F_createDecompressionContext, LZ4F_decompress,
    LZ4F_freeCompressionContext, LZ4F_freeDecompressionContext, LZ4F_getErrorName, LZ4F_isError,
    LZ4F_resetDecompressionContext, LZ4FCompressionContext, LZ4FDecompressionContext,
    LZ4FFrameInfo, LZ4FPreferences,
};

use super::{Buffer, Fault, invalid_level};
use crate::error::{Error, Result};

/// Longest frame header, in bytes.
const MAX_HEADER: usize = 19;
/// Largest block that the format allows.
const MAX_BLOCK: usize = 4 << 20;
/// LZ4 makes at most 255 bytes out of one.
const MAX_EXPANSION: usize = 255;

/// A compression context, used again for every batch.
pub(super) struct Encoder {
    context: LZ4FCompressionContext,
    level: i32,
}

impl Encoder {
    pub(super) fn new(level: Option<i32>) -> Result<Encoder> {
        let level = level.unwrap_or(0);
        if !(-65_537..=17).contains(&level) {
            return Err(invalid_level("lz4", level, "-65537 to 17"));
        }
        let mut context = LZ4FCompressionContext(ptr::null_mut());
        // SAFETY: `context` is a valid place for the new context's address.
        check(unsafe { LZ4F_createCompressionContext(&mut context, LZ4F_VERSION) })
            .map_err(failure)?;
        Ok(Encoder { context, level })
    }

    pub(super) fn compress(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let preferences = LZ4FPreferences {
            frame_info: LZ4FFrameInfo {
                block_size_id: block_size(input.len()),
                block_mode: BlockMode::Independent,
                content_checksum_flag: ContentChecksum::NoChecksum,
                frame_type: FrameType::Frame,
                content_size: input.len() as u64,
                dict_id: 0,
                block_checksum_flag: BlockChecksum::NoBlockChecksum,
            },
            // The library's type is signed; the binding says otherwise.
            compression_level: self.level as u32,
            auto_flush: 1,
            favor_dec_speed: 0,
            reserved: [0; 3],
        };
        // SAFETY: reads `preferences` only.
        let bound = MAX_HEADER + unsafe { LZ4F_compressBound(input.len(), &preferences) };
        out.reserve(bound);
        let mut written = 0;
        // SAFETY: each call gets the room that is left of `bound`, which is reserved behind
        // `out.len()`, and returns how much of it is initialised; `context` lives as long as `self`.
        unsafe {
            let to = out.as_mut_ptr().add(out.len());
            written += check(LZ4F_compressBegin(self.context, to, bound, &preferences))
                .map_err(failure)?;
            written += check(LZ4F_compressUpdate(
                self.context,
                to.add(written),
                bound - written,
                input.as_ptr(),
                input.len(),
                ptr::null(),
            ))
            .map_err(failure)?;
            written += check(LZ4F_compressEnd(
                self.context,
                to.add(written),
                bound - written,
                ptr::null(),
            ))
            .map_err(failure)?;
            out.set_len(out.len() + written);
        }
        Ok(())
    }
}

/// The smallest block size that takes the batch whole, up to 1 MiB: larger blocks gain nothing, and
/// readers reserve memory for the size that the frame names.
fn block_size(content: usize) -> BlockSize {
    match content {
        0..=0x1_0000 => BlockSize::Max64KB,
        0x1_0001..=0x4_0000 => BlockSize::Max256KB,
        _ => BlockSize::Max1MB,
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // SAFETY: the context was created by `new` and is not used again.
        unsafe { LZ4F_freeCompressionContext(self.context) };
    }
}

// SAFETY: `&Encoder` offers nothing that touches the context.
unsafe impl Sync for Encoder {}

/// A decompression context, used again for every batch.
pub(super) struct Decoder {
    context: LZ4FDecompressionContext,
}

impl Decoder {
    /// The decoder in `slot`, made when it is first needed.
    pub(super) fn get(slot: &mut Option<Decoder>) -> Result<&mut Decoder, Fault> {
        match slot {
            Some(decoder) => Ok(decoder),
            None => Ok(slot.insert(Decoder::new()?)),
        }
    }

    fn new() -> Result<Decoder, Fault> {
        let mut context = LZ4FDecompressionContext(ptr::null_mut());
        // SAFETY: `context` is a valid place for the new context's address.
        check(unsafe { LZ4F_createDecompressionContext(&mut context, LZ4F_VERSION) })
            .map_err(Fault::malformed)?;
        Ok(Decoder { context })
    }

    pub(super) fn decompress(&mut self, input: &[u8], out: &mut Buffer) -> Result<(), Fault> {
        // SAFETY: the context is valid; whatever became of the batch before, it begins anew.
        unsafe { LZ4F_resetDecompressionContext(self.context) };
        let (content, slack) = expected_room(input, out.allowance())?;
        let (mut from, mut want) = (input, content);
        loop {
            let room = out.room_with_slack(want, slack)?;
            let (mut written, mut read) = (room.len(), from.len());
            // SAFETY: the pointers come with their lengths; `written` bytes of `room` are set.
            let state = check(unsafe {
                LZ4F_decompress(
                    self.context,
                    room.as_mut_ptr(),
                    &mut written,
                    from.as_ptr(),
                    &mut read,
                    ptr::null(),
                )
            })
            .map_err(Fault::malformed)?;
            let full = written == room.len();
            out.advance(written)?;
            from = &from[read..];
            // A state of zero is the end of a frame; anything behind it must be another.
            match (state, from.is_empty()) {
                (0, true) => return Ok(()),
                (_, true) if !full => {
                    return Err(Fault::malformed("the bytes end in the middle of a frame"));
                }
                _ if read == 0 && written == 0 && !full => {
                    return Err(Fault::malformed("the frame makes no progress"));
                }
                _ => want = usize::from(full),
            }
        }
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: the context was created by `new` and is not used again.
        unsafe { LZ4F_freeDecompressionContext(self.context) };
    }
}

// SAFETY: `&Decoder` offers nothing that touches the context.
unsafe impl Sync for Decoder {}

/// How much room to offer at first: the content's size, or a guess; and the block size on top,
/// because the library decodes straight into the output only where a whole block fits.
fn expected_room(input: &[u8], allowance: usize) -> Result<(usize, usize), Fault> {
    let guess = (input.len().saturating_mul(4).min(allowance), 64 << 10);
    let [0x04, 0x22, 0x4d, 0x18, flags, descriptor, rest @ ..] = input else {
        return Ok(guess);
    };
    let block = 1 << (8 + 2 * u32::from(descriptor >> 4 & 0x07)).clamp(16, 22);
    let slack = MAX_BLOCK.min(block);
    let content = match rest.first_chunk::<8>() {
        Some(size) if flags & 0x08 != 0 => u64::from_le_bytes(*size),
        _ => return Ok((guess.0, slack)),
    };
    if content > (input.len() as u64).saturating_mul(MAX_EXPANSION as u64) {
        return Err(Fault::malformed("the frame claims more than its bytes can hold"));
    }
    Ok((usize::try_from(content).map_err(|_| Fault::TooLarge)?, slack))
}

/// The library's result: a size, or an error in words.
fn check(code: usize) -> Result<usize, String> {
    // SAFETY: the first is a pure function of the code, the second returns a static string.
    unsafe {
        if LZ4F_isError(code) == 0 {
            return Ok(code);
        }
        Err(CStr::from_ptr(LZ4F_getErrorName(code)).to_string_lossy().into_owned())
    }
}

fn failure(reason: String) -> Error {
    Error::Compression { codec: "lz4", reason }
}
