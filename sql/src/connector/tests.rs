//! What connectors make of options, and of rows that need no log.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use riverrun_dataflow::{Job, ManualClock, Resources};

use super::*;
use crate::batch::drive;
use crate::catalog::Column;

fn column(name: &str, data_type: DataType) -> Column {
    Column { name: name.into(), data_type, nullable: true, kind: ColumnKind::Physical }
}

fn metadata(name: &str, data_type: DataType, key: &str) -> Column {
    let kind = ColumnKind::Metadata { key: key.into(), is_virtual: true };
    Column { kind, ..column(name, data_type) }
}

fn table(columns: Vec<Column>, key: &[&str], options: &[(&str, &str)]) -> Table {
    let options = options.iter().map(|(key, value)| ((*key).into(), (*value).into()));
    Table {
        name: "t".into(),
        columns,
        watermark: None,
        partitioned_by: Vec::new(),
        primary_key: key.iter().map(|name| (*name).into()).collect(),
        options: options.collect::<BTreeMap<_, _>>(),
    }
}

fn two() -> Vec<Column> {
    vec![column("id", DataType::Int64), column("v", DataType::Utf8)]
}

const TOPIC: [(&str, &str); 3] = [("connector", "riverrun"), ("topic", "x"), ("format", "json")];

fn topic(key: &[&str], more: &[(&str, &str)]) -> Table {
    table(two(), key, &[&TOPIC, more].concat())
}

#[test]
fn wrong_options_are_named_with_their_remedy() {
    let cases: &[(Table, &str)] = &[
        (table(two(), &[], &[]), "add 'connector' = one of riverrun, kafka, upsert-kafka"),
        (
            table(two(), &[], &[("connector", "kafak")]),
            "there is no connector 'kafak', only riverrun, kafka, upsert-kafka, filesystem, socket, datagen, print, blackhole; did you mean 'kafka'?",
        ),
        (
            table(two(), &[], &[("connector", "riverrun"), ("format", "json")]),
            "the option 'topic' is missing",
        ),
        (
            table(two(), &[], &[("connector", "riverrun"), ("topic", "x")]),
            "the option 'format' is missing: one of json, csv",
        ),
        (
            topic(&[], &[("scan.startup.mod", "x")]),
            "the connector 'riverrun' has no option 'scan.startup.mod'; did you mean 'scan.startup.mode'?",
        ),
        (
            topic(&[], &[("scan.startup.mode", "earliest")]),
            "the option 'scan.startup.mode' is 'earliest', and takes one of 'earliest-offset', 'latest-offset', 'timestamp', 'specific-offsets', 'group-offsets'",
        ),
        (
            topic(&[], &[("scan.startup.mode", "timestamp")]),
            "needs 'scan.startup.timestamp-millis'",
        ),
        (
            topic(&[], &[("scan.startup.timestamp-millis", "5")]),
            "is for 'scan.startup.mode' = 'timestamp'",
        ),
        (
            topic(
                &[],
                &[
                    ("scan.startup.mode", "specific-offsets"),
                    ("scan.startup.specific-offsets", "0:5"),
                ],
            ),
            "takes like 'partition:0,offset:42",
        ),
        (topic(&[], &[("json.fail-on-missing-field", "yes")]), "takes true or false"),
        (
            topic(
                &[],
                &[("json.fail-on-missing-field", "true"), ("json.ignore-parse-errors", "true")],
            ),
            "contradict each other",
        ),
        (
            topic(&[], &[("json.timestamp-format.standard", "ISO")]),
            "takes one of 'SQL', 'ISO-8601'",
        ),
        (topic(&[], &[("csv.field-delimiter", ";")]), "has no option 'csv.field-delimiter'"),
        (
            topic(&[], &[("key.format", "json")]),
            "'key.format' needs 'key.fields', or a PRIMARY KEY",
        ),
        (
            topic(&[], &[("key.fields", "ids")]),
            "the key's `ids` is no physical column; did you mean `id`?",
        ),
        (topic(&["id"], &[("key.fields", "id")]), "leave it out"),
        (
            topic(&[], &[("key.fields", "id;v"), ("value.fields-include", "EXCEPT_KEY")]),
            "no column is left for the value",
        ),
        (topic(&[], &[("changelog.mode", "upsert")]), "needs a PRIMARY KEY"),
        (topic(&[], &[("changelog.mode", "all")]), "which json cannot: use debezium-json"),
        (topic(&[], &[("dead-letter.topic", "d")]), "is for 'on-error' = 'dead-letter'"),
        (topic(&[], &[("sink.partitions", "0")]), "takes a whole number from 1 on"),
        (topic(&[], &[("value.format", "json")]), "are the same: leave one of them out"),
        (
            table(two(), &[], &[("connector", "riverrun"), ("topic", "x"), ("format", "raw")]),
            "the format raw takes one column, and there are 2",
        ),
        (
            table(two(), &[], &[("connector", "riverrun"), ("topic", "x"), ("format", "nginx")]),
            "an access log has no column `id`; it has ip STRING",
        ),
        (
            table(two(), &[], &[("connector", "riverrun"), ("topic", "x"), ("format", "jsn")]),
            "did you mean 'json'?",
        ),
        (
            table(
                vec![metadata("o", DataType::Int64, "ofset"), column("v", DataType::Utf8)],
                &[],
                &TOPIC,
            ),
            "records have no metadata `ofset`; they have offset BIGINT",
        ),
        (
            table(
                vec![metadata("o", DataType::Utf8, "offset"), column("v", DataType::Utf8)],
                &[],
                &TOPIC,
            ),
            "column `o` is STRING, but the metadata `offset` is BIGINT",
        ),
        (
            table(two(), &[], &[("connector", "upsert-kafka"), ("topic", "x"), ("format", "json")]),
            "needs a PRIMARY KEY",
        ),
        (
            table(two(), &[], &[("connector", "filesystem"), ("format", "csv")]),
            "the option 'path' is missing",
        ),
        (
            table(
                two(),
                &[],
                &[
                    ("connector", "filesystem"),
                    ("format", "csv"),
                    ("path", "/x"),
                    ("csv.quote-character", "ab"),
                ],
            ),
            "one character of ASCII",
        ),
        (
            table(
                two(),
                &[],
                &[("connector", "socket"), ("hostname", "h"), ("port", "70000"), ("format", "csv")],
            ),
            "a port from 1 to 65535",
        ),
        (
            table(two(), &[], &[("connector", "datagen"), ("fields.id.mim", "1")]),
            "did you mean 'fields.id.min'?",
        ),
        (
            table(two(), &[], &[("connector", "datagen"), ("fields.id.kind", "sequence")]),
            "the option 'fields.id.start' is missing",
        ),
        (
            table(
                two(),
                &[],
                &[("connector", "datagen"), ("fields.id.min", "3"), ("fields.id.max", "2")],
            ),
            "is above",
        ),
        (
            table(vec![metadata("o", DataType::Int64, "offset")], &[], &[("connector", "print")]),
            "column `o` of table `t` is METADATA, which the connector 'print' does not have",
        ),
        (table(two(), &[], &[("connector", "blackhole"), ("topic", "x")]), "has no option 'topic'"),
    ];
    for (table, part) in cases {
        let message = validate(table).expect_err(part).to_string();
        assert!(message.contains(part), "{part}\n{message}");
        assert!(message.contains("table `t`"), "{message}");
    }
}

