//! Digests, and bytes as text: hexadecimal, base 64, binary.

use std::fmt::Write;
use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::builder::{BinaryBuilder, StringBuilder};
use arrow_schema::DataType;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::ScalarUDF;
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use super::argument::{BytesArgument, IntArgument};
use super::registry::FunctionContext;
use super::scalar::{Call, Returns, Scalar, any, int, text, text_or_bytes};
use super::text::written;

fn hex(bytes: &[u8], out: &mut StringBuilder, digits: &[u8; 16]) -> Result<()> {
    for byte in bytes {
        out.write_char(char::from(digits[usize::from(byte >> 4)]))?;
        out.write_char(char::from(digits[usize::from(byte & 15)]))?;
    }
    Ok(())
}

fn bytes<'a>(call: &Call<'a>, index: usize) -> Result<BytesArgument<'a>> {
    BytesArgument::of(call.value(index))
        .ok_or_else(|| call.wrong(index, "is neither STRING nor BYTES"))
}

/// The digest of an argument, in lower case hexadecimal digits.
fn digest<D: Digest>(call: &Call<'_>) -> Result<ArrayRef> {
    let inputs = bytes(call, 0)?;
    written(call, |row, out| {
        let Some(input) = inputs.get(row) else { return Ok(false) };
        hex(&D::digest(input), out, b"0123456789abcdef")?;
        Ok(true)
    })
}

fn sha2(call: &Call<'_>) -> Result<ArrayRef> {
    match call.int(1)? {
        IntArgument::Constant(Some(224)) => digest::<Sha224>(call),
        IntArgument::Constant(Some(0 | 256)) => digest::<Sha256>(call),
        IntArgument::Constant(Some(384)) => digest::<Sha384>(call),
        IntArgument::Constant(Some(512)) => digest::<Sha512>(call),
        IntArgument::Constant(None) => written(call, |_, _| Ok(false)),
        _ => Err(call.wrong(1, "must be one of the constants 224, 256, 384 and 512")),
    }
}

fn to_base64(call: &Call<'_>) -> Result<ArrayRef> {
    let inputs = bytes(call, 0)?;
    let mut encoded = String::new();
    written(call, |row, out| {
        let Some(input) = inputs.get(row) else { return Ok(false) };
        encoded.clear();
        STANDARD.encode_string(input, &mut encoded);
        out.write_str(&encoded)?;
        Ok(true)
    })
}

fn from_base64(call: &Call<'_>) -> Result<ArrayRef> {
    let inputs = call.text(0)?;
    let mut decoded = Vec::new();
    written(call, |row, out| {
        let Some(input) = inputs.get(row) else { return Ok(false) };
        decoded.clear();
        STANDARD
            .decode_vec(input, &mut decoded)
            .map_err(|error| call.wrong(0, format!("'{input}' is not base 64: {error}")))?;
        out.write_str(&String::from_utf8_lossy(&decoded))?;
        Ok(true)
    })
}

fn hex_of(call: &Call<'_>) -> Result<ArrayRef> {
    if let Some(inputs) = BytesArgument::of(call.value(0)) {
        return written(call, |row, out| {
            let Some(input) = inputs.get(row) else { return Ok(false) };
            hex(input, out, b"0123456789ABCDEF")?;
            Ok(true)
        });
    }
    let numbers = call.value(0).cast_to(&DataType::Int64, None)?;
    let numbers = IntArgument::of(&numbers)
        .ok_or_else(|| call.wrong(0, "is neither an integer nor STRING nor BYTES"))?;
    written(call, |row, out| {
        let Some(number) = numbers.get(row) else { return Ok(false) };
        write!(out, "{number:X}")?;
        Ok(true)
    })
}

/// A nibble of a hexadecimal digit.
fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// The bytes behind hexadecimal digits; an odd number of them begins with half a byte.
fn unhexed(digits: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (half, whole) = digits.split_at(digits.len() % 2);
    if let [digit] = half {
        out.push(nibble(*digit)?);
    }
    for pair in whole.chunks_exact(2) {
        out.push(nibble(pair[0])? << 4 | nibble(pair[1])?);
    }
    Some(())
}

fn unhex(call: &Call<'_>) -> Result<ArrayRef> {
    let inputs = call.text(0)?;
    let mut decoded = Vec::new();
    let mut out = BinaryBuilder::with_capacity(call.rows, call.rows * 16);
    for row in 0..call.rows {
        decoded.clear();
        match inputs.get(row).and_then(|input| unhexed(input.as_bytes(), &mut decoded)) {
            Some(()) => out.append_value(&decoded),
            None => out.append_null(),
        }
    }
    Ok(Arc::new(out.finish()))
}

fn bin(call: &Call<'_>) -> Result<ArrayRef> {
    let numbers = call.int(0)?;
    written(call, |row, out| {
        let Some(number) = numbers.get(row) else { return Ok(false) };
        write!(out, "{number:b}")?;
        Ok(true)
    })
}

fn hex_type(given: &[DataType]) -> Result<DataType> {
    match given {
        [one]
            if one.is_integer()
                || matches!(one, DataType::Utf8 | DataType::Binary | DataType::Null) =>
        {
            Ok(DataType::Utf8)
        }
        [one] => plan_err!(
            "HEX: argument 1 (value) is {}, expected an integer, STRING or BYTES",
            super::type_name(one)
        ),
        _ => plan_err!("HEX takes one argument"),
    }
}

/// The functions of this file.
pub(super) fn functions(context: &Arc<FunctionContext>) -> Vec<Arc<ScalarUDF>> {
    let of_bytes = |name, evaluate| {
        Scalar::new(name, [text_or_bytes("value")], Returns::TEXT, evaluate).build(&[], context)
    };
    let mut functions = vec![
        of_bytes("md5", digest::<Md5>),
        of_bytes("sha1", digest::<Sha1>),
        of_bytes("sha224", digest::<Sha224>),
        of_bytes("sha256", digest::<Sha256>),
        of_bytes("sha384", digest::<Sha384>),
        of_bytes("sha512", digest::<Sha512>),
        of_bytes("to_base64", to_base64),
    ];
    functions.extend([
        Scalar::new("sha2", [text_or_bytes("value"), int("bits")], Returns::TEXT, sha2)
            .build(&[], context),
        Scalar::new("from_base64", [text("string")], Returns::TEXT, from_base64)
            .build(&[], context),
        Scalar::new("hex", [any("value")], Returns::Of(hex_type), hex_of)
            .build(&["to_hex"], context),
        Scalar::new("unhex", [text("digits")], Returns::BYTES, unhex).build(&[], context),
        Scalar::new("bin", [int("number")], Returns::TEXT, bin).build(&[], context),
    ]);
    functions
}
