//! PostgreSQL's catalog functions.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_cast::cast;
use arrow_schema::{DataType, Field};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use pgwire::api::Type;
use postgres_types::Kind;

use super::tables::{self, OWNER};
use super::{DATABASE, Snapshot};
use crate::postgres::settings::VERSION;

/// The value of a call, from the text of its arguments (`None` for NULL).
type Call = Arc<dyn Fn(&[Option<String>]) -> ScalarValue + Send + Sync>;

/// All functions, for this snapshot.
pub(super) fn all(snapshot: &Snapshot) -> Vec<ScalarUDF> {
    let mut functions = Vec::new();
    let mut add = |name: &'static str, returns: DataType, call: Call| {
        functions.push(ScalarUDF::from(CatalogFunction {
            name,
            returns,
            call,
            signature: Signature::one_of(
                vec![
                    datafusion::logical_expr::TypeSignature::VariadicAny,
                    datafusion::logical_expr::TypeSignature::Nullary,
                ],
                Volatility::Immutable,
            ),
        }));
    };
    let always =
        |value: ScalarValue| -> Call { Arc::new(move |_: &[Option<String>]| value.clone()) };
    let text = |text: &str| ScalarValue::Utf8(Some(text.to_owned()));
    let version = format!("PostgreSQL {VERSION}");
    for (name, value) in [
        ("version", text(&version)),
        ("current_schema", text("public")),
        ("current_database", text(DATABASE)),
        ("current_catalog", text(DATABASE)),
        ("current_user", text(&snapshot.user)),
        ("session_user", text(&snapshot.user)),
        ("pg_get_userbyid", text(OWNER)),
        ("pg_encoding_to_char", text("UTF8")),
        ("pg_get_expr", ScalarValue::Utf8(None)),
        ("pg_get_triggerdef", ScalarValue::Utf8(None)),
        ("pg_get_ruledef", ScalarValue::Utf8(None)),
        ("pg_get_functiondef", ScalarValue::Utf8(None)),
        ("pg_get_function_identity_arguments", ScalarValue::Utf8(None)),
        ("pg_tablespace_location", text("")),
        ("inet_server_addr", ScalarValue::Utf8(None)),
        ("inet_client_addr", ScalarValue::Utf8(None)),
        ("pg_get_constraintdef", ScalarValue::Utf8(None)),
        ("pg_get_indexdef", ScalarValue::Utf8(None)),
        ("pg_get_partkeydef", ScalarValue::Utf8(None)),
        ("pg_get_statisticsobjdef_columns", ScalarValue::Utf8(None)),
        ("pg_get_function_result", ScalarValue::Utf8(None)),
        ("pg_get_function_arguments", ScalarValue::Utf8(None)),
        ("pg_get_serial_sequence", ScalarValue::Utf8(None)),
        ("obj_description", ScalarValue::Utf8(None)),
        ("col_description", ScalarValue::Utf8(None)),
        ("shobj_description", ScalarValue::Utf8(None)),
        ("pg_table_is_visible", ScalarValue::Boolean(Some(true))),
        ("pg_type_is_visible", ScalarValue::Boolean(Some(true))),
        ("pg_function_is_visible", ScalarValue::Boolean(Some(true))),
        ("has_schema_privilege", ScalarValue::Boolean(Some(true))),
        ("has_table_privilege", ScalarValue::Boolean(Some(true))),
        ("has_database_privilege", ScalarValue::Boolean(Some(true))),
        ("has_column_privilege", ScalarValue::Boolean(Some(true))),
        ("has_sequence_privilege", ScalarValue::Boolean(Some(true))),
        ("has_function_privilege", ScalarValue::Boolean(Some(true))),
        ("has_type_privilege", ScalarValue::Boolean(Some(true))),
        ("has_tablespace_privilege", ScalarValue::Boolean(Some(true))),
        ("pg_has_role", ScalarValue::Boolean(Some(true))),
        ("pg_operator_is_visible", ScalarValue::Boolean(Some(true))),
        ("pg_collation_is_visible", ScalarValue::Boolean(Some(true))),
        ("pg_conversion_is_visible", ScalarValue::Boolean(Some(true))),
        ("pg_opclass_is_visible", ScalarValue::Boolean(Some(true))),
        ("pg_ts_config_is_visible", ScalarValue::Boolean(Some(true))),
        ("has_any_column_privilege", ScalarValue::Boolean(Some(true))),
        ("pg_is_in_recovery", ScalarValue::Boolean(Some(false))),
        ("pg_relation_is_publishable", ScalarValue::Boolean(Some(false))),
        ("pg_is_other_temp_schema", ScalarValue::Boolean(Some(false))),
        ("pg_backend_pid", ScalarValue::Int32(Some(0))),
        ("pg_my_temp_schema", ScalarValue::Int64(Some(0))),
        ("pg_relation_size", ScalarValue::Int64(Some(0))),
        ("pg_total_relation_size", ScalarValue::Int64(Some(0))),
        ("pg_table_size", ScalarValue::Int64(Some(0))),
        ("pg_indexes_size", ScalarValue::Int64(Some(0))),
        ("pg_database_size", ScalarValue::Int64(Some(0))),
        ("pg_tablespace_size", ScalarValue::Int64(Some(0))),
        ("pg_stat_get_numscans", ScalarValue::Int64(Some(0))),
        ("array_upper", ScalarValue::Int32(None)),
        ("array_lower", ScalarValue::Int32(None)),
    ] {
        add(name, value.data_type(), always(value));
    }
    let list = DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)));
    add(
        "current_schemas",
        list,
        Arc::new(|arguments| {
            let schemas = ["pg_catalog", "public"].map(ScalarValue::from);
            // Those that are searched unasked come if they are asked for.
            let from = usize::from(argument(arguments, 0) != Some("true"));
            let schemas = ScalarValue::new_list_nullable(&schemas[from..], &DataType::Utf8);
            ScalarValue::List(schemas)
        }),
    );
    add(
        "set_config",
        DataType::Utf8,
        Arc::new(|arguments| ScalarValue::Utf8(argument(arguments, 1).map(str::to_owned))),
    );
    let settings = snapshot.settings.clone();
    add(
        "current_setting",
        DataType::Utf8,
        Arc::new(move |arguments| {
            let name = argument(arguments, 0).unwrap_or_default().to_lowercase();
            let found = settings.iter().find(|(known, _)| *known == name);
            ScalarValue::Utf8(found.map(|(_, value)| value.clone()))
        }),
    );
    add(
        "format_type",
        DataType::Utf8,
        Arc::new(|arguments| {
            let number = |at| argument(arguments, at).and_then(|text| text.parse::<i64>().ok());
            ScalarValue::Utf8(number(0).map(|oid| format_type(oid, number(1).unwrap_or(-1))))
        }),
    );
    let relations = snapshot.relations.clone();
    add(
        "to_regclass",
        DataType::Int64,
        Arc::new(move |arguments| {
            let name = argument(arguments, 0).unwrap_or_default();
            if let Ok(oid) = name.parse::<i64>() {
                return ScalarValue::Int64(Some(oid));
            }
            let name = name.rsplit('.').next().unwrap_or_default().trim_matches('"');
            let found = relations.iter().find(|relation| relation.name == name);
            ScalarValue::Int64(found.map(|relation| tables::oid(&relation.name)))
        }),
    );
    let relations = snapshot.relations.clone();
    add(
        "pg_get_viewdef",
        DataType::Utf8,
        Arc::new(move |arguments| {
            let oid = argument(arguments, 0).and_then(|text| text.parse::<i64>().ok());
            let found = relations.iter().find(|relation| Some(tables::oid(&relation.name)) == oid);
            ScalarValue::Utf8(found.map(|relation| relation.definition.clone()))
        }),
    );
    add(
        "to_regtype",
        DataType::Int64,
        Arc::new(|arguments| ScalarValue::Int64(argument(arguments, 0).and_then(tables::type_oid))),
    );
    add(
        "to_regnamespace",
        DataType::Int64,
        Arc::new(|arguments| {
            ScalarValue::Int64(argument(arguments, 0).and_then(tables::namespace_oid))
        }),
    );
    add(
        "pg_size_pretty",
        DataType::Utf8,
        Arc::new(|arguments| {
            ScalarValue::Utf8(argument(arguments, 0).map(|bytes| format!("{bytes} bytes")))
        }),
    );
    add(
        "quote_ident",
        DataType::Utf8,
        Arc::new(|arguments| ScalarValue::Utf8(argument(arguments, 0).map(str::to_owned))),
    );
    functions
}

