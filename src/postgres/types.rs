//! Which PostgreSQL type stands for which column type.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema};
use pgwire::api::Type;
use pgwire::api::portal::Format;
use pgwire::api::results::{FieldFormat, FieldInfo};

/// The PostgreSQL type of a column. Rows, maps, and arrays of them are JSON; what PostgreSQL lacks is the next larger type
/// that holds every value.
pub(super) fn postgres_type(data_type: &DataType) -> Type {
    match data_type {
        DataType::Boolean => Type::BOOL,
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => Type::INT2,
        DataType::Int32 | DataType::UInt16 => Type::INT4,
        DataType::Int64 => Type::INT8,
        // Results of queries have none: ids of the catalog's objects do.
        DataType::UInt32 => Type::OID,
        DataType::UInt64 | DataType::Decimal128(..) | DataType::Decimal256(..) => Type::NUMERIC,
        DataType::Float32 => Type::FLOAT4,
        DataType::Float64 => Type::FLOAT8,
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => Type::BYTEA,
        DataType::Date32 | DataType::Date64 => Type::DATE,
        DataType::Time32(_) | DataType::Time64(_) => Type::TIME,
        DataType::Timestamp(_, None) => Type::TIMESTAMP,
        DataType::Timestamp(_, Some(_)) => Type::TIMESTAMPTZ,
        DataType::Interval(_) | DataType::Duration(_) => Type::INTERVAL,
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            array_of(&postgres_type(item.data_type()))
        }
        DataType::Struct(_) | DataType::Map(..) => Type::JSON,
        DataType::Dictionary(_, value) => postgres_type(value),
        // STRING, and what can only be shown as text.
        _ => Type::TEXT,
    }
}

/// The type of arrays of a type; arrays of what has none are JSON.
pub(super) fn array_of(item: &Type) -> Type {
    match *item {
        Type::BOOL => Type::BOOL_ARRAY,
        Type::INT2 => Type::INT2_ARRAY,
        Type::INT4 => Type::INT4_ARRAY,
        Type::INT8 => Type::INT8_ARRAY,
        Type::NUMERIC => Type::NUMERIC_ARRAY,
        Type::FLOAT4 => Type::FLOAT4_ARRAY,
        Type::FLOAT8 => Type::FLOAT8_ARRAY,
        Type::BYTEA => Type::BYTEA_ARRAY,
        Type::DATE => Type::DATE_ARRAY,
        Type::TIME => Type::TIME_ARRAY,
        Type::TIMESTAMP => Type::TIMESTAMP_ARRAY,
        Type::TIMESTAMPTZ => Type::TIMESTAMPTZ_ARRAY,
        Type::INTERVAL => Type::INTERVAL_ARRAY,
        Type::TEXT => Type::TEXT_ARRAY,
        Type::OID => Type::OID_ARRAY,
        _ => Type::JSON,
    }
}

/// The description of a result's columns; `op` stands in front of them if the result takes rows back.
pub(super) fn fields(schema: &Schema, changelog: bool, format: &Format) -> Arc<Vec<FieldInfo>> {
    let op = changelog.then(|| Field::new("op", DataType::Utf8, false));
    let columns = op.iter().chain(schema.fields().iter().map(|field| field.as_ref()));
    let field = |(number, field): (usize, &Field)| {
        let data_type = postgres_type(field.data_type());
        let size = size(&data_type);
        let modifier = modifier(field.data_type());
        FieldInfo::new(field.name().clone(), None, None, data_type, format_for(format, number))
            .with_type_size(size)
            .with_type_modifier(modifier)
    };
    Arc::new(columns.enumerate().map(field).collect())
}

/// The format that a client asked a column in. One that asked for too few gets text.
fn format_for(format: &Format, column: usize) -> FieldFormat {
    match format {
        Format::UnifiedText => FieldFormat::Text,
        Format::UnifiedBinary => FieldFormat::Binary,
        Format::Individual(codes) => {
            codes.get(column).map_or(FieldFormat::Text, |code| FieldFormat::from(*code))
        }
    }
}

/// Bytes of a value, -1 if that differs.
pub(super) fn size(data_type: &Type) -> i16 {
    match *data_type {
        Type::BOOL => 1,
        Type::INT2 => 2,
        Type::INT4 | Type::OID | Type::FLOAT4 | Type::DATE => 4,
        Type::INT8 | Type::FLOAT8 | Type::TIME | Type::TIMESTAMP | Type::TIMESTAMPTZ => 8,
        Type::INTERVAL => 16,
        _ => -1,
    }
}

/// Precision and scale of NUMERIC, as PostgreSQL packs them.
pub(super) fn modifier(data_type: &DataType) -> i32 {
    match data_type {
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            (i32::from(*precision) << 16 | i32::from(*scale).max(0)) + 4
        }
        _ => -1,
    }
}
