use std::collections::{HashMap, HashSet};

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMillisecondType};
use serde_json::Value;

use super::*;

fn events(options: &NexmarkOptions, count: u64) -> Vec<NexmarkEvent> {
    let generator = NexmarkGenerator::new(options.clone());
    (0..count).map(|position| generator.event(position)).collect()
}

fn bids(events: &[NexmarkEvent]) -> Vec<&Bid> {
    fn bid(event: &NexmarkEvent) -> Option<&Bid> {
        match event {
            NexmarkEvent::Bid(bid) => Some(bid),
            _ => None,
        }
    }
    events.iter().filter_map(bid).collect()
}

#[test]
fn an_event_depends_on_options_and_position_only() {
    let options = NexmarkOptions { seed: 7, out_of_order_group: 100, ..NexmarkOptions::default() };
    let all = events(&options, 1000);
    let generator = NexmarkGenerator::new(options.clone());
    for position in [999, 3, 512, 3] {
        assert_eq!(generator.event(position), all[position as usize]);
    }
    let other = events(&NexmarkOptions { seed: 8, ..options }, 1000);
    let same = all.iter().zip(&other).filter(|(a, b)| a == b).count();
    assert_eq!(same, 0, "events are the same for another seed");
}

#[test]
fn events_never_change() {
    // Expected results beside the tests and figures of benchmarks rely on it.
    let mut bytes = Vec::new();
    for event in events(&NexmarkOptions { seed: 1, ..NexmarkOptions::default() }, 200) {
        event.write_json(&mut bytes);
    }
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    assert_eq!(format!("{hash:016x}"), "d965df750d5fd81f");
}

#[test]
fn kinds_are_in_proportion_and_ids_have_no_gaps() {
    let all = events(&NexmarkOptions::default(), 5000);
    let (mut people, mut auctions) = (Vec::new(), Vec::new());
    for event in &all {
        match event {
            NexmarkEvent::Person(person) => people.push(person.id),
            NexmarkEvent::Auction(auction) => auctions.push(auction.id),
            NexmarkEvent::Bid(_) => {}
        }
    }
    assert_eq!(people, (1000..1100).collect::<Vec<_>>());
    assert_eq!(auctions, (1000..1300).collect::<Vec<_>>());
    assert_eq!(bids(&all).len(), 4600);
}

#[test]
fn other_proportions_have_no_gaps_either() {
    let options = NexmarkOptions { persons: 3, auctions: 2, bids: 5, ..NexmarkOptions::default() };
    let all = events(&options, 1000);
    let ids = |kind: EventKind| -> Vec<i64> {
        let id = |event: &NexmarkEvent| match event {
            NexmarkEvent::Person(person) => person.id,
            NexmarkEvent::Auction(auction) => auction.id,
            NexmarkEvent::Bid(_) => 0,
        };
        all.iter().filter(|event| event.kind() == kind).map(id).collect()
    };
    assert_eq!(ids(EventKind::Person), (1000..1300).collect::<Vec<_>>());
    assert_eq!(ids(EventKind::Auction), (1000..1200).collect::<Vec<_>>());
}

#[test]
fn the_hot_ones_get_their_share() {
    let all = events(&NexmarkOptions::default(), 100_000);
    let bids = bids(&all);
    let share = |hot: fn(&Bid) -> bool| {
        bids.iter().filter(|bid| hot(bid)).count() as f64 / bids.len() as f64
    };
    // Half and three quarters, and what the others happen to draw of them.
    assert!((0.5..0.52).contains(&share(|bid| bid.auction % 100 == 0)));
    assert!((0.75..0.77).contains(&share(|bid| bid.bidder % 100 == 1)));
    let named: HashSet<_> = bids.iter().map(|bid| bid.channel.as_str()).collect();
    assert!(named.contains("Google") && named.len() > 9000, "{} channels", named.len());
    let mut pages = HashMap::new();
    for bid in &bids {
        assert_eq!(pages.entry(&bid.channel).or_insert(&bid.url), &&bid.url);
    }
    let prices: Vec<_> = bids.iter().map(|bid| bid.price).collect();
    assert!(prices.iter().all(|price| (100..=100_000_000).contains(price)));
    let below = prices.iter().filter(|&&price| price < 100_000).count() as f64;
    assert!((0.49..0.51).contains(&(below / prices.len() as f64)), "evenly in the logarithm");
}

#[test]
fn bids_name_auctions_that_are_open_or_about_to_be() {
    let mut newest = 999;
    for event in events(&NexmarkOptions { seed: 3, ..NexmarkOptions::default() }, 20_000) {
        match event {
            NexmarkEvent::Auction(auction) => {
                newest = auction.id;
                assert!(
                    auction.expires > auction.date_time && auction.reserve > auction.initial_bid
                );
                assert!((10..15).contains(&auction.category));
            }
            NexmarkEvent::Bid(bid) => {
                assert!(bid.auction <= newest + 10 && bid.auction >= newest - 100);
            }
            NexmarkEvent::Person(_) => {}
        }
    }
}

