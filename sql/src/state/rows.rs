//! Columns to bytes and back.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_row::{RowConverter, Rows, SortField};
use arrow_schema::{DataType, SchemaRef, SortOptions};
use riverrun_dataflow::{Error, KeyGroup, Result, key_group_of, key_hash};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One row as bytes, owned. Rows of one codec compare as their columns do.
#[derive(Clone)]
pub struct RowBytes(Repr);

/// Most keys and many states are short: they need no memory of their own.
#[derive(Clone)]
enum Repr {
    /// The first `len` bytes of the array.
    Inline(u8, [u8; INLINE]),
    /// Longer ones.
    Heap(Box<[u8]>),
}

/// Up to this length bytes are kept in place: two BIGINT columns are 18 bytes.
const INLINE: usize = 22;

impl RowBytes {
    /// The bytes.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline(len, bytes) => &bytes[..usize::from(*len)],
            Repr::Heap(bytes) => bytes,
        }
    }

    /// Becomes these bytes.
    pub fn set(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Repr::Heap(old) if old.len() == bytes.len() => old.copy_from_slice(bytes),
            _ => *self = Self::from(bytes),
        }
    }

    /// Bytes of memory outside of the value itself.
    pub fn heap(&self) -> usize {
        match &self.0 {
            Repr::Inline(..) => 0,
            Repr::Heap(bytes) => bytes.len(),
        }
    }
}

impl From<&[u8]> for RowBytes {
    #[inline]
    fn from(bytes: &[u8]) -> Self {
        if bytes.len() > INLINE {
            return Self(Repr::Heap(bytes.into()));
        }
        let mut inline = [0; INLINE];
        inline[..bytes.len()].copy_from_slice(bytes);
        // At most INLINE, which is a small number.
        Self(Repr::Inline(bytes.len() as u8, inline))
    }
}

impl From<Vec<u8>> for RowBytes {
    fn from(bytes: Vec<u8>) -> Self {
        match bytes.len() {
            0..=INLINE => Self::from(bytes.as_slice()),
            _ => Self(Repr::Heap(bytes.into_boxed_slice())),
        }
    }
}

impl Borrow<[u8]> for RowBytes {
    fn borrow(&self) -> &[u8] {
        self.as_slice()
    }
}

impl AsRef<[u8]> for RowBytes {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl PartialEq for RowBytes {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for RowBytes {}

impl PartialOrd for RowBytes {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for RowBytes {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_slice().cmp(other.as_slice())
    }
}

// As `[u8]` hashes, so that a table can be asked with a slice.
impl std::hash::Hash for RowBytes {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_slice().hash(state);
    }
}

impl fmt::Debug for RowBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RowBytes({} bytes)", self.as_slice().len())
    }
}

impl Serialize for RowBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.as_slice())
    }
}

impl<'de> Deserialize<'de> for RowBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = RowBytes;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> std::result::Result<RowBytes, E> {
                Ok(RowBytes::from(bytes))
            }
            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> std::result::Result<RowBytes, E> {
                Ok(RowBytes::from(bytes))
            }
        }
        deserializer.deserialize_byte_buf(Visitor)
    }
}

/// The key group of a key row: that of the hash of its bytes as a [`RowBytes`] (or slice) key.
#[inline]
pub fn key_group_of_row(key: &[u8], key_groups: u16) -> KeyGroup {
    key_group_of(key_hash(key), key_groups)
}

/// Makes byte rows of columns of fixed types, and columns of byte rows.
///
/// Without columns every row is the same, empty one: the key of what has no key.
pub struct RowCodec {
    types: Vec<DataType>,
    converter: RowConverter,
}

impl RowCodec {
    /// A codec for columns of these types, in ascending order with nulls first.
    ///
    /// # Errors
    /// [`Error::Io`] naming `operator` if a type cannot be a row's (a MAP as a key, say).
    pub fn new(operator: &str, types: impl IntoIterator<Item = DataType>) -> Result<Self> {
        Self::ordered(operator, types.into_iter().map(|of| (of, SortOptions::default())))
    }

    /// A codec for columns of these types whose rows sort in this order.
    ///
    /// # Errors
    /// As [`RowCodec::new`].
    pub fn ordered(
        operator: &str,
        columns: impl IntoIterator<Item = (DataType, SortOptions)>,
    ) -> Result<Self> {
        let (mut types, mut fields) = (Vec::new(), Vec::new());
        for (of, order) in columns {
            types.push(of.clone());
            fields.push(SortField::new_with_options(of, order));
        }
        let converter = RowConverter::new(fields).map_err(|error| Error::io(operator, error))?;
        Ok(Self { types, converter })
    }

