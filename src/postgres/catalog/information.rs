//! The tables of `information_schema`.

use arrow_array::RecordBatch;
use datafusion::common::{DataFusionError, ScalarValue};

use super::columns::EMPTY_INFORMATION;
use super::functions::type_in_words;
use super::tables::{OWNER, number, table, text};
use super::{DATABASE, Snapshot};
use crate::postgres::types::postgres_type;
use crate::sql::values::type_name;

/// All of them.
pub(super) fn all(
    snapshot: &Snapshot,
) -> Result<Vec<(&'static str, RecordBatch)>, DataFusionError> {
    let schemata = ["public", "pg_catalog", "information_schema"];
    let schemata = schemata.map(|name| vec![text(DATABASE), text(name), text(OWNER)]);
    let tables = snapshot.relations.iter().map(|relation| {
        let kind = if relation.kind == 'r' { "BASE TABLE" } else { "VIEW" };
        vec![text(DATABASE), text("public"), text(&relation.name), text(kind), text("YES")]
    });
    let views = snapshot.relations.iter().filter(|relation| relation.kind != 'r').map(|relation| {
        vec![text(DATABASE), text("public"), text(&relation.name), text(&relation.definition)]
    });
    let columns = snapshot.relations.iter().flat_map(|relation| {
        (1..).zip(relation.schema.fields()).map(|(ordinal, field)| {
            let data_type = postgres_type(field.data_type());
            let nullable = if field.is_nullable() { "YES" } else { "NO" };
            vec![
                text(DATABASE),
                text("public"),
                text(&relation.name),
                text(field.name()),
                number(ordinal),
                ScalarValue::Null,
                text(nullable),
                text(&type_in_words(&data_type)),
                ScalarValue::Null,
                ScalarValue::Null,
                ScalarValue::Null,
                ScalarValue::Null,
                text(data_type.name()),
                text("NO"),
                text("NEVER"),
                text(&type_name(field)),
            ]
        })
    });
    let mut all = vec![
        ("schemata", table("catalog_name:t schema_name:t schema_owner:t", schemata.into())?),
        (
            "tables",
            table(
                "table_catalog:t table_schema:t table_name:t table_type:t is_insertable_into:t",
                tables.collect(),
            )?,
        ),
        (
            "views",
            table(
                "table_catalog:t table_schema:t table_name:t view_definition:t",
                views.collect(),
            )?,
        ),
        (
            "columns",
            table(
                "table_catalog:t table_schema:t table_name:t column_name:t ordinal_position:i column_default:t \
             is_nullable:t data_type:t character_maximum_length:i numeric_precision:i numeric_scale:i \
             datetime_precision:i udt_name:t is_identity:t is_generated:t sql_type:t",
                columns.collect(),
            )?,
        ),
    ];
    for (name, columns) in EMPTY_INFORMATION {
        all.push((name, table(columns, Vec::new())?));
    }
    Ok(all)
}
