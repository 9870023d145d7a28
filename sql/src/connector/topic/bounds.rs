//! Where a table says that reading begins and ends.

use std::collections::BTreeMap;

use riverrun_operators::{End, Start};

use crate::Result;
use crate::connector::options::Options;

/// Where reading begins: everywhere, and in some partitions.
pub(super) fn start(options: &Options<'_>) -> Result<(Start, BTreeMap<u32, i64>)> {
    #[derive(Clone, Copy)]
    enum Mode {
        Earliest,
        Latest,
        Timestamp,
        Offsets,
    }
    // A job goes on from its checkpoint, not from what a consumer group has committed.
    let modes = [
        ("earliest-offset", Mode::Earliest),
        ("latest-offset", Mode::Latest),
        ("timestamp", Mode::Timestamp),
        ("specific-offsets", Mode::Offsets),
        ("group-offsets", Mode::Earliest),
    ];
    let mode = options.choice("scan.startup.mode", &modes)?.unwrap_or(Mode::Earliest);
    let timestamp = options.number("scan.startup.timestamp-millis", 0)?;
    let offsets = options.text("scan.startup.specific-offsets");
    Ok(match (mode, timestamp) {
        (Mode::Timestamp, None) => {
            return Err(options
                .wrong("'scan.startup.mode' = 'timestamp' needs 'scan.startup.timestamp-millis'"));
        }
        (Mode::Timestamp, Some(timestamp)) => (Start::Timestamp(timestamp), BTreeMap::new()),
        (_, Some(_)) => {
            return Err(options.wrong(
                "'scan.startup.timestamp-millis' is for 'scan.startup.mode' = 'timestamp'",
            ));
        }
        (Mode::Offsets, None) => {
            (Start::Earliest, options.offsets("scan.startup.specific-offsets")?)
        }
        _ if offsets.is_some() => {
            return Err(options.wrong(
                "'scan.startup.specific-offsets' is for 'scan.startup.mode' = 'specific-offsets'",
            ));
        }
        (Mode::Latest, None) => (Start::Latest, BTreeMap::new()),
        (Mode::Earliest, None) => (Start::Earliest, BTreeMap::new()),
    })
}

/// Whether the present end is the end, and another end.
pub(super) fn end(options: &Options<'_>) -> Result<(bool, Option<End>)> {
    let modes = [
        ("unbounded", 0),
        ("latest-offset", 1),
        ("timestamp", 2),
        ("specific-offsets", 3),
        ("group-offsets", 4),
    ];
    let mode = options.choice("scan.bounded.mode", &modes)?.unwrap_or(0);
    let timestamp = options.number("scan.bounded.timestamp-millis", 0)?;
    options.accept(&["scan.bounded.specific-offsets"]);
    match mode {
        0 => Ok((false, None)),
        1 => Ok((true, None)),
        2 => match timestamp {
            Some(timestamp) => Ok((false, Some(End::Timestamp(timestamp)))),
            None => Err(options
                .wrong("'scan.bounded.mode' = 'timestamp' needs 'scan.bounded.timestamp-millis'")),
        },
        3 => {
            let ends = options.offsets("scan.bounded.specific-offsets")?;
            Ok((false, Some(End::Offsets(ends))))
        }
        _ => Err(options
            .wrong("'scan.bounded.mode' = 'group-offsets' is not supported: there are no groups")),
    }
}
