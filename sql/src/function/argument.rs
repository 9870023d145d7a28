//! Arguments of a batch, row by row, without a copy: a column or one value for all rows.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMillisecondType};
use arrow_array::{Array, BinaryArray, PrimitiveArray, StringArray};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::ColumnarValue;

/// STRING values.
#[derive(Clone, Copy)]
pub(super) enum TextArgument<'a> {
    /// One for each row.
    Column(&'a StringArray),
    /// The same for all rows.
    Constant(Option<&'a str>),
}

impl<'a> TextArgument<'a> {
    pub(super) fn of(value: &'a ColumnarValue) -> Option<Self> {
        match value {
            ColumnarValue::Array(array) => array.as_string_opt().map(Self::Column),
            ColumnarValue::Scalar(ScalarValue::Utf8(text)) => Some(Self::Constant(text.as_deref())),
            ColumnarValue::Scalar(_) => None,
        }
    }

    /// The value of a row; `None` is NULL.
    #[inline]
    pub(super) fn get(&self, row: usize) -> Option<&'a str> {
        match self {
            Self::Column(array) => array.is_valid(row).then(|| array.value(row)),
            Self::Constant(text) => *text,
        }
    }
}

/// Values of STRING or BYTES, as bytes.
#[derive(Clone, Copy)]
pub(super) enum BytesArgument<'a> {
    /// A STRING for each row.
    Texts(&'a StringArray),
    /// BYTES for each row.
    Bytes(&'a BinaryArray),
    /// The same for all rows.
    Constant(Option<&'a [u8]>),
}

impl<'a> BytesArgument<'a> {
    pub(super) fn of(value: &'a ColumnarValue) -> Option<Self> {
        match value {
            ColumnarValue::Array(array) => array
                .as_string_opt()
                .map(Self::Texts)
                .or_else(|| array.as_binary_opt().map(Self::Bytes)),
            ColumnarValue::Scalar(ScalarValue::Utf8(text)) => {
                Some(Self::Constant(text.as_deref().map(str::as_bytes)))
            }
            ColumnarValue::Scalar(ScalarValue::Binary(bytes)) => {
                Some(Self::Constant(bytes.as_deref()))
            }
            ColumnarValue::Scalar(_) => None,
        }
    }

    /// The value of a row; `None` is NULL.
    #[inline]
    pub(super) fn get(&self, row: usize) -> Option<&'a [u8]> {
        match self {
            Self::Texts(array) => array.is_valid(row).then(|| array.value(row).as_bytes()),
            Self::Bytes(array) => array.is_valid(row).then(|| array.value(row)),
            Self::Constant(bytes) => *bytes,
        }
    }
}

macro_rules! primitive_argument {
    ($(#[$doc:meta])* $name:ident, $arrow:ty, $native:ty, $scalar:pat => $value:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub(super) enum $name<'a> {
            /// One for each row.
            Column(&'a PrimitiveArray<$arrow>),
            /// The same for all rows.
            Constant(Option<$native>),
        }

        impl<'a> $name<'a> {
            pub(super) fn of(value: &'a ColumnarValue) -> Option<Self> {
                match value {
                    ColumnarValue::Array(array) => array.as_primitive_opt().map(Self::Column),
                    ColumnarValue::Scalar($scalar) => Some(Self::Constant($value)),
                    ColumnarValue::Scalar(_) => None,
                }
            }

            /// The value of a row; `None` is NULL.
            #[inline]
            pub(super) fn get(&self, row: usize) -> Option<$native> {
                match self {
                    Self::Column(array) => array.is_valid(row).then(|| array.value(row)),
                    Self::Constant(value) => *value,
                }
            }
        }
    };
}

primitive_argument!(
    /// BIGINT values.
    IntArgument, Int64Type, i64, ScalarValue::Int64(value) => *value
);
primitive_argument!(
    /// DOUBLE values.
    NumberArgument, Float64Type, f64, ScalarValue::Float64(value) => *value
);
primitive_argument!(
    /// TIMESTAMP(3) and TIMESTAMP_LTZ(3) values, in milliseconds since 1970.
    TimeArgument, TimestampMillisecondType, i64, ScalarValue::TimestampMillisecond(value, _) => *value
);

impl IntArgument<'_> {
    /// The same value for all rows.
    pub(super) fn constant(value: Option<i64>) -> Self {
        Self::Constant(value)
    }
}
