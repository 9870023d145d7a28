//! Reading back, and comparing with the model.

use std::collections::{BTreeMap, BTreeSet};

use riverrun_log_store::{
    AbortedTransaction, Batch, Decompressor, Isolation, Partition, TransactionOutcome,
};

use crate::model::{Model, Random, Sent};

/// Why a history is wrong.
pub type Violation = String;

/// What was read, and which transactions a committed reader has to leave out.
pub struct Walk {
    pub batches: Vec<Batch>,
    aborted: Vec<AbortedTransaction>,
}

/// Reads from `from` to the frontier; batches follow each other without a break.
pub fn walk(
    log: &Partition,
    from: i64,
    isolation: Isolation,
    random: &mut Random,
) -> Result<Walk, Violation> {
    let mut walk = Walk { batches: Vec::new(), aborted: Vec::new() };
    let mut offset = from;
    loop {
        let max_bytes = random.pick(&[1, 700, 5_000, 1 << 20]);
        let fetch = log
            .read(offset, max_bytes, isolation)
            .map_err(|e| format!("cannot read from {offset}: {e}"))?;
        for batch in &fetch.batches {
            batch.verify_crc().map_err(|e| e.to_string())?;
            let header = batch.header();
            let follows = match walk.batches.last() {
                None => (header.base_offset..header.next_offset()).contains(&from),
                Some(last) => last.header().next_offset() == header.base_offset,
            };
            if !follows {
                return Err(format!("a batch at {} does not follow", header.base_offset));
            }
            walk.batches.push(batch.clone());
        }
        walk.aborted.extend(fetch.aborted.iter().copied());
        let Some(next) = fetch.next_offset() else { return Ok(walk) };
        offset = next;
    }
}

/// Offsets of the records in these batches; each must be as it was sent.
fn records(
    batches: &[Batch],
    model: &Model,
    mut is_seen: impl FnMut(&Batch) -> bool,
) -> Result<BTreeSet<i64>, Violation> {
    let mut found = BTreeSet::new();
    for batch in batches {
        let seen = is_seen(batch);
        if batch.header().attributes.is_control() {
            continue;
        }
        let text = |e: riverrun_log_store::Error| e.to_string();
        for record in batch.records(&mut Decompressor::default()).map_err(text)?.iter() {
            let record = record.map_err(text)?;
            let sent = model.records.get(&record.offset);
            let same = sent.is_some_and(|sent: &Sent| {
                record.key == Some(&sent.key[..])
                    && record.value == sent.value.as_deref()
                    && record.timestamp == sent.timestamp
                    && record.headers.last_value("h") == Some(Some(&sent.key[..]))
            });
            if !same {
                return Err(format!(
                    "the record at {} is {record:?}, sent {sent:?}",
                    record.offset
                ));
            }
            if seen {
                found.insert(record.offset);
            }
        }
    }
    Ok(found)
}

/// Which batches a `read_committed` consumer hands on, found as Kafka's clients do it.
fn visible(aborted: &[AbortedTransaction]) -> impl FnMut(&Batch) -> bool {
    let mut ahead = aborted.to_vec();
    ahead.sort_by_key(|entry| (entry.first_offset, entry.last_offset));
    ahead.dedup();
    ahead.reverse();
    let mut skipping = BTreeSet::new();
    move |batch| {
        let header = batch.header();
        while ahead.last().is_some_and(|entry| entry.first_offset <= header.last_offset()) {
            skipping.extend(ahead.pop().map(|entry| entry.producer_id));
        }
        if header.attributes.is_control() {
            if batch.control_marker().ok().flatten() == Some(TransactionOutcome::Abort) {
                skipping.remove(&header.producer_id);
            }
            return false;
        }
        !(header.attributes.is_transactional() && skipping.contains(&header.producer_id))
    }
}

/// Checks all of a partition; returns the offsets of the records that are there.
pub fn check(
    model: &Model,
    log: &Partition,
    delete_retention_ms: i64,
    now_ms: i64,
    random: &mut Random,
) -> Result<BTreeSet<i64>, Violation> {
    let offsets = log.offsets();
    let all = walk(log, offsets.log_start, Isolation::ReadUncommitted, random)?;
    let end = all.batches.last().map_or(offsets.log_start, |batch| batch.header().next_offset());
    if end != offsets.high_watermark {
        return Err(format!("reading ends at {end} of {offsets:?}"));
    }
    let present = records(&all.batches, model, |_| true)?;
    let newest = model.newest(offsets.last_stable);
    for (offset, sent) in model.records.range(offsets.log_start..) {
        let superseded = newest.get(&sent.key[..]).is_some_and(|newest| newest > offset);
        let expired = sent.value.is_none()
            && model.counts(sent)
            && now_ms >= sent.at_ms.saturating_add(delete_retention_ms);
        if !(present.contains(offset) || superseded || expired || model.is_aborted(sent)) {
            return Err(format!("the record at {offset} is gone without a reason: {sent:?}"));
        }
    }
    // From anywhere, also from the middle of a hole.
    let span = (offsets.last_stable - offsets.log_start).max(0) as usize + 1;
    let start = offsets.log_start + random.below(span) as i64;
    let committed = walk(log, start, Isolation::ReadCommitted, random)?;
    let seen = records(&committed.batches, model, visible(&committed.aborted))?;
    let from = committed.batches.first().map_or(start, Batch::base_offset);
    let expected: BTreeSet<i64> = present
        .range(from..offsets.last_stable.max(from))
        .copied()
        .filter(|offset| model.counts(&model.records[offset]))
        .collect();
    if seen != expected {
        return Err(format!("committed from {start}: {seen:?}, expected {expected:?}"));
    }
    check_timestamp(model, log, &present, random)?;
    Ok(present)
}

fn check_timestamp(
    model: &Model,
    log: &Partition,
    present: &BTreeSet<i64>,
    random: &mut Random,
) -> Result<(), Violation> {
    let wanted = 1_000 + random.below(3_000) as i64;
    let log_start = log.offsets().log_start;
    let timestamps: BTreeMap<i64, i64> = present
        .range(log_start..)
        .map(|offset| (*offset, model.records[offset].timestamp))
        .collect();
    let expected = timestamps.into_iter().find(|(_, timestamp)| *timestamp >= wanted);
    let found = log.offset_for_timestamp(wanted).map_err(|e| e.to_string())?;
    if found != expected {
        return Err(format!("timestamp {wanted} at {found:?}, expected {expected:?}"));
    }
    Ok(())
}
