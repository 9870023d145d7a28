use bytes::Bytes;
use proptest::prelude::*;

use super::*;

const CODECS: [Compression; 4] =
    [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

fn compress(codec: Compression, input: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut compressor = Compressor::new(codec, None).expect("the default level is valid");
    compressor.compress(input, &mut out).expect("compressing does not fail");
    out
}

fn lines(bytes: usize) -> Vec<u8> {
    let mut text = Vec::new();
    let mut line = 0u32;
    while text.len() < bytes {
        line = line.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        text.extend_from_slice(
            format!("10.0.{}.{} GET /page/{} 200\n", line >> 24, line >> 16 & 255, line >> 20)
                .as_bytes(),
        );
    }
    text.truncate(bytes);
    text
}

/// Repetitive, random and mixed content of sizes around every block and chunk boundary.
fn content() -> impl Strategy<Value = Vec<u8>> {
    let size = prop_oneof![
        0..200usize,
        (32 << 10) - 2..(32 << 10) + 3usize,
        (64 << 10) - 2..(64 << 10) + 3usize,
        (256 << 10) - 2..(256 << 10) + 3usize,
    ];
    (size, any::<u64>(), 0..3u8).prop_map(|(size, seed, kind)| match kind {
        0 => vec![seed as u8; size],
        1 => {
            use rand::{RngCore, SeedableRng};
            let mut bytes = vec![0; size];
            rand::rngs::SmallRng::seed_from_u64(seed).fill_bytes(&mut bytes);
            bytes
        }
        _ => lines(size),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_codec_round_trips(input in content()) {
        let mut decompressor = Decompressor::new();
        for codec in Compression::ALL {
            let compressed = Bytes::from(compress(codec, &input));
            let output = decompressor.decompress(codec, &compressed).expect("decompresses");
            prop_assert!(output == input, "{codec} changed {} bytes", input.len());
        }
    }

    #[test]
    fn the_limit_is_exact(input in content()) {
        prop_assume!(!input.is_empty());
        for codec in CODECS {
            let compressed = Bytes::from(compress(codec, &input));
            let exact = Decompressor::with_limit(input.len()).decompress(codec, &compressed);
            prop_assert!(exact.is_ok_and(|output| output == input), "{codec}: {}", input.len());
            let short = Decompressor::with_limit(input.len() - 1).decompress(codec, &compressed);
            prop_assert!(
                matches!(short, Err(Error::DecompressedTooLarge { .. })),
                "{codec} at {}: {short:?}", input.len()
            );
        }
    }

    #[test]
    fn cut_input_is_refused(input in content(), cut in any::<prop::sample::Index>()) {
        prop_assume!(!input.is_empty());
        for codec in CODECS {
            let compressed = Bytes::from(compress(codec, &input));
            let cut = compressed.slice(..cut.index(compressed.len()));
            if let Ok(output) = Decompressor::new().decompress(codec, &cut) {
                // xerial's framing knows no end: a cut between two chunks cannot be seen here. The
                // batch's length, checksum and records count show it.
                prop_assert!(codec == Compression::Snappy, "{codec} took a cut stream");
                prop_assert!(input.starts_with(&output));
            }
        }
    }

    #[test]
    fn damaged_input_neither_panics_nor_outgrows_the_limit(
        input in content(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8u32), 1..4),
    ) {
        let limit = 1 << 20;
        let mut decompressor = Decompressor::with_limit(limit);
        for codec in CODECS {
            let mut compressed = compress(codec, &input);
            for (at, bit) in &flips {
                let at = at.index(compressed.len());
                compressed[at] ^= 1 << bit;
            }
            if let Ok(output) = decompressor.decompress(codec, &Bytes::from(compressed)) {
                prop_assert!(output.len() <= limit);
            }
            // It still works after whatever that was.
            let sound = Bytes::from(compress(codec, &input));
            prop_assert!(decompressor.decompress(codec, &sound).is_ok_and(|out| out == input));
        }
    }

    #[test]
    fn arbitrary_input_neither_panics_nor_outgrows_the_limit(
        input in prop::collection::vec(any::<u8>(), 0..300),
        codec in 0..4usize,
        with_magic: bool,
    ) {
        let mut bytes = Vec::new();
        if with_magic {
            bytes.extend_from_slice(match CODECS[codec] {
                Compression::Gzip => b"\x1f\x8b\x08",
                Compression::Snappy => b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01",
                Compression::Lz4 => b"\x04\x22\x4d\x18",
                _ => b"\x28\xb5\x2f\xfd",
            });
        }
        bytes.extend_from_slice(&input);
        let mut decompressor = Decompressor::with_limit(1 << 16);
        if let Ok(output) = decompressor.decompress(CODECS[codec], &Bytes::from(bytes)) {
            prop_assert!(output.len() <= 1 << 16);
        }
    }
}

#[test]
fn large_content_of_many_blocks_round_trips() {
    let input = lines(5 << 20);
    for codec in CODECS {
        let compressed = Bytes::from(compress(codec, &input));
        assert!(compressed.len() < input.len() / 2, "{codec} does not compress");
        let output = Decompressor::new().decompress(codec, &compressed).expect("decompresses");
        assert!(output == input, "{codec} changed the content");
    }
}

#[test]
fn every_level_round_trips_and_others_are_refused() {
    let input = lines(100_000);
    let levels = [
        (Compression::Gzip, vec![-1, 1, 9], vec![0, 10]),
        (Compression::Lz4, vec![-5, 0, 1, 9, 17], vec![18]),
        (Compression::Zstd, vec![-7, 1, 19], vec![23]),
    ];
    for (codec, valid, invalid) in levels {
        for level in valid {
            let mut out = Vec::new();
            let mut compressor = Compressor::new(codec, Some(level)).expect("a valid level");
            compressor.compress(&input, &mut out).expect("compresses");
            let output = Decompressor::new().decompress(codec, &out.into()).expect("decompresses");
            assert!(output == input, "{codec} at level {level}");
        }
        for level in invalid {
            let refused = Compressor::new(codec, Some(level)).map(drop);
            assert!(matches!(refused, Err(Error::InvalidConfig { .. })), "{codec} {level}");
        }
    }
}

#[test]
fn names_and_codes_are_kafkas() {
    let names: Vec<_> = Compression::ALL.iter().map(Compression::to_string).collect();
    assert_eq!(names, ["none", "gzip", "snappy", "lz4", "zstd"]);
    for (code, codec) in (0..).zip(Compression::ALL) {
        assert_eq!(codec.code(), code);
        assert_eq!(Compression::from_code(code), Some(codec));
        assert_eq!(codec.name().parse::<Compression>().ok(), Some(codec));
    }
    assert_eq!(Compression::from_code(5), None);
    assert_eq!(Compression::from_code(-1), None);
    assert!("lzo".parse::<Compression>().is_err_and(|error| error.to_string().contains("`lzo`")));
}

#[test]
fn a_buffer_comes_back_when_its_last_reader_is_gone() {
    let mut decompressor = Decompressor::new();
    let compressed = Bytes::from(compress(Compression::Lz4, &lines(10_000)));
    let first = decompressor.decompress(Compression::Lz4, &compressed).expect("decompresses");
    let part = first.slice(100..200);
    let address = first.as_ptr();
    drop(first);
    assert_eq!(decompressor.pool.idle(), 0, "a reader still holds a part");
    drop(part);
    assert_eq!(decompressor.pool.idle(), 1);
    let second = decompressor.decompress(Compression::Lz4, &compressed).expect("decompresses");
    assert_eq!(second.as_ptr(), address);
}

#[test]
fn uncompressed_input_is_shared() {
    let input = Bytes::from_static(b"as it is");
    let output = Decompressor::new().decompress(Compression::None, &input).expect("shared");
    assert_eq!(output.as_ptr(), input.as_ptr());
}

/// A frame as librdkafka and lz4's own tools write it: linked blocks, a checksum over the content and
/// each block, no content size.
#[test]
fn foreign_lz4_frames_are_read() {
    use std::io::Write;
    let input = lines(300_000);
    for linked in [::lz4::BlockMode::Linked, ::lz4::BlockMode::Independent] {
        let mut encoder = ::lz4::EncoderBuilder::new()
            .block_mode(linked.clone())
            .block_size(::lz4::BlockSize::Max64KB)
            .checksum(::lz4::ContentChecksum::ChecksumEnabled)
            .build(Vec::new())
            .expect("an encoder");
        encoder.write_all(&input).expect("writes to memory");
        let (mut frame, done) = encoder.finish();
        done.expect("a finished frame");
        let once = Bytes::from(frame.clone());
        let output = Decompressor::new().decompress(Compression::Lz4, &once).expect("decodes");
        assert!(output == input);

        // Two frames after one another are one content.
        frame.extend_from_slice(&compress(Compression::Lz4, b"and more"));
        let twice = Bytes::from(frame.clone());
        let output = Decompressor::new().decompress(Compression::Lz4, &twice).expect("decodes");
        assert!(output.len() == input.len() + 8 && output.ends_with(b"and more"));

        // A wrong content checksum is seen.
        let end = once.len() - 1;
        let mut wrong = once.to_vec();
        wrong[end] ^= 1;
        let refused = Decompressor::new().decompress(Compression::Lz4, &wrong.into());
        assert!(matches!(refused, Err(Error::Decompression { codec: "lz4", .. })));
    }
}

/// The exact bytes that Java's reader relies on: version 1, independent blocks, a content size.
#[test]
fn our_lz4_frame_is_what_java_reads() {
    let frame = compress(Compression::Lz4, b"hello hello hello hello");
    assert_eq!(frame[..4], [0x04, 0x22, 0x4d, 0x18]);
    assert_eq!(frame[4] >> 6, 1, "version");
    assert_eq!(frame[4] & 0x20, 0x20, "independent blocks");
    assert_eq!(frame[4] & 0x14, 0, "no checksums of its own");
    assert_eq!(frame[4] & 0x08, 0x08, "content size");
    assert_eq!(frame[5], 4 << 4, "blocks of 64 KiB");
    assert_eq!(frame[6..14], 23u64.to_le_bytes());
    assert!(frame.ends_with(&[0; 4]), "end mark");
}

#[test]
fn zstd_without_a_content_size_is_read() {
    use std::io::Write;
    let input = lines(700_000);
    // Java streams, so its frames do not tell their size.
    let mut encoder = ::zstd::stream::write::Encoder::new(Vec::new(), 3).expect("an encoder");
    encoder.write_all(&input).expect("writes to memory");
    let frame = Bytes::from(encoder.finish().expect("a finished frame"));
    let output = Decompressor::new().decompress(Compression::Zstd, &frame).expect("decodes");
    assert!(output == input);
    let bounded = Decompressor::with_limit(input.len() - 1).decompress(Compression::Zstd, &frame);
    assert!(matches!(bounded, Err(Error::DecompressedTooLarge { codec: "zstd", .. })));
}

#[test]
fn raw_snappy_is_read_and_xerials_framing_written() {
    let input = lines(100_000);
    let raw = snap::raw::Encoder::new().compress_vec(&input).expect("compresses");
    let output = Decompressor::new().decompress(Compression::Snappy, &raw.into());
    assert!(output.is_ok_and(|output| output == input));

    let framed = compress(Compression::Snappy, &input);
    assert_eq!(framed[..16], *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01");
    // Chunks of 32 KiB of content, as Java's: the first one's own length says so.
    assert_eq!(snap::raw::decompress_len(&framed[20..]).ok(), Some(32 << 10));
}

#[test]
fn claims_are_checked_before_memory_is_reserved() {
    // Raw snappy that claims 4 GiB - 1, an lz4 frame and a zstd frame that claim 60 MiB.
    let snappy = vec![0xff, 0xff, 0xff, 0xff, 0x0f, 0x00];
    let mut lz4 = compress(Compression::Lz4, b"small");
    // A frame header's checksum is of the claim too, so take a frame of that size and cut it short.
    let zeros = compress(Compression::Lz4, &vec![0; 60 << 20]);
    lz4.splice(..15, zeros[..15].iter().copied());
    for (codec, bytes) in [(Compression::Snappy, snappy), (Compression::Lz4, lz4)] {
        let mut decompressor = Decompressor::new();
        let refused = decompressor.decompress(codec, &Bytes::from(bytes));
        assert!(matches!(refused, Err(Error::Decompression { .. })), "{codec}: {refused:?}");
        assert_eq!(decompressor.pool.idle(), 0, "{codec} reserved memory for a false claim");
    }
}
