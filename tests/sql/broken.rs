//! Ten thousand broken records of each format among good ones, on the whole engine: a job fails at the first and says where it is, or goes on
//! with every record accounted for, as a row or as a dead letter.

use std::sync::Arc;

use arrow_array::{BinaryArray, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use riverrun_sql::Changes;
use riverrun_sql::catalog::MemoryTable;
use riverrun_sql::session::Session;

use crate::kit::{Cluster, run, sorted_rows};

const BROKEN: u64 = 10_000;
/// Every fourth broken record is followed by a good one.
const GOOD: u64 = BROKEN / 4;

/// A format: the columns of its table, and its records.
struct Broken {
    format: &'static str,
    columns: &'static str,
    /// The text that `SELECT *` shows of the good record of this number, and the record.
    good: fn(u64) -> (String, Vec<u8>),
    bad: fn(u64) -> Vec<u8>,
}

const FORMATS: [Broken; 6] = [
    Broken {
        format: "json",
        columns: "id BIGINT NOT NULL, price DECIMAL(10, 2)",
        good: |id| (format!("{id} | {id}.25"), format!("{{\"id\":{id},\"price\":{id}.25}}").into()),
        bad: |id| match id % 6 {
            0 => format!("{{\"id\":{id},\"price\":{id}.25").into(),
            1 => format!("{{\"id\":\"x{id}\",\"price\":1}}").into(),
            2 => "{\"price\":1}".into(),
            3 => format!("{{\"id\":{id},\"price\":\"free\"}}").into(),
            4 => format!("{{\"id\":{id},\"price\":1}}\u{0}").into(),
            _ => vec![b'{', 0xff, b'}'],
        },
    },
    Broken {
        format: "csv",
        columns: "id BIGINT NOT NULL, price DECIMAL(10, 2)",
        good: |id| (format!("{id} | {id}.25"), format!("{id},{id}.25").into()),
        bad: |id| match id % 5 {
            0 => id.to_string().into(),
            1 => format!("{id},1,2").into(),
            2 => format!("x{id},1").into(),
            3 => format!("{id},\"1").into(),
            _ => vec![b'1', b',', 0xff],
        },
    },
    Broken {
        format: "debezium-json",
        columns: "id BIGINT NOT NULL, price DECIMAL(10, 2)",
        good: |id| {
            let after = format!("{{\"id\":{id},\"price\":{id}.25}}");
            let change = format!("{{\"before\":null,\"after\":{after},\"op\":\"c\"}}");
            (format!("{id} | {id}.25"), change.into())
        },
        bad: |id| match id % 7 {
            0 => format!("{{\"id\":{id},\"price\":1}}").into(),
            1 => "{\"before\":null,\"after\":null,\"op\":\"c\"}".into(),
            2 => format!("{{\"after\":{{\"id\":{id},\"price\":1}},\"op\":\"z\"}}").into(),
            3 => format!("{{\"after\":{{\"id\":\"x\",\"price\":{id}}},\"op\":\"c\"}}").into(),
            4 => format!("{{\"before\":null,\"after\":{{\"id\":{id}}},\"op\":\"u\"}}").into(),
            5 => format!("{{\"after\":{{\"id\":{id},\"op\":\"c\"}}").into(),
            _ => "[]".into(),
        },
    },
    Broken {
        format: "raw",
        columns: "line STRING",
        good: |id| (format!("line {id}"), format!("line {id}").into()),
        bad: |id| [b"line \xc3\x28", id.to_string().as_bytes()].concat(),
    },
    Broken {
        format: "raw",
        columns: "n INT",
        good: |id| (id.to_string(), (id as i32).to_be_bytes().into()),
        bad: |id| vec![7; [0, 1, 3, 5, 8][id as usize % 5]],
    },
    Broken {
        format: "nginx",
        columns: "ip STRING, status INT, `bytes` BIGINT",
        good: |id| {
            let ip = format!("10.0.{}.{}", id / 250, id % 250);
            let request = "\"GET / HTTP/1.1\"";
            let line = format!("{ip} - - [17/May/2015:10:05:03 +0000] {request} 200 {id}");
            (format!("{ip} | 200 | {id}"), line.into())
        },
        bad: |id| {
            let line = match id % 6 {
                0 => "10.0.0.1 - - [17/May/2015:10:05:03 +0000".to_owned(),
                1 => format!("10.0.0.1 - - [17/Mai/2015:10:05:03 +0000] \"GET /{id}\" 200 1"),
                2 => format!("10.0.0.1 - - [17/May/2015:10:05:03 +0000] \"GET /{id} 200 1"),
                3 => format!("10.0.0.1 - - [17/May/2015:10:05:03 +0000] \"GET /{id}\" ok 1"),
                4 => format!("10.0.0.1 - - [31/Feb/2015:10:05:03 +0000] \"GET /{id}\" 200 1"),
                _ => String::new(),
            };
            line.into_bytes()
        },
    },
];

/// All records, the first one good; and what is read of the good ones.
fn records(format: &Broken) -> (Vec<Vec<u8>>, Vec<String>) {
    let (mut records, mut shown) = (Vec::new(), Vec::new());
    for id in 0..BROKEN {
        if id % 4 == 0 {
            let (text, record) = (format.good)(id / 4 + 1);
            shown.push(text);
            records.push(record);
        }
        records.push((format.bad)(id));
    }
    shown.sort_unstable();
    (records, shown)
}

fn count(session: &mut Session, query: &str) -> Vec<String> {
    sorted_rows(&run(session, query).unwrap_or_else(|e| panic!("{query}: {e}")).expect("rows"))
}

#[test]
fn every_broken_record_is_an_error_or_a_dead_letter() {
    let engine = Cluster::engine();
    let mut session = Session::new(engine.clone());
    run(&mut session, "SET 'execution.until-caught-up' = 'true'").unwrap();
    for (number, format) in FORMATS.iter().enumerate() {
        let (records, shown) = records(format);
        assert_eq!((records.len() as u64, shown.len() as u64), (BROKEN + GOOD, GOOD));
        let schema = Arc::new(Schema::new(vec![Field::new("line", DataType::Binary, false)]));
        let lines: BinaryArray = records.iter().map(Some).collect();
        let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(lines)]).unwrap();
        let batches = vec![Changes::inserts(batch)];
        engine.register_memory(
            format!("lines{number}").as_str(),
            MemoryTable { schema, batches, watermark: None },
        );
        let table = |name: &str, columns: &str, options: &str| {
            format!(
                "CREATE TABLE {name}{number} ({columns}) WITH ('connector' = 'riverrun', 'topic' = 'in{number}', {options});"
            )
        };
        let read = format!("'format' = '{}'", format.format);
        let kept = format!("{read}, 'on-error' = 'dead-letter'");
        run(
            &mut session,
            &[
                table("bytes", "line BYTES", "'format' = 'raw'"),
                table("strict", format.columns, &read),
                table("kept", format.columns, &kept),
                format!("INSERT INTO bytes{number} SELECT line FROM lines{number};"),
            ]
            .concat(),
        )
        .unwrap();
        let what = format!("{} with {}", format.format, format.columns);

        for mode in ["batch", "streaming"] {
            run(&mut session, &format!("SET 'execution.runtime-mode' = '{mode}'")).unwrap();
            let failed = run(&mut session, &format!("SELECT * FROM strict{number}"));
            let told = failed.expect_err(&what).to_string();
            // The first record is good.
            assert!(told.contains(&format!("in{number}-0@1: ")), "{what} in {mode} mode: {told}");
        }

        // Still in streaming mode, where dead letters are committed with what was read.
        let rows = count(&mut session, &format!("SELECT * FROM kept{number}"));
        assert_eq!(rows.len() as u64, GOOD, "{what}");
        assert!(rows == shown, "{what}: other rows than those of the good records");
        run(
            &mut session,
            &format!(
                "CREATE TABLE letters{number} (line BYTES, h MAP<STRING, BYTES> METADATA FROM 'headers' VIRTUAL)
                     WITH ('connector' = 'riverrun', 'topic' = 'in{number}.dead-letters', 'format' = 'raw')"
            ),
        )
        .unwrap();
        let letters = count(
            &mut session,
            &format!(
                "SELECT COUNT(*), COUNT(DISTINCT CAST(h['riverrun.source'] AS STRING)),
                     COUNT(*) FILTER (WHERE CHAR_LENGTH(CAST(h['riverrun.error'] AS STRING)) > 10)
                 FROM letters{number}"
            ),
        );
        // Each once, each with a place of its own and a reason.
        assert_eq!(letters, [format!("{BROKEN} | {BROKEN} | {BROKEN}")], "{what}");
    }
}