#[test]
fn sizes_are_right_on_average() {
    let all = events(&NexmarkOptions::default(), 50_000);
    let (mut people, mut auctions, mut offers) = (0, 0, 0);
    for event in &all {
        match event {
            NexmarkEvent::Person(p) => {
                let texts =
                    [&p.name, &p.email_address, &p.credit_card, &p.city, &p.state, &p.extra];
                people += 8 + texts.map(String::len).iter().sum::<usize>();
            }
            NexmarkEvent::Auction(a) => {
                auctions += 48 + a.item_name.len() + a.description.len() + a.extra.len();
            }
            NexmarkEvent::Bid(b) => offers += 32 + b.extra.len(),
        }
    }
    for (sum, count, average) in [(people, 1000, 200), (auctions, 3000, 500), (offers, 46_000, 100)]
    {
        let found = sum as f64 / f64::from(count);
        assert!((found / f64::from(average) - 1.0).abs() < 0.02, "{found} instead of {average}");
    }
}

#[test]
fn disorder_shuffles_groups_and_changes_nothing_else() {
    let ordered = NexmarkOptions { events_per_second: 100, ..NexmarkOptions::default() };
    let shuffled = NexmarkOptions { out_of_order_group: 50, ..ordered.clone() };
    let (ordered, shuffled) = (events(&ordered, 500), events(&shuffled, 500));
    assert_ne!(ordered, shuffled);
    for (group, (one, other)) in ordered.chunks(50).zip(shuffled.chunks(50)).enumerate() {
        let mut sorted = other.to_vec();
        sorted.sort_by_key(NexmarkEvent::date_time);
        assert_eq!(sorted, one, "group {group}");
    }
}

#[test]
fn json_and_csv_say_what_the_event_is() {
    let options = NexmarkOptions { base_time_ms: 951_782_399_000, ..NexmarkOptions::default() };
    for event in events(&options, 20_000) {
        let (mut json, mut csv) = (Vec::new(), Vec::new());
        event.write_json(&mut json);
        event.write_csv_row(&mut csv);
        let value: Value = serde_json::from_slice(&json).expect("it is JSON");
        let kind = event.kind();
        assert_eq!(value["event_type"], kind as i64);
        for other in EventKind::ALL {
            assert_eq!(value[other.name()].is_null(), other != kind);
        }
        let row = &value[kind.name()];
        let time = row["dateTime"].as_str().expect("a time is text");
        let parsed = chrono::NaiveDateTime::parse_from_str(time, "%Y-%m-%d %H:%M:%S%.3f")
            .expect("it is laid out as SQL's times are");
        assert_eq!(parsed.and_utc().timestamp_millis(), event.date_time());
        if let NexmarkEvent::Bid(bid) = &event {
            let fields = serde_json::json!({
                "auction": bid.auction, "bidder": bid.bidder, "price": bid.price,
                "channel": bid.channel, "url": bid.url, "dateTime": time, "extra": bid.extra,
            });
            assert_eq!(row, &fields);
        }
        let csv = String::from_utf8(csv).expect("it is ASCII");
        let values: Vec<_> = csv.split(',').collect();
        let fields = row.as_object().expect("a row is an object");
        assert_eq!(values.len(), fields.len());
        for value in fields.values() {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            assert!(values.contains(&text.as_str()), "{text} is not in {csv}");
        }
    }
}

#[test]
fn columns_hold_the_same_rows() {
    let all = events(&NexmarkOptions::default(), 1000);
    let mut columns = NexmarkColumns::default();
    for part in all.chunks(300) {
        part.iter().for_each(|event| columns.push(event));
        let batch = columns.finish(EventKind::Bid);
        let bids = bids(part);
        let number = |name: &str| batch[name].as_primitive::<Int64Type>().values().to_vec();
        assert_eq!(number("price"), bids.iter().map(|bid| bid.price).collect::<Vec<_>>());
        assert_eq!(number("bidder"), bids.iter().map(|bid| bid.bidder).collect::<Vec<_>>());
        let urls: Vec<_> = batch["url"].as_string::<i32>().iter().flatten().collect();
        assert_eq!(urls, bids.iter().map(|bid| bid.url.as_str()).collect::<Vec<_>>());
        let times = batch["dateTime"].as_primitive::<TimestampMillisecondType>().values().to_vec();
        assert_eq!(times, bids.iter().map(|bid| bid.date_time).collect::<Vec<_>>());
        let auctions = columns.finish(EventKind::Auction);
        assert_eq!(auctions.schema(), auction_schema());
        let of_kind = |kind| part.iter().filter(|event| event.kind() == kind).count();
        assert_eq!(auctions.num_rows(), of_kind(EventKind::Auction));
        assert_eq!(columns.finish(EventKind::Person).num_rows(), of_kind(EventKind::Person));
    }
    assert_eq!(columns.finish(EventKind::Bid).num_rows(), 0);
}