    /// A codec for the columns of a schema.
    ///
    /// # Errors
    /// As [`RowCodec::new`].
    pub fn of_schema(operator: &str, schema: &SchemaRef) -> Result<Self> {
        Self::new(operator, schema.fields().iter().map(|field| field.data_type().clone()))
    }

    /// The types of the columns.
    pub fn types(&self) -> &[DataType] {
        &self.types
    }

    /// The rows of columns, which must be `count` long and have the codec's types.
    ///
    /// # Errors
    /// [`Error::Io`] naming `operator` if the columns are not the codec's.
    pub fn encode(
        &self,
        operator: &str,
        columns: &[ArrayRef],
        count: usize,
    ) -> Result<EncodedRows> {
        if columns.is_empty() && self.types.is_empty() {
            return Ok(EncodedRows { rows: None, count });
        }
        let rows =
            self.converter.convert_columns(columns).map_err(|error| Error::io(operator, error))?;
        Ok(EncodedRows { rows: Some(rows), count })
    }

    /// The columns of rows that this codec (or one of the same types and order) made.
    ///
    /// # Errors
    /// [`Error::State`] naming `operator` if the rows are not the codec's.
    pub fn decode<'a>(
        &self,
        operator: &str,
        rows: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Vec<ArrayRef>> {
        if self.types.is_empty() {
            return Ok(Vec::new());
        }
        let parser = self.converter.parser();
        self.converter
            .convert_rows(rows.into_iter().map(|row| parser.parse(row)))
            .map_err(|error| Error::state(operator, error))
    }

    /// As [`RowCodec::decode`], as a batch of a schema with the codec's types. `count` is the number of rows.
    ///
    /// # Errors
    /// As [`RowCodec::decode`].
    pub fn decode_batch<'a>(
        &self,
        operator: &str,
        schema: &SchemaRef,
        rows: impl IntoIterator<Item = &'a [u8]>,
        count: usize,
    ) -> Result<RecordBatch> {
        let columns = self.decode(operator, rows)?;
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        RecordBatch::try_new_with_options(schema.clone(), columns, &options)
            .map_err(|error| Error::state(operator, error))
    }
}

/// Rows that a [`RowCodec`] made.
pub struct EncodedRows {
    rows: Option<Rows>,
    count: usize,
}

impl EncodedRows {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.count
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The bytes of a row.
    #[inline]
    pub fn row(&self, index: usize) -> &[u8] {
        self.rows.as_ref().map_or(&[], |rows| rows.row(index).data())
    }

    /// All rows in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.count).map(|index| self.row(index))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Int64Array, StringArray};

    use super::*;

    #[test]
    fn bytes_of_any_length_come_back() {
        let all: Vec<u8> = (0..100).collect();
        let mut other = RowBytes::from(&[][..]);
        for len in [0, 1, INLINE, INLINE + 1, 100, INLINE + 1, 3] {
            let bytes = &all[..len];
            other.set(bytes);
            for row in [RowBytes::from(bytes), RowBytes::from(bytes.to_vec()), other.clone()] {
                assert_eq!(row.as_slice(), bytes);
                assert_eq!(row.heap(), if len > INLINE { len } else { 0 });
                assert!(len == 0 || row > RowBytes::from(&all[..len - 1]));
            }
        }
        assert_eq!(size_of::<RowBytes>(), 24);
    }

    #[test]
    fn rows_come_back_and_sort_as_their_columns() {
        let codec = RowCodec::new("test", [DataType::Int64, DataType::Utf8]).unwrap();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(vec![Some(2), None, Some(-1)])),
            Arc::new(StringArray::from(vec![Some("b"), Some("a"), None])),
        ];
        let rows = codec.encode("test", &columns, 3).unwrap();
        assert!(rows.row(1) < rows.row(2) && rows.row(2) < rows.row(0));
        let kept: Vec<RowBytes> = rows.iter().map(RowBytes::from).collect();
        let bytes = riverrun_dataflow::codec::encode(&kept).unwrap();
        let back: Vec<RowBytes> = riverrun_dataflow::codec::decode(&bytes).unwrap();
        assert_eq!(codec.decode("test", back.iter().map(RowBytes::as_slice)).unwrap(), columns);
        assert_eq!(key_hash(&kept[0]), key_hash(kept[0].as_slice()));
    }

    #[test]
    fn without_columns_there_is_one_key() {
        let codec = RowCodec::new("test", []).unwrap();
        let rows = codec.encode("test", &[], 2).unwrap();
        assert_eq!((rows.len(), rows.row(0), rows.row(1)), (2, &[][..], &[][..]));
        assert!(codec.decode("test", rows.iter()).unwrap().is_empty());
    }
}
