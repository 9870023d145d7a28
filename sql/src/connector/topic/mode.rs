//! What a record does to the rows that were there before it, and by which key.

use riverrun_operators::format::table::WriteMode;

use crate::Result;
use crate::catalog::{ColumnKind, Table};
use crate::connector::format::Format;
use crate::connector::options::Options;

/// What a record does to the rows that were there before it.
pub(super) fn mode(table: &Table, options: &Options<'_>, format: &Format) -> Result<WriteMode> {
    let has_key = !table.primary_key.is_empty();
    let needs_key = table.option("connector") == Some("upsert-kafka");
    if needs_key && !has_key {
        return Err(
            options.wrong("the connector 'upsert-kafka' needs a PRIMARY KEY (..) NOT ENFORCED")
        );
    }
    let modes = [
        ("append", WriteMode::Append),
        ("upsert", WriteMode::Upsert),
        ("all", WriteMode::Changelog),
    ];
    let mode = match options.choice("changelog.mode", &modes)? {
        Some(mode) => mode,
        None if format.retracts() => WriteMode::Changelog,
        None if has_key => match format {
            Format::Records(_) => WriteMode::Upsert,
            Format::Arrow => return Err(no_keys(options)),
        },
        None => WriteMode::Append,
    };
    match mode {
        WriteMode::Upsert if *format == Format::Arrow => Err(no_keys(options)),
        WriteMode::Upsert if !has_key => {
            Err(options.wrong("'changelog.mode' = 'upsert' needs a PRIMARY KEY (..) NOT ENFORCED"))
        }
        WriteMode::Upsert | WriteMode::Append if format.retracts() => Err(options.wrong(format!(
            "the format {} is for 'changelog.mode' = 'all'",
            format.name()
        ))),
        WriteMode::Changelog if !format.can_retract() => Err(options.wrong(format!(
            "'changelog.mode' = 'all' needs a format that can take rows back, which {} cannot: use debezium-json or arrow",
            format.name()
        ))),
        mode => Ok(mode),
    }
}

fn no_keys(options: &Options<'_>) -> crate::Error {
    options.wrong(
        "a columnar topic has no keys by which rows replace each other: use another format, or set 'changelog.mode' = 'all' to keep \
         changes, or 'append' if rows stay and the PRIMARY KEY only says what they are",
    )
}

/// Positions of the columns that make the key of a record: those of `key.fields`, or of an upsert table's primary key.
pub(super) fn key_columns(
    table: &Table,
    options: &Options<'_>,
    format: &Format,
    mode: WriteMode,
) -> Result<Vec<usize>> {
    let names: Vec<&str> = match (options.text("key.fields"), mode) {
        (Some(_), _) if *format == Format::Arrow => {
            return Err(options.wrong(
                "'key.fields' is for formats of records: rows of a columnar topic have no keys",
            ));
        }
        (Some(_), WriteMode::Upsert) => {
            return Err(
                options.wrong("'key.fields' is the PRIMARY KEY of an upsert table: leave it out")
            );
        }
        (Some(fields), _) => fields.split(';').map(str::trim).filter(|f| !f.is_empty()).collect(),
        (None, WriteMode::Upsert) => table.primary_key.iter().map(String::as_str).collect(),
        (None, _) => Vec::new(),
    };
    let column = |name: &&str| {
        let physical = |at: &usize| matches!(table.columns[*at].kind, ColumnKind::Physical);
        table.position(name).filter(physical).ok_or_else(|| {
            let columns = table.columns.iter().map(|column| column.name.as_str());
            let hint = crate::catalog::nearest(name, columns)
                .filter(|near| near != name)
                .map(|near| format!("; did you mean `{near}`?"))
                .unwrap_or_default();
            options.wrong(format!("the key's `{name}` is no physical column{hint}"))
        })
    };
    names.iter().map(column).collect()
}
