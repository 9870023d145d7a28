//! The tables of `pg_catalog`.

use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchOptions, new_empty_array};
use arrow_schema::{DataType, Field, Schema};
use datafusion::common::{DataFusionError, ScalarValue};
use pgwire::api::Type;
use postgres_types::Kind;

use super::columns::{ATTRIBUTE, CLASS, DATABASES, EMPTY, NAMESPACE, ROLES, SETTINGS, TYPE};
use super::{DATABASE, Relation, Snapshot, information};
use crate::postgres::types::{modifier, postgres_type, size};

/// Who everything belongs to.
pub(super) const OWNER: &str = "riverrun";
const OWNER_OID: i64 = 10;
const CATALOG_OID: i64 = 11;
const PUBLIC_OID: i64 = 2200;
const INFORMATION_OID: i64 = 13_000;
const DATABASE_OID: i64 = 5;
const TABLESPACE_OID: i64 = 1663;

/// A schema: its name, and its tables with their rows.
type SchemaTables = (&'static str, Vec<(&'static str, RecordBatch)>);

/// The object id of a relation: the same for the same name, in every process.
pub(super) fn oid(name: &str) -> i64 {
    let hash = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, name.as_bytes());
    // Above all ids that PostgreSQL has for itself.
    i64::try_from(hash & 0x3fff_ffff).unwrap_or(0) + 16_384
}

/// Both schemas with all their tables.
pub(super) fn schemas(snapshot: &Snapshot) -> Result<Vec<SchemaTables>, DataFusionError> {
    let mut catalog = vec![
        ("pg_class", table(CLASS, classes(snapshot))?),
        ("pg_attribute", table(ATTRIBUTE, attributes(snapshot))?),
        ("pg_type", table(TYPE, types())?),
        ("pg_namespace", table(NAMESPACE, namespaces())?),
        ("pg_database", table(DATABASES, databases())?),
        ("pg_roles", table(ROLES, roles())?),
        ("pg_authid", table(ROLES, roles())?),
        (
            "pg_user",
            table(
                "usename:t usesysid:o usecreatedb:b usesuper:b",
                vec![vec![text(OWNER), number(OWNER_OID), yes(), yes()]],
            )?,
        ),
        ("pg_get_keywords", table("word:t catcode:t catdesc:t", keywords())?),
        ("pg_settings", table(SETTINGS, settings(snapshot))?),
        (
            "pg_tables",
            table(
                "schemaname:t tablename:t tableowner:t tablespace:t hasindexes:b",
                named(snapshot, 'r'),
            )?,
        ),
        (
            "pg_views",
            table("schemaname:t viewname:t viewowner:t definition:t", named(snapshot, 'v'))?,
        ),
        (
            "pg_matviews",
            table("schemaname:t matviewname:t matviewowner:t definition:t", named(snapshot, 'm'))?,
        ),
    ];
    let space = vec![number(TABLESPACE_OID), text("pg_default"), number(OWNER_OID)];
    catalog.push((
        "pg_tablespace",
        table("oid:o spcname:t spcowner:o spcacl:a spcoptions:a", vec![space])?,
    ));
    for (name, columns) in EMPTY {
        catalog.push((name, table(columns, Vec::new())?));
    }
    Ok(vec![("pg_catalog", catalog), ("information_schema", information::all(snapshot)?)])
}

fn classes(snapshot: &Snapshot) -> Vec<Vec<ScalarValue>> {
    let class = |relation: &Relation| {
        let kind = relation.kind.to_string();
        let columns = relation.schema.fields().len() as i64;
        vec![
            number(oid(&relation.name)),
            text(&relation.name),
            number(PUBLIC_OID),
            number(0),
            number(0),
            number(OWNER_OID),
            number(0),
            number(0),
            number(0),
            number(0),
            number(-1),
            number(0),
            no(),
            no(),
            text("p"),
            text(&kind),
            number(columns),
            number(0),
            no(),
            no(),
            no(),
            no(),
            no(),
            yes(),
            text("n"),
            no(),
            ScalarValue::Null,
            ScalarValue::Null,
            ScalarValue::Null,
        ]
    };
    snapshot.relations.iter().map(class).collect()
}