#[test]
fn options_of_flinks_scripts_are_taken() {
    let kafka = table(
        two(),
        &[],
        &[
            ("connector", "kafka"),
            ("topic", "x"),
            ("properties.bootstrap.servers", "localhost:9092"),
            ("properties.group.id", "g"),
            ("scan.startup.mode", "group-offsets"),
            ("value.format", "csv"),
            ("value.csv.field-delimiter", "\\t"),
            ("key.format", "raw"),
            ("key.fields", "id"),
            ("value.fields-include", "EXCEPT_KEY"),
            ("sink.delivery-guarantee", "at-least-once"),
        ],
    );
    validate(&kafka).unwrap();
    assert_eq!(sink_mode(&kafka).unwrap(), SinkMode::Append);
    let upsert = table(
        two(),
        &["id"],
        &[
            ("connector", "upsert-kafka"),
            ("topic", "x"),
            ("key.format", "json"),
            ("value.format", "json"),
        ],
    );
    assert_eq!(sink_mode(&upsert).unwrap(), SinkMode::Upsert { key: vec![0] });
    let changes = table(
        two(),
        &["id"],
        &[("connector", "kafka"), ("topic", "x"), ("format", "debezium-json")],
    );
    assert_eq!(sink_mode(&changes).unwrap(), SinkMode::Changelog);
    let datagen = table(two(), &[], &[("connector", "datagen")]);
    assert!(matches!(sink_mode(&datagen), Err(Error::Refused(_))));
}

fn job(env: &Environment) -> Job {
    env.build(Resources::default()).unwrap()
}

/// All that a table's source gives.
fn read(table: &Table, columns: &[usize]) -> Vec<RecordBatch> {
    let env = Environment::new("test");
    let source =
        source(&env, table, columns, &ScanOptions { bounded: true, ..ScanOptions::default() });
    assert!(source.unwrap().bounded);
    let mut batches = Vec::new();
    let clock: std::sync::Arc<dyn riverrun_dataflow::Clock> =
        std::sync::Arc::new(ManualClock::new(1_000_000));
    drive(&job(&env), &clock, &mut |batch| {
        batches.push(batch.into_columns("test")?.batch);
        Ok(())
    })
    .unwrap();
    batches
}

