//! Ten thousand broken records of every kind: each is an error with a reason, and none disturbs its neighbours.

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::*;

fn fields() -> Vec<FieldRef> {
    vec![
        required("id", DataType::Int64),
        field("price", DataType::Decimal128(10, 2)),
        field("at", DataType::Timestamp(TimeUnit::Millisecond, None)),
        field("name", DataType::Utf8),
        field("tags", list(DataType::Int32)),
    ]
}

fn good_json(id: u64) -> String {
    format!(
        r#"{{"id":{id},"price":{id}.25,"at":"2020-01-01 00:00:{:02}","name":"n\u00e9 {id}","tags":[1,{id}]}}"#,
        id % 60
    )
}

/// A record that is broken in a way that the kind says.
fn broken_json(id: u64, kind: u32, random: &mut SmallRng) -> Vec<u8> {
    let good = good_json(id);
    let text = match kind {
        0 => good[..random.random_range(0..good.len() - 1)].to_owned(),
        1 => good.replacen(&format!(r#""id":{id}"#), r#""id":"seven""#, 1),
        2 => good.replacen(&format!(r#""id":{id},"#), "", 1),
        3 => good.replacen(
            "2020-01-01",
            ["2020-13-01", "2020-02-30", "20-1-1", "yesterday"].choose(random).unwrap(),
            1,
        ),
        4 => good.replacen(&format!("{id}.25"), "1e12", 1),
        5 => good.replacen("[1,", "[1.5,", 1),
        6 => good.replacen("[1,", "[{},", 1),
        7 => format!("{good}{good}"),
        8 => good.replacen(':', ["", ",", "::", "="].choose(random).unwrap(), 1),
        9 => good.replacen(
            r"\u00e9",
            [r"\x", r"\ud800", r"\u12", "\u{1}"].choose(random).unwrap(),
            1,
        ),
        10 => good.replacen(&format!(r#""id":{id}"#), r#""id":99999999999999999999"#, 1),
        11 => good.replacen(&format!(r#""id":{id}"#), r#""id":null"#, 1),
        12 => "[".repeat(random.random_range(1..2000)),
        13 => String::new(),
        14 => ["null", "7", r#""text""#, "[]", "nul"].choose(random).unwrap().to_string(),
        _ => {
            let mut bytes = good.into_bytes();
            let at = random.random_range(0..bytes.len());
            bytes.insert(at, 0xff);
            return bytes;
        }
    };
    text.into_bytes()
}

#[test]
fn ten_thousand_broken_objects() {
    let mut random = SmallRng::seed_from_u64(7);
    let mut strict = decoder(TableFormat::Json(JsonOptions::default()), &fields());
    let mut mixed = Vec::new();
    let mut good = Vec::new();
    for id in 0..10_000u64 {
        let broken = value(broken_json(id, id as u32 % 16, &mut random));
        let reason = reason(&mut strict, &broken);
        let text = String::from_utf8_lossy(broken.value.as_deref().unwrap()).into_owned();
        let reason = reason.unwrap_or_else(|| panic!("accepted: {text}"));
        assert!(
            reason.starts_with("field `")
                || reason.starts_with("not JSON")
                || reason.contains("in each other"),
            "{reason}"
        );
        mixed.push(broken);
        if random.random_bool(0.3) {
            good.push(value(good_json(id)));
            mixed.push(value(good_json(id)));
        }
    }
    let (expected, rejected) = decoded(&mut strict, &good);
    assert_eq!(rejected, 0);
    let (columns, rejected) = decoded(&mut strict, &mixed);
    assert_eq!((columns.batch, rejected), (expected.batch, 10_000));
}

#[test]
fn ten_thousand_broken_lines() {
    let mut random = SmallRng::seed_from_u64(8);
    let mut decoder = decoder(TableFormat::Csv(CsvOptions::default()), &fields());
    let line = |id: u64| format!("{id},{id}.5,2020-01-01 00:00:00,\"n \"\"{id}\"\"\",1;{id}");
    let (mut mixed, mut good) = (Vec::new(), Vec::new());
    for id in 0..10_000u64 {
        let line = line(id);
        let broken = match id % 7 {
            0 => line.rsplit_once(',').unwrap().0.to_owned(),
            1 => format!("{line},more"),
            2 => line.replacen(&format!("{id},"), "x,", 1),
            3 => line.replacen(
                "2020-01-01",
                ["2020-1-1", "never", "2021-02-29"].choose(&mut random).unwrap(),
                1,
            ),
            4 => line.replacen("\",1;", ",1;", 1),
            5 => line.replacen("1;", "1;;x", 1),
            _ => line.replacen(&format!("{id},"), ",", 1),
        };
        let reason = reason(&mut decoder, &value(&broken));
        let reason = reason.unwrap_or_else(|| panic!("accepted: {broken}"));
        assert!(reason.contains("expected"), "{reason}");
        mixed.extend([value(&broken), value(&line)]);
        good.push(value(&line));
    }
    let (expected, _) = decoded(&mut decoder, &good);
    let (columns, rejected) = decoded(&mut decoder, &mixed);
    assert_eq!((columns.batch, rejected), (expected.batch, 10_000));
}
