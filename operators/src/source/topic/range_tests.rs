//! Which records of a topic are read, and where those go that cannot be decoded.

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_schema::{DataType, Field};
use proptest::prelude::*;
use riverrun_dataflow::{Batch, SourceEvent, Timestamp, testing};
use riverrun_log_store::Headers;

use super::tests::{Driver, open, put, store, texts};
use super::*;
use crate::format::table::{
    JsonOptions, LayoutColumn, Origin, TableDecoder, TableFormat, TableLayout,
};
use crate::format::{DecodedColumns, OnError};

/// Every record is `partition:offset`, its timestamp ten times its offset.
fn filled() -> (riverrun_log_store::environment::sim::Simulation, Store) {
    let (simulation, store) = store(2);
    for partition in 0..2 {
        for batch in 0..4 {
            let records: Vec<(Timestamp, String)> = (0..5)
                .map(|n| batch * 5 + n)
                .map(|offset| (offset * 10, format!("{partition}:{offset}")))
                .collect();
            let records: Vec<_> = records.iter().map(|(at, text)| (*at, text.as_str())).collect();
            put(&store, partition, &records);
        }
    }
    (simulation, store)
}

fn read(source: &mut Driver) -> Vec<String> {
    let mut texts = texts(source.all());
    texts.sort_by_key(|text| {
        let (partition, offset) = text.split_once(':').unwrap();
        (partition.to_owned(), offset.parse::<i64>().unwrap())
    });
    texts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Wherever reading begins and ends, in batches or within them, it is just these records.
    #[test]
    fn reads_what_lies_between(start in prop_oneof![
        Just(Start::Earliest), Just(Start::Latest), (0i64..25).prop_map(Start::Offset), (0i64..250).prop_map(Start::Timestamp)
    ], first in proptest::option::of(0i64..25), end in proptest::option::of(prop_oneof![
        (0i64..250).prop_map(End::Timestamp), (0i64..21).prop_map(|offset| End::Offsets([(1, offset)].into()))
    ]), only in proptest::option::of(0u32..2)) {
        let (_simulation, store) = filled();
        let mut input = TopicInput::new("t").bounded().start(start);
        if let Some(first) = first {
            input = input.start_offsets([(1, first)].into());
        }
        if let Some(end) = &end {
            input = input.end(end.clone());
        }
        if let Some(only) = only {
            input = input.partitions(vec![only]);
        }
        let mut expected = Vec::new();
        for partition in (0..2u32).filter(|p| only.is_none_or(|only| only == *p)) {
            let from = match (first, start) {
                (Some(first), _) if partition == 1 => first,
                (_, Start::Earliest) => 0,
                (_, Start::Latest) => 20,
                (_, Start::Offset(offset)) => offset,
                (_, Start::Timestamp(at)) => (at + 9) / 10,
            };
            let to = match &end {
                None => 20,
                Some(End::Timestamp(at)) => (at + 9) / 10,
                Some(End::Offsets(_)) if partition == 0 => 0,
                Some(End::Offsets(ends)) => ends[&1],
            };
            expected.extend((from..to.min(20)).map(|offset| format!("{partition}:{offset}")));
        }
        prop_assert_eq!(read(&mut open(&store, input)), expected);
    }
}