#[test]
fn made_up_rows_keep_to_their_bounds_and_are_the_same_again() {
    let mut columns = vec![
        column("id", DataType::Int64),
        column("n", DataType::Int8),
        column("f", DataType::Float64),
        column("s", DataType::Utf8),
        column("at", DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))),
        column("d", DataType::Decimal128(5, 2)),
        column("l", DataType::List(std::sync::Arc::new(Field::new("item", DataType::Int32, true)))),
    ];
    columns[1].nullable = false;
    let made = table(
        columns,
        &[],
        &[
            ("connector", "datagen"),
            ("fields.id.kind", "sequence"),
            ("fields.id.start", "10"),
            ("fields.id.end", "5009"),
            ("fields.f.min", "-1.5"),
            ("fields.f.max", "2.5"),
            ("fields.s.length", "20"),
            ("fields.s.null-rate", "0.25"),
            ("fields.at.max-past", "5 s"),
            ("fields.d.min", "0"),
            ("fields.d.max", "9.99"),
            ("fields.l.length", "2"),
            ("fields.l.element.max", "7"),
            ("fields.l.element.min", "7"),
        ],
    );
    let all: Vec<usize> = (0..7).collect();
    let batches = read(&made, &all);
    assert_eq!(batches, read(&made, &all));
    let projected: Vec<RecordBatch> =
        batches.iter().map(|batch| batch.project(&[3, 0]).unwrap()).collect();
    assert_eq!(projected, read(&made, &[3, 0]));
    let ids: Vec<i64> = batches
        .iter()
        .flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec())
        .collect();
    assert_eq!(ids, (10..5010).collect::<Vec<_>>());
    let (mut nulls, mut different) = (0, std::collections::BTreeSet::new());
    for batch in &batches {
        assert_eq!(batch.column(1).null_count(), 0);
        let floats = batch.column(2).as_primitive::<Float64Type>();
        assert!(floats.values().iter().all(|f| (-1.5..=2.5).contains(f)));
        let texts = batch.column(3).as_string::<i32>();
        assert!(texts.iter().flatten().all(|text| text.len() == 20));
        nulls += texts.null_count();
        different.extend(texts.iter().flatten().map(str::to_owned));
        let times = arrow_cast::cast(batch.column(4), &DataType::Int64).unwrap();
        let times = times.as_primitive::<Int64Type>();
        assert!(times.values().iter().all(|at| (995_000..=1_000_000).contains(at)));
        let items = batch.column(6).as_list::<i32>().values().clone();
        assert_eq!(items.len(), 2 * batch.num_rows());
    }
    assert_eq!(different.len(), 5000 - nulls);
    assert!((1000..1500).contains(&nulls), "{nulls}");
}

#[test]
fn files_of_a_folder_are_read_in_order_of_their_names() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in
        [("b.csv", "3,c\n4,d"), ("a.csv", "1,a\r\n2,\"b\"\n"), (".hidden", "x"), ("_SUCCESS", "")]
    {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let path = folder.path().to_str().unwrap();
    let files =
        table(two(), &[], &[("connector", "filesystem"), ("path", path), ("format", "csv")]);
    let rows: Vec<String> = read(&files, &[1, 0])
        .iter()
        .flat_map(|batch| {
            let texts = batch.column(0).as_string::<i32>();
            let ids = batch.column(1).as_primitive::<Int64Type>();
            (0..batch.num_rows())
                .map(|row| format!("{}{}", texts.value(row), ids.value(row)))
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(rows, ["a1", "b2", "c3", "d4"]);
    let missing =
        table(two(), &[], &[("connector", "filesystem"), ("path", "/no/such"), ("format", "csv")]);
    let error = source(&Environment::new("test"), &missing, &[0], &ScanOptions::default());
    let error = error.map(|_| ()).unwrap_err().to_string();
    assert!(error.starts_with("reading the files of table `t` in /no/such: "), "{error}");
}

#[test]
fn what_a_table_cannot_take_is_refused_with_the_reason() {
    let env = Environment::new("test");
    let from = table(two(), &[], &[("connector", "datagen")]);
    let stream = source(&env, &from, &[0, 1], &ScanOptions::default()).unwrap().stream;
    let to = topic(&[], &[]);
    let retracting = SinkInput { retracts: true, upsert_key: None };
    let error = sink(&stream, &to, &to.sink_schema(), &retracting).unwrap_err().to_string();
    assert!(error.contains("declare a PRIMARY KEY"), "{error}");
    let other = std::sync::Arc::new(Schema::new(vec![Field::new("a", DataType::Utf8, true)]));
    let error = sink(&stream, &to, &other, &SinkInput::default()).unwrap_err().to_string();
    assert_eq!(error, "table `t` takes (BIGINT, STRING), and the rows are (STRING)");
    let read_only = sink(&stream, &from, &from.sink_schema(), &SinkInput::default()).unwrap_err();
    assert!(read_only.to_string().contains("only for reading"));
    let black = table(two(), &[], &[("connector", "blackhole")]);
    sink(&stream, &black, &black.sink_schema(), &retracting).unwrap();
    let unread = source(&env, &black, &[0], &ScanOptions::default()).map(|_| ()).unwrap_err();
    assert!(unread.to_string().contains("only takes rows"));
}