fn attributes(snapshot: &Snapshot) -> Vec<Vec<ScalarValue>> {
    let mut rows = Vec::new();
    for relation in &snapshot.relations {
        for (ordinal, field) in (1..).zip(relation.schema.fields()) {
            let data_type = postgres_type(field.data_type());
            rows.push(vec![
                number(oid(&relation.name)),
                text(field.name()),
                number(data_type.oid().into()),
                number(size(&data_type).into()),
                number(ordinal),
                number(0),
                number(modifier(field.data_type()).into()),
                ScalarValue::Boolean(Some(!field.is_nullable())),
                no(),
                no(),
                text(""),
                text(""),
                no(),
                yes(),
                number(0),
                text("p"),
                text(""),
                number(-1),
                ScalarValue::Null,
                ScalarValue::Null,
                ScalarValue::Null,
            ]);
        }
    }
    rows
}

/// The object id of a type by its name in `pg_type`, or as SQL calls it.
pub(super) fn type_oid(name: &str) -> Option<i64> {
    let name = name.rsplit('.').next().unwrap_or_default().trim_matches('"').to_lowercase();
    let name = match name.as_str() {
        "boolean" => "bool",
        "smallint" => "int2",
        "integer" | "int" => "int4",
        "bigint" => "int8",
        "real" => "float4",
        "double precision" => "float8",
        "decimal" => "numeric",
        name => name,
    };
    types().into_iter().find_map(|row| match (row.first(), row.get(1)) {
        (Some(ScalarValue::Int64(oid)), Some(ScalarValue::Utf8(Some(known)))) if known == name => {
            *oid
        }
        _ => None,
    })
}

/// The types that columns can have, and arrays of them.
fn types() -> Vec<Vec<ScalarValue>> {
    let categories = [
        ("B", vec![Type::BOOL]),
        (
            "N",
            vec![
                Type::INT2,
                Type::INT4,
                Type::INT8,
                Type::FLOAT4,
                Type::FLOAT8,
                Type::NUMERIC,
                Type::OID,
            ],
        ),
        ("S", vec![Type::TEXT, Type::VARCHAR, Type::BPCHAR, Type::NAME]),
        ("D", vec![Type::DATE, Type::TIME, Type::TIMESTAMP, Type::TIMESTAMPTZ]),
        ("T", vec![Type::INTERVAL]),
        ("U", vec![Type::BYTEA, Type::JSON, Type::JSONB]),
    ];
    let arrays = [
        Type::BOOL_ARRAY,
        Type::INT2_ARRAY,
        Type::INT4_ARRAY,
        Type::INT8_ARRAY,
        Type::FLOAT4_ARRAY,
        Type::FLOAT8_ARRAY,
        Type::NUMERIC_ARRAY,
        Type::OID_ARRAY,
        Type::TEXT_ARRAY,
        Type::VARCHAR_ARRAY,
        Type::BPCHAR_ARRAY,
        Type::NAME_ARRAY,
        Type::DATE_ARRAY,
        Type::TIME_ARRAY,
        Type::TIMESTAMP_ARRAY,
        Type::TIMESTAMPTZ_ARRAY,
        Type::INTERVAL_ARRAY,
        Type::BYTEA_ARRAY,
        Type::JSON_ARRAY,
        Type::JSONB_ARRAY,
    ];
    let item = |array: &Type| match array.kind() {
        Kind::Array(item) => item.oid(),
        _ => 0,
    };
    let row = |data_type: &Type, category: &str, item: u32, array: u32| {
        let io = |what: &str| {
            text(&format!("{}{what}", if item > 0 { "array_" } else { data_type.name() }))
        };
        vec![
            number(data_type.oid().into()),
            text(data_type.name()),
            number(CATALOG_OID),
            number(OWNER_OID),
            number(size(data_type).into()),
            no(),
            text("b"),
            text(category),
            no(),
            yes(),
            text(","),
            number(0),
            number(item.into()),
            number(array.into()),
            io("in"),
            io("out"),
            io("recv"),
            io("send"),
            no(),
            number(0),
            number(-1),
            number(0),
            number(0),
            ScalarValue::Null,
            ScalarValue::Null,
        ]
    };
    let mut rows = Vec::new();
    for (category, types) in &categories {
        for data_type in types {
            let array = arrays.iter().find(|array| item(array) == data_type.oid());
            rows.push(row(data_type, category, 0, array.map_or(0, Type::oid)));
        }
    }
    rows.extend(arrays.iter().map(|array| row(array, "A", item(array), 0)));
    rows
}

const NAMESPACES: [(i64, &str); 3] =
    [(CATALOG_OID, "pg_catalog"), (PUBLIC_OID, "public"), (INFORMATION_OID, "information_schema")];

/// The object id of a schema.
pub(super) fn namespace_oid(name: &str) -> Option<i64> {
    NAMESPACES.iter().find(|(_, known)| *known == name).map(|(oid, _)| *oid)
}

