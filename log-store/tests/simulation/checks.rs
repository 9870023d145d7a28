//! Reading back, and comparing with the model.

use std::collections::{BTreeMap, BTreeSet};

use riverrun_log_store::{
    AbortedTransaction, Batch, Error, ErrorKind, Isolation, Partition, TransactionOutcome,
};

use crate::model::{Entry, Fate, Log, Place, What};
use crate::random::Random;

/// Why a history is wrong.
pub type Violation = String;

/// Whether damaged or unreadable batches are to be expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readable {
    /// Every read must succeed.
    All,
    /// Reads may fail; what they return must be right.
    Some,
}

/// What a walk over a partition found.
pub struct Walk {
    pub batches: Vec<Batch>,
    pub aborted: Vec<AbortedTransaction>,
    /// Where reading failed.
    pub failed: Option<Error>,
}

/// Reads from `from` to the frontier.
pub fn walk(log: &Partition, from: i64, isolation: Isolation, random: &mut Random) -> Walk {
    let mut walk = Walk { batches: Vec::new(), aborted: Vec::new(), failed: None };
    let mut offset = from;
    loop {
        let max_bytes = *random.pick(&[1, 700, 5_000, 1 << 20]);
        match log.read(offset, max_bytes, isolation) {
            Ok(fetch) => {
                let Some(next) = fetch.next_offset() else { return walk };
                walk.aborted.extend(fetch.aborted.iter().copied());
                walk.batches.extend(fetch.batches);
                offset = next;
            }
            Err(error) => {
                walk.failed = Some(error);
                return walk;
            }
        }
    }
}

/// Compares a batch that was read with what must be there.
fn compare(place: &Place, entry: &mut Entry, batch: &Batch) -> Result<(), Violation> {
    let header = batch.header();
    let at = format!("{}-{} offset {}", place.0, place.1, header.base_offset);
    batch.verify_crc().map_err(|e| format!("{at}: {e}"))?;
    if header.base_offset != entry.base {
        return Err(format!("{at}: expected the batch at offset {}", entry.base));
    }
    match &mut entry.what {
        What::Data { bytes, .. } if bytes[..] == batch.bytes()[..] => Ok(()),
        What::Data { .. } => Err(format!("{at}: other bytes than those that were appended")),
        What::Marker(known) => {
            let outcome = batch.control_marker().map_err(|e| format!("{at}: {e}"))?;
            if !header.attributes.is_control() || header.next_offset() != entry.next {
                return Err(format!("{at}: expected a marker"));
            }
            let outcome = outcome.ok_or_else(|| format!("{at}: a marker of no known kind"))?;
            let found = (header.producer_id, outcome);
            match known {
                Some(known) if *known != found => Err(format!("{at}: the marker has changed")),
                _ => {
                    *known = Some(found);
                    Ok(())
                }
            }
        }
    }
}

/// After the store was opened again: takes over into the model what is there, and checks that this
/// may be. `lossless`: the machine did not crash, so everything written must be there.
pub fn adopt(
    place: &Place,
    log: &mut Log,
    open: &Partition,
    lossless: bool,
    random: &mut Random,
) -> Result<(), Violation> {
    let name = format!("{}-{}", place.0, place.1);
    let offsets = open.offsets();
    if offsets.log_start < log.log_start || (offsets.log_start > log.log_start && !log.trims) {
        return Err(format!("{name}: log start {} after {}", offsets.log_start, log.log_start));
    }
    log.log_start = offsets.log_start;
    let found = walk(open, offsets.log_start, Isolation::ReadUncommitted, random);
    if let Some(error) = found.failed {
        return Err(format!("{name}: cannot be read after opening: {error}"));
    }
    let stopped = log.stopped;
    let doubtful = std::mem::take(&mut log.doubtful);
    let certain = log.entries.len();
    log.entries.extend(doubtful);
    let mut at = log.entries.partition_point(|entry| entry.next <= offsets.log_start);
    let mut batches = found.batches.iter().peekable();
    while let (Some(batch), Some(entry)) = (batches.peek(), log.entries.get_mut(at)) {
        // Markers that recovery has written may stand where lost batches were.
        let header = batch.header();
        let marker_for_lost = header.attributes.is_control()
            && matches!(entry.what, What::Data { .. })
            && entry.base >= log.durable
            && entry.base == header.base_offset;
        if marker_for_lost {
            break;
        }
        compare(place, entry, batch)?;
        batches.next();
        at += 1;
    }
    let lost_from = log.entries.get(at).map(|entry| entry.base);
    if let Some(base) = lost_from {
        if base < log.durable {
            let durable = log.durable;
            return Err(format!("{name}: acknowledged up to {durable}, but lost from {base} on"));
        }
        if lossless && !stopped && at < certain {
            return Err(format!("{name}: lost from {base} on without a crash"));
        }
    }
    log.entries.truncate(at);
    for batch in batches {
        let header = batch.header();
        let (base, next) = (header.base_offset, header.next_offset());
        if !header.attributes.is_control() {
            return Err(format!("{name}: records at offset {base} that nobody has sent"));
        }
        let mut entry = Entry { base, next, what: What::Marker(None) };
        compare(place, &mut entry, batch)?;
        log.entries.push(entry);
    }
    if offsets.log_end != log.end().max(offsets.log_start)
        || offsets.high_watermark != offsets.log_end
    {
        return Err(format!("{name}: {offsets:?}, but the last batch ends at {}", log.end()));
    }
    if !log.relaxed {
        // It is visible now, so it must never go away.
        log.durable = offsets.log_end;
    }
    log.durable = log.durable.min(offsets.log_end);
    log.high_watermark = offsets.high_watermark;
    log.stopped = false;
    Ok(())
}

