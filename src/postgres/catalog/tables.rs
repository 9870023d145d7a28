//! The tables of `pg_catalog` and `information_schema`.

use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchOptions, new_empty_array};
use arrow_schema::{DataType, Field, Schema};
use datafusion::common::{DataFusionError, ScalarValue};
use pgwire::api::Type;
use postgres_types::Kind;

use super::{DATABASE, Relation, Snapshot};
use crate::postgres::types::{modifier, postgres_type, size};
use crate::sql::values::type_name;

/// Who everything belongs to.
pub(super) const OWNER: &str = "riverrun";
const OWNER_OID: i64 = 10;
const CATALOG_OID: i64 = 11;
const PUBLIC_OID: i64 = 2200;
const INFORMATION_OID: i64 = 13_000;
const DATABASE_OID: i64 = 5;

/// A schema: its name, and its tables with their rows.
type SchemaTables = (&'static str, Vec<(&'static str, RecordBatch)>);

/// Names of columns with their types, as in `oid:o relname:t`: `o` an object id, `i` and `s` an INT and a SMALLINT, `b` a
/// BOOLEAN, `t` text, `a` an array of text.
type Columns = &'static str;

const CLASS: Columns = "oid:o relname:t relnamespace:o reltype:o reloftype:o relowner:o relam:o relfilenode:o \
     reltablespace:o relpages:i reltuples:i reltoastrelid:o relhasindex:b relisshared:b relpersistence:t relkind:t \
     relnatts:s relchecks:s relhasrules:b relhastriggers:b relhassubclass:b relrowsecurity:b \
     relforcerowsecurity:b relispopulated:b relreplident:t relispartition:b relpartbound:t reloptions:a relacl:a";
const ATTRIBUTE: Columns = "attrelid:o attname:t atttypid:o attlen:s attnum:s attndims:i atttypmod:i attnotnull:b \
     atthasdef:b atthasmissing:b attidentity:t attgenerated:t attisdropped:b attislocal:b attcollation:o \
     attstorage:t attcompression:t attstattarget:i attacl:a attoptions:a attfdwoptions:a";
const TYPE: Columns = "oid:o typname:t typnamespace:o typowner:o typlen:s typbyval:b typtype:t typcategory:t \
     typispreferred:b typisdefined:b typdelim:t typrelid:o typelem:o typarray:o typinput:t typoutput:t typreceive:t \
     typsend:t typnotnull:b typbasetype:o typtypmod:i typndims:i typcollation:o typdefault:t typacl:a";
const NAMESPACE: Columns = "oid:o nspname:t nspowner:o nspacl:a";
const DATABASES: Columns = "oid:o datname:t datdba:o encoding:i datlocprovider:t datistemplate:b datallowconn:b \
     datconnlimit:i dattablespace:o datcollate:t datctype:t daticulocale:t datcollversion:t datacl:a";
const ROLES: Columns = "oid:o rolname:t rolsuper:b rolinherit:b rolcreaterole:b rolcreatedb:b rolcanlogin:b \
     rolreplication:b rolbypassrls:b rolconnlimit:i rolvaliduntil:t rolpassword:t rolconfig:a";
const SETTINGS: Columns =
    "name:t setting:t unit:t category:t short_desc:t context:t vartype:t source:t";