fn namespaces() -> Vec<Vec<ScalarValue>> {
    NAMESPACES
        .iter()
        .map(|(oid, name)| vec![number(*oid), text(name), number(OWNER_OID), ScalarValue::Null])
        .collect()
}

fn databases() -> Vec<Vec<ScalarValue>> {
    vec![vec![
        number(DATABASE_OID),
        text(DATABASE),
        number(OWNER_OID),
        number(6),
        text("c"),
        no(),
        yes(),
        number(-1),
        number(TABLESPACE_OID),
        text("C.UTF-8"),
        text("C.UTF-8"),
        ScalarValue::Null,
        ScalarValue::Null,
        ScalarValue::Null,
    ]]
}

fn roles() -> Vec<Vec<ScalarValue>> {
    vec![vec![
        number(OWNER_OID),
        text(OWNER),
        yes(),
        yes(),
        yes(),
        yes(),
        yes(),
        no(),
        no(),
        number(-1),
        ScalarValue::Null,
        ScalarValue::Null,
        ScalarValue::Null,
    ]]
}

/// Words that mean something in the SQL of this server and not in all SQL.
fn keywords() -> Vec<Vec<ScalarValue>> {
    let words = [
        "cumulate",
        "descriptor",
        "hop",
        "materialized",
        "metadata",
        "tumble",
        "unnest",
        "watermark",
    ];
    words.iter().map(|word| vec![text(word), text("U"), text("unreserved")]).collect()
}

fn settings(snapshot: &Snapshot) -> Vec<Vec<ScalarValue>> {
    let row = |(name, value): &(String, String)| {
        vec![
            text(name),
            text(value),
            ScalarValue::Null,
            text(""),
            text(""),
            text("user"),
            text("string"),
            text("session"),
            ScalarValue::Null,
            ScalarValue::Null,
            ScalarValue::Null,
            ScalarValue::Null,
            text(value),
            text(value),
            ScalarValue::Null,
            ScalarValue::Null,
            no(),
        ]
    };
    snapshot.settings.iter().map(row).collect()
}

/// Relations of a kind, for the views that list them by name.
fn named(snapshot: &Snapshot, kind: char) -> Vec<Vec<ScalarValue>> {
    let relations = snapshot.relations.iter().filter(|relation| relation.kind == kind);
    let row = |relation: &Relation| {
        let mut row = vec![text("public"), text(&relation.name), text(OWNER)];
        match kind {
            'r' => row.extend([ScalarValue::Null, no()]),
            _ => row.push(text(&relation.definition)),
        }
        row
    };
    relations.map(row).collect()
}

/// A text.
pub(super) fn text(text: &str) -> ScalarValue {
    ScalarValue::Utf8(Some(text.to_owned()))
}

/// A number, of whatever width its column has.
pub(super) fn number(number: i64) -> ScalarValue {
    ScalarValue::Int64(Some(number))
}

fn yes() -> ScalarValue {
    ScalarValue::Boolean(Some(true))
}

fn no() -> ScalarValue {
    ScalarValue::Boolean(Some(false))
}

/// A table of these columns; values are cast to the types of their columns.
pub(super) fn table(
    columns: &str,
    rows: Vec<Vec<ScalarValue>>,
) -> Result<RecordBatch, DataFusionError> {
    let mut fields = Vec::new();
    for column in columns.split_whitespace() {
        let (name, data_type) = column.split_once(':').unwrap_or((column, "t"));
        let data_type = match data_type {
            "o" => DataType::UInt32,
            "i" => DataType::Int32,
            "s" => DataType::Int16,
            "b" => DataType::Boolean,
            "a" => DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true))),
            _ => DataType::Utf8,
        };
        fields.push(Field::new(name, data_type, true));
    }
    let arrays = fields
        .iter()
        .enumerate()
        .map(|(at, field)| {
            if rows.is_empty() {
                return Ok(new_empty_array(field.data_type()));
            }
            let value = |row: &Vec<ScalarValue>| {
                row.get(at).unwrap_or(&ScalarValue::Null).cast_to(field.data_type())
            };
            let values = rows.iter().map(value).collect::<Result<Vec<_>, _>>()?;
            ScalarValue::iter_to_array(values)
        })
        .collect::<Result<Vec<_>, DataFusionError>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    let schema = Arc::new(Schema::new(fields));
    Ok(RecordBatch::try_new_with_options(schema, arrays, &options)?)
}