fn span(most: i64) -> impl Strategy<Value = Span> {
    let first = prop_oneof![Just(i64::MIN), 0..most];
    let last = prop_oneof![Just(i64::MAX), 0..most];
    (first, last).prop_map(|(first, last)| Span { first, last })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// All that is wanted is read, and nothing before it, behind its last offset, or of other partitions.
    #[test]
    fn what_is_not_wanted_is_left_out(
        offsets in span(25), timestamps in span(250), only in proptest::option::of(0u32..3), start in 0i64..20, bounded in any::<bool>()
    ) {
        let (_simulation, store) = filled();
        let wanted = Wanted { partitions: only.map(|only| [only].into()), offsets, timestamps };
        let input = TopicInput::new("t").set_bounded(bounded).start(Start::Offset(start)).wanted(wanted.clone());
        let mut source = open(&store, input);
        let found = read(&mut source);
        for partition in (0..2u32).filter(|p| only.is_none_or(|only| only == *p)) {
            for offset in start..20 {
                let within = |span: Span, at: i64| (span.first..=span.last).contains(&at);
                let is_found = found.contains(&format!("{partition}:{offset}"));
                let is_wanted = within(offsets, offset) && within(timestamps, offset * 10);
                prop_assert!(is_found || !is_wanted, "{partition}:{offset} of {wanted}");
                let needless = offset < offsets.first || offset * 10 < timestamps.first || (bounded && offset > offsets.last);
                prop_assert!(!(is_found && needless), "{partition}:{offset} of {wanted}");
            }
        }
        let of_others = found.iter().find(|text| only.is_some_and(|only| !text.starts_with(&format!("{only}:"))));
        prop_assert_eq!(of_others, None);
    }
}

#[test]
fn batches_whose_records_are_all_too_old_or_too_new_are_not_looked_at() {
    let (_simulation, store) = store(1);
    put(&store, 0, &[(500, "late")]);
    put(&store, 0, &[(10, "early"), (20, "early")]);
    put(&store, 0, &[(900, "one too late")]);
    put(&store, 0, &[(900, "not alone"), (100, "within")]);
    let timestamps = Span { first: 100, last: 500 };
    let wanted = Wanted { timestamps, ..Wanted::default() };
    let mut source = open(&store, TopicInput::new("t").bounded().wanted(wanted));
    // In their order: the last batch may hold one that is wanted, and does.
    assert_eq!(texts(source.all()), ["late", "not alone", "within"]);
}

#[test]
fn an_end_that_is_yet_to_come_is_waited_for() {
    let (_simulation, store) = filled();
    let input = TopicInput::new("t").start(Start::Latest).end(End::Offsets([(0, 22)].into()));
    let mut source = open(&store, input);
    assert!(read(&mut source).is_empty());
    put(&store, 0, &[(200, "0:20"), (210, "0:21"), (220, "0:22")]);
    source.woken.wait();
    assert_eq!(read(&mut source), ["0:20", "0:21"]);
}

fn numbers(
    store: &Store,
    positions: BTreeMap<String, Vec<u8>>,
) -> TopicSource<DecodedColumns<TableDecoder>> {
    let field = Arc::new(Field::new("n", DataType::Int64, false));
    let layout = TableLayout {
        format: TableFormat::Json(JsonOptions::default()),
        fields: vec![field.clone()],
        key: None,
        columns: vec![LayoutColumn { field, origin: Origin::Value(0) }],
        upsert: false,
    };
    let mut resources = Resources::default();
    resources.insert(store.clone());
    let input = TopicInput::new("t").bounded().batch_rows(1).on_error(OnError::dead_letter("dead"));
    let decoder = DecodedColumns(TableDecoder::new(layout).unwrap());
    let mut source = TopicSource::new(input, decoder, &resources).unwrap();
    let context =
        testing::context(Arc::<riverrun_dataflow::ManualClock>::default(), Arc::default());
    let restored = RestoredState { positions, ..RestoredState::default() };
    source.open(&context, Some(restored)).unwrap();
    source
}

fn next(source: &mut impl Source) -> Option<Batch> {
    loop {
        match source.poll(&mut Context::from_waker(std::task::Waker::noop())) {
            Poll::Ready(event) => match event.unwrap() {
                SourceEvent::Batch(batch) => return Some(batch),
                SourceEvent::Split(..) => {}
                SourceEvent::End => return None,
            },
            Poll::Pending => panic!("a bounded source does not wait"),
        }
    }
}

fn values(batch: Batch) -> Vec<i64> {
    let columns = batch.into_columns("test").unwrap();
    columns.batch.column(0).as_primitive::<Int64Type>().values().to_vec()
}

type Letter = (Option<Vec<u8>>, Option<Vec<u8>>, Vec<(Vec<u8>, Option<Vec<u8>>)>, Timestamp);