/// Checks all of a partition: bytes, frontiers, and what a `read_committed` reader sees.
pub fn check(
    place: &Place,
    log: &mut Log,
    fates: &[Fate],
    open: &Partition,
    readable: Readable,
    random: &mut Random,
) -> Result<(), Violation> {
    let name = format!("{}-{}", place.0, place.1);
    let offsets = open.offsets();
    let found = walk(open, offsets.log_start, Isolation::ReadUncommitted, random);
    let whole = found.failed.is_none();
    tolerate(&name, found.failed, readable)?;
    let from = log.entries.partition_point(|entry| entry.next <= offsets.log_start);
    let to = log.entries.partition_point(|entry| entry.next <= offsets.high_watermark);
    for (at, batch) in (from..).zip(&found.batches) {
        let Some(entry) = log.entries[..to].get_mut(at) else {
            return Err(format!("{name}: a batch at {} beyond what was sent", batch.base_offset()));
        };
        compare(place, entry, batch)?;
    }
    if whole && from + found.batches.len() != to {
        return Err(format!("{name}: {} batches, expected {}", found.batches.len(), to - from));
    }
    let Some(decided) = decide(&name, &log.entries[..to], fates)? else { return Ok(()) };
    let first_open = decided.open.values().map(|(_, first)| *first).min();
    let undecided_from = first_open.unwrap_or(i64::MAX).min(offsets.high_watermark);
    let stable = undecided_from.max(offsets.log_start);
    if whole && offsets.last_stable != stable {
        let last_stable = offsets.last_stable;
        return Err(format!("{name}: last stable offset {last_stable}, expected {stable}"));
    }
    if offsets.last_stable > stable {
        return Err(format!("{name}: last stable offset {} beyond {stable}", offsets.last_stable));
    }

    // A committed read from anywhere.
    let span = (offsets.last_stable - offsets.log_start).max(0) as usize + 1;
    let start = offsets.log_start + random.below(span) as i64;
    let found = walk(open, start, Isolation::ReadCommitted, random);
    let whole = found.failed.is_none();
    tolerate(&name, found.failed, readable)?;
    let seen = visible(&found.batches, &found.aborted);
    let expected: Vec<i64> = log.entries[..to]
        .iter()
        .enumerate()
        .filter(|(at, entry)| {
            let data = matches!(entry.what, What::Data { .. });
            let hidden = decided.aborted.contains(at);
            data && !hidden && entry.next > start && entry.base < undecided_from
        })
        .map(|(_, entry)| entry.base)
        .collect();
    let right = if whole { seen == expected } else { expected.starts_with(&seen) };
    if !right {
        return Err(format!(
            "{name}: committed batches from {start}: {seen:?}, expected {expected:?}"
        ));
    }
    if whole && readable == Readable::All {
        check_timestamp(&name, log, to, open, random)?;
    }
    Ok(())
}