fn argument(arguments: &[Option<String>], at: usize) -> Option<&str> {
    arguments.get(at)?.as_deref()
}

/// How PostgreSQL's own tools write a type.
fn format_type(oid: i64, modifier: i64) -> String {
    let Some(data_type) = u32::try_from(oid).ok().and_then(Type::from_oid) else {
        return "???".to_owned();
    };
    match data_type.kind() {
        Kind::Array(item) => format!("{}[]", type_in_words(item)),
        _ if data_type == Type::NUMERIC && modifier >= 4 => {
            format!("numeric({},{})", (modifier - 4) >> 16, (modifier - 4) & 0xffff)
        }
        _ => type_in_words(&data_type),
    }
}

/// What standard SQL calls a type.
pub(super) fn type_in_words(data_type: &Type) -> String {
    let name = match *data_type {
        Type::BOOL => "boolean",
        Type::INT2 => "smallint",
        Type::INT4 => "integer",
        Type::INT8 => "bigint",
        Type::FLOAT4 => "real",
        Type::FLOAT8 => "double precision",
        Type::TIME => "time without time zone",
        Type::TIMESTAMP => "timestamp without time zone",
        Type::TIMESTAMPTZ => "timestamp with time zone",
        Type::VARCHAR => "character varying",
        _ if matches!(data_type.kind(), Kind::Array(_)) => "ARRAY",
        _ => data_type.name(),
    };
    name.to_owned()
}

/// A function whose value follows from the text of its arguments.
struct CatalogFunction {
    name: &'static str,
    returns: DataType,
    call: Call,
    signature: Signature,
}

impl std::fmt::Debug for CatalogFunction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for CatalogFunction {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for CatalogFunction {}

impl std::hash::Hash for CatalogFunction {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for CatalogFunction {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.returns.clone())
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let columns = arguments
            .args
            .iter()
            .map(|argument| Ok(cast(&argument.to_array(arguments.number_rows)?, &DataType::Utf8)?))
            .collect::<Result<Vec<ArrayRef>>>()?;
        let value = |row: usize| {
            let text = |column: &ArrayRef| {
                let column = column.as_string::<i32>();
                (!column.is_null(row)).then(|| column.value(row).to_owned())
            };
            (self.call)(&columns.iter().map(text).collect::<Vec<_>>())
        };
        if columns.is_empty() {
            return Ok(ColumnarValue::Scalar(value(0)));
        }
        if arguments.number_rows == 0 {
            return Ok(ColumnarValue::Array(arrow_array::new_empty_array(&self.returns)));
        }
        Ok(ColumnarValue::Array(ScalarValue::iter_to_array((0..arguments.number_rows).map(value))?))
    }
}