fn letters(store: &Store) -> Vec<Letter> {
    let Ok(log) = store.partition("dead", 0) else { return Vec::new() };
    let fetch = log.read(0, 1 << 20, riverrun_log_store::Isolation::ReadCommitted).unwrap();
    let mut letters = Vec::new();
    for batch in &fetch.batches {
        for record in batch.records(&mut Decompressor::new()).unwrap().iter() {
            let record = record.unwrap();
            let bytes = |bytes: &[u8]| bytes.to_vec();
            let headers =
                |headers: Headers<'_>| headers.map(|(n, v)| (bytes(n), v.map(bytes))).collect();
            letters.push((
                record.key.map(bytes),
                record.value.map(bytes),
                headers(record.headers),
                record.timestamp,
            ));
        }
    }
    letters
}

#[test]
fn broken_records_are_kept_as_they_are_and_durable_before_the_position_behind_them() {
    let (simulation, mut store) = store(1);
    let records: [(&str, &str); 4] =
        [("a", r#"{"n":1}"#), ("b", "{"), ("c", r#"{"n":2}"#), ("d", r#"{"n":"x"}"#)];
    for (key, value) in records {
        let mut builder =
            riverrun_log_store::BatchBuilder::new(riverrun_log_store::Compression::None).unwrap();
        let headers = [(&b"h"[..], Some(&b"1"[..])), (&b"\xff"[..], None)];
        builder
            .append_with_headers(
                77,
                Some(key.as_bytes()),
                Some(value.as_bytes()),
                headers.into_iter(),
            )
            .unwrap();
        store.partition("t", 0).unwrap().append_durable(&mut builder.finish().unwrap()).unwrap();
    }
    let letter = |key: &str, value: &str, offset: u32, reason: &str| -> Letter {
        let bytes = |text: &str| text.as_bytes().to_vec();
        let headers = vec![
            (bytes("h"), Some(bytes("1"))),
            (vec![0xff], None),
            (bytes("riverrun.error"), Some(bytes(reason))),
            (bytes("riverrun.source"), Some(bytes(&format!("t-0@{offset}")))),
        ];
        (Some(bytes(key)), Some(bytes(value)), headers, 77)
    };
    let first =
        letter("b", "{", 1, "not JSON: expected a field's name in quotes at byte 1, found its end");
    let second = letter("d", r#"{"n":"x"}"#, 3, r#"field `n`: expected BIGINT, found "x""#);

    // The position behind the first broken record was taken: then it is on disk, whatever happens next.
    let mut source = numbers(&store, BTreeMap::new());
    assert_eq!(values(next(&mut source).unwrap()), [1]);
    assert_eq!(values(next(&mut source).unwrap()), [2]);
    let positions = source.snapshot().unwrap();
    assert!(next(&mut source).is_none());
    drop(source);
    simulation.crash();
    store = Store::open_in(
        simulation.environment(),
        "/data",
        riverrun_log_store::StoreOptions::default(),
    )
    .unwrap();
    assert_eq!(letters(&store), [first.clone(), second.clone()]);

    // What lies behind it is read again, and written again.
    let mut source = numbers(&store, positions);
    assert!(next(&mut source).is_none());
    assert_eq!(letters(&store), [first, second.clone(), second]);
}

#[test]
fn without_a_flush_a_crash_takes_letters_and_position() {
    let (simulation, store) = store(1);
    put(&store, 0, &[(0, "{"), (0, r#"{"n":1}"#)]);
    let mut source = numbers(&store, BTreeMap::new());
    assert_eq!(values(next(&mut source).unwrap()), [1]);
    drop(source);
    simulation.crash();
    let store = Store::open_in(
        simulation.environment(),
        "/data",
        riverrun_log_store::StoreOptions::default(),
    )
    .unwrap();
    assert!(letters(&store).is_empty());
    let mut source = numbers(&store, BTreeMap::new());
    assert_eq!(values(next(&mut source).unwrap()), [1]);
    source.snapshot().unwrap();
    assert_eq!(letters(&store).len(), 1);
}