/// Tables that are there because clients ask for them, and always empty.
const EMPTY: [(&str, Columns); 35] = [
    ("pg_auth_members", "oid:o roleid:o member:o grantor:o admin_option:b"),
    ("pg_db_role_setting", "setdatabase:o setrole:o setconfig:a"),
    ("pg_am", "oid:o amname:t amhandler:t amtype:t"),
    ("pg_attrdef", "oid:o adrelid:o adnum:s adbin:t adsrc:t"),
    ("pg_cast", "oid:o castsource:o casttarget:o castfunc:o castcontext:t castmethod:t"),
    ("pg_collation", "oid:o collname:t collnamespace:o collprovider:t collisdeterministic:b"),
    (
        "pg_constraint",
        "oid:o conname:t connamespace:o contype:t condeferrable:b condeferred:b convalidated:b \
      conrelid:o contypid:o conindid:o conparentid:o confrelid:o confupdtype:t confdeltype:t confmatchtype:t \
      conkey:a confkey:a conbin:t",
    ),
    ("pg_depend", "classid:o objid:o objsubid:i refclassid:o refobjid:o refobjsubid:i deptype:t"),
    ("pg_description", "objoid:o classoid:o objsubid:i description:t"),
    ("pg_enum", "oid:o enumtypid:o enumsortorder:i enumlabel:t"),
    ("pg_event_trigger", "oid:o evtname:t evtevent:t evtowner:o evtenabled:t"),
    ("pg_extension", "oid:o extname:t extowner:o extnamespace:o extrelocatable:b extversion:t"),
    ("pg_foreign_data_wrapper", "oid:o fdwname:t fdwowner:o"),
    ("pg_foreign_server", "oid:o srvname:t srvowner:o srvfdw:o"),
    ("pg_foreign_table", "ftrelid:o ftserver:o ftoptions:a"),
    (
        "pg_index",
        "indexrelid:o indrelid:o indnatts:s indnkeyatts:s indisunique:b indisprimary:b indisexclusion:b \
      indimmediate:b indisclustered:b indisvalid:b indisready:b indislive:b indisreplident:b indkey:t indoption:t \
      indcollation:t indclass:t indexprs:t indpred:t indnullsnotdistinct:b",
    ),
    ("pg_inherits", "inhrelid:o inhparent:o inhseqno:i inhdetachpending:b"),
    ("pg_language", "oid:o lanname:t lanowner:o"),
    ("pg_locks", "locktype:t database:o relation:o pid:i mode:t granted:b"),
    ("pg_operator", "oid:o oprname:t oprnamespace:o oprleft:o oprright:o oprresult:o"),
    ("pg_partitioned_table", "partrelid:o partstrat:t partnatts:s"),
    (
        "pg_policy",
        "oid:o polname:t polrelid:o polcmd:t polpermissive:b polroles:a polqual:t polwithcheck:t",
    ),
    (
        "pg_proc",
        "oid:o proname:t pronamespace:o proowner:o prolang:o prokind:t prosecdef:b proretset:b provolatile:t \
      pronargs:s prorettype:o proargtypes:t proargnames:a proargmodes:a proallargtypes:a prosrc:t",
    ),
    (
        "pg_publication",
        "oid:o pubname:t pubowner:o puballtables:b pubinsert:b pubupdate:b pubdelete:b",
    ),
    ("pg_publication_namespace", "oid:o pnpubid:o pnnspid:o"),
    ("pg_publication_rel", "oid:o prpubid:o prrelid:o prqual:t prattrs:t"),
    ("pg_range", "rngtypid:o rngsubtype:o rngmultitypid:o"),
    ("pg_rewrite", "oid:o rulename:t ev_class:o ev_type:t ev_enabled:t is_instead:b ev_action:t"),
    (
        "pg_sequence",
        "seqrelid:o seqtypid:o seqstart:i seqincrement:i seqmax:i seqmin:i seqcache:i seqcycle:b",
    ),
    ("pg_shdescription", "objoid:o classoid:o description:t"),
    ("pg_stat_activity", "datid:o datname:t pid:i usename:t application_name:t state:t query:t"),
    (
        "pg_statistic_ext",
        "oid:o stxrelid:o stxname:t stxnamespace:o stxowner:o stxkeys:t stxkind:a stxstattarget:i",
    ),
    ("pg_subscription", "oid:o subdbid:o subname:t subowner:o subenabled:b"),
    ("pg_tablespace", "oid:o spcname:t spcowner:o spcacl:a spcoptions:a"),
    (
        "pg_trigger",
        "oid:o tgrelid:o tgname:t tgfoid:o tgtype:s tgenabled:t tgisinternal:b tgconstraint:o tgparentid:o",
    ),
];

/// Those of the above that hold rows.
const FILLED: [&str; 12] = [
    "pg_class",
    "pg_attribute",
    "pg_type",
    "pg_namespace",
    "pg_database",
    "pg_roles",
    "pg_user",
    "pg_authid",
    "pg_settings",
    "pg_tables",
    "pg_views",
    "pg_matviews",
];

/// True if there is such a table in `pg_catalog`.
pub(super) fn is_known(name: &str) -> bool {
    FILLED.contains(&name) || is_always_empty(name)
}

/// True if there is such a table in `pg_catalog`, and never a row in it.
pub(super) fn is_always_empty(name: &str) -> bool {
    EMPTY.iter().any(|(known, _)| *known == name)
}

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
    for (name, columns) in EMPTY {
        catalog.push((name, table(columns, Vec::new())?));
    }
    Ok(vec![("pg_catalog", catalog), ("information_schema", information(snapshot)?)])
}

fn information(snapshot: &Snapshot) -> Result<Vec<(&'static str, RecordBatch)>, DataFusionError> {
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
                text(data_type.name()),
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
    let none = Vec::new;
    Ok(vec![
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
        (
            "table_constraints",
            table(
                "constraint_catalog:t constraint_schema:t constraint_name:t table_catalog:t table_schema:t \
             table_name:t constraint_type:t",
                none(),
            )?,
        ),
        (
            "key_column_usage",
            table(
                "constraint_catalog:t constraint_schema:t constraint_name:t table_catalog:t table_schema:t \
             table_name:t column_name:t ordinal_position:i",
                none(),
            )?,
        ),
        (
            "referential_constraints",
            table(
                "constraint_catalog:t constraint_schema:t constraint_name:t unique_constraint_name:t",
                none(),
            )?,
        ),
        (
            "routines",
            table("routine_catalog:t routine_schema:t routine_name:t routine_type:t", none())?,
        ),
    ])
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

fn namespaces() -> Vec<Vec<ScalarValue>> {
    let all = [
        (CATALOG_OID, "pg_catalog"),
        (PUBLIC_OID, "public"),
        (INFORMATION_OID, "information_schema"),
    ];
    all.iter()
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
        number(0),
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

fn text(text: &str) -> ScalarValue {
    ScalarValue::Utf8(Some(text.to_owned()))
}

fn number(number: i64) -> ScalarValue {
    ScalarValue::Int64(Some(number))
}

fn yes() -> ScalarValue {
    ScalarValue::Boolean(Some(true))
}

fn no() -> ScalarValue {
    ScalarValue::Boolean(Some(false))
}

/// A table of these columns; values are cast to the types of their columns.
fn table(columns: &str, rows: Vec<Vec<ScalarValue>>) -> Result<RecordBatch, DataFusionError> {
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