fn tolerate(name: &str, failed: Option<Error>, readable: Readable) -> Result<(), Violation> {
    match failed {
        None => Ok(()),
        Some(error) if readable == Readable::Some => match error.kind() {
            ErrorKind::Damaged | ErrorKind::Io => Ok(()),
            _ => Err(format!("{name}: a read failed with {error}")),
        },
        Some(error) => Err(format!("{name}: a read failed: {error}")),
    }
}

struct Decided {
    /// Entries of aborted transactions.
    aborted: BTreeSet<usize>,
    /// Open transactions by producer id: which, and its first offset.
    open: BTreeMap<i64, (usize, i64)>,
}

/// Follows transactions over the entries; each marker must agree with what its owner was told. `None`
/// if a marker was never read, so that nothing can be said.
fn decide(name: &str, entries: &[Entry], fates: &[Fate]) -> Result<Option<Decided>, Violation> {
    let mut decided = Decided { aborted: BTreeSet::new(), open: BTreeMap::new() };
    let mut parts: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (at, entry) in entries.iter().enumerate() {
        match &entry.what {
            What::Data { producer, transaction: Some(transaction), .. } => {
                let open = decided.open.entry(*producer).or_insert((*transaction, entry.base));
                if open.0 != *transaction {
                    return Err(format!("{name}: two transactions run together at {}", entry.base));
                }
                parts.entry(*transaction).or_default().push(at);
            }
            What::Data { .. } => {}
            What::Marker(None) => return Ok(None),
            What::Marker(Some((producer, outcome))) => {
                let Some((transaction, _)) = decided.open.remove(producer) else {
                    return Err(format!("{name}: a marker at {} ends nothing", entry.base));
                };
                let expected = match fates[transaction] {
                    Fate::Committed => Some(TransactionOutcome::Commit),
                    Fate::Aborted => Some(TransactionOutcome::Abort),
                    Fate::Open | Fate::Doubtful => None,
                };
                if expected != Some(*outcome) {
                    let fate = fates[transaction];
                    return Err(format!(
                        "{name}: marker {outcome} at {} for transaction {transaction}, which is {fate:?}",
                        entry.base
                    ));
                }
                if *outcome == TransactionOutcome::Abort {
                    decided.aborted.extend(parts.remove(&transaction).unwrap_or_default());
                }
            }
        }
    }
    Ok(Some(decided))
}

/// Base offsets of the batches that a `read_committed` consumer hands on, found as Kafka's clients do it.
fn visible(batches: &[Batch], aborted: &[AbortedTransaction]) -> Vec<i64> {
    let mut ahead: Vec<&AbortedTransaction> = aborted.iter().collect();
    ahead.sort_by_key(|entry| (entry.first_offset, entry.last_offset));
    ahead.dedup();
    let mut ahead = ahead.into_iter().peekable();
    let mut skipping = BTreeSet::new();
    let mut seen = Vec::new();
    for batch in batches {
        let header = batch.header();
        while let Some(entry) = ahead.next_if(|entry| entry.first_offset <= header.last_offset()) {
            skipping.insert(entry.producer_id);
        }
        if header.attributes.is_control() {
            if batch.control_marker().ok().flatten() == Some(TransactionOutcome::Abort) {
                skipping.remove(&header.producer_id);
            }
        } else if !(header.attributes.is_transactional() && skipping.contains(&header.producer_id))
        {
            seen.push(header.base_offset);
        }
    }
    seen
}

fn check_timestamp(
    name: &str,
    log: &Log,
    to: usize,
    open: &Partition,
    random: &mut Random,
) -> Result<(), Violation> {
    let wanted = 1_000 + random.below(3_000) as i64;
    let log_start = open.offsets().log_start;
    let mut expected = None;
    'search: for entry in &log.entries[..to] {
        if let What::Data { timestamps, .. } = &entry.what {
            for (offset, timestamp) in (entry.base..).zip(timestamps) {
                if offset >= log_start && *timestamp >= wanted {
                    expected = Some((offset, *timestamp));
                    break 'search;
                }
            }
        }
    }
    let found = open.offset_for_timestamp(wanted).map_err(|e| format!("{name}: {e}"))?;
    if found != expected {
        return Err(format!("{name}: timestamp {wanted} at {found:?}, expected {expected:?}"));
    }
    Ok(())
}
