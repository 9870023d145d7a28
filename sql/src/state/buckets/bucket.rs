//! The rows of one key and side, in one piece of memory.
//!
//! ```text
//! record := length u32 | weight i32 | [matches i64] | [time i64] | row
//! length: top bit set if changed since the last snapshot, the one below it if touched in this call
//! ```
//! A record of weight 0 is dead: it stays until the next snapshot has told that it is gone, and then makes room. A bucket with more than a few
//! records gets an index of its rows.

use hashbrown::HashTable;
use riverrun_dataflow::key_hash;

/// With more records than this, equal rows are found by hash.
const SCANNED: usize = 16;
const CHANGED: u32 = 1 << 31;
const TOUCHED: u32 = 1 << 30;

/// What records say of their rows besides the weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Layout {
    /// How many rows of the other side match it.
    pub matches: bool,
    /// The row's time, after which it can expire.
    pub time: bool,
}

impl Layout {
    fn header(self) -> usize {
        8 + 8 * usize::from(self.matches) + 8 * usize::from(self.time)
    }
}

/// A row as it is kept.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Where it is, for as long as its side of the bucket does not change.
    pub at: u32,
    /// How often the row is there.
    pub weight: i64,
    /// How many rows of the other side match it; 0 if the layout does not say.
    pub matches: i64,
    /// Its time; 0 if the layout does not say.
    pub time: i64,
    /// The row.
    pub row: &'a [u8],
}

/// What cannot be kept, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooMuch(pub &'static str);

/// The rows of a key and side.
pub struct Bucket(Repr);

enum Repr {
    Small(Vec<u8>),
    Hot(Box<Hot>),
}

#[derive(Default)]
struct Hot {
    bytes: Vec<u8>,
    /// Positions of all records, dead ones too, by the hash of their rows.
    index: HashTable<u32>,
    /// Bytes of dead records.
    dead: usize,
    /// Sum of all weights.
    total: i64,
}

impl Default for Bucket {
    fn default() -> Self {
        Self(Repr::Small(Vec::new()))
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn long(bytes: &[u8], at: usize) -> i64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    i64::from_le_bytes(word)
}

fn record(bytes: &[u8], layout: Layout, at: usize) -> Record<'_> {
    let len = (word(bytes, at) & !(CHANGED | TOUCHED)) as usize;
    let row = at + layout.header();
    Record {
        // Positions fit: `push` sees to it.
        at: at as u32,
        weight: i64::from(word(bytes, at + 4) as i32),
        matches: if layout.matches { long(bytes, at + 8) } else { 0 },
        time: if layout.time { long(bytes, row - 8) } else { 0 },
        row: &bytes[row..row + len],
    }
}

/// Walks over the records of a piece of memory, dead ones too.
struct Records<'a> {
    bytes: &'a [u8],
    layout: Layout,
    next: usize,
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    #[inline]
    fn next(&mut self) -> Option<Record<'a>> {
        if self.next >= self.bytes.len() {
            return None;
        }
        let record = record(self.bytes, self.layout, self.next);
        self.next += self.layout.header() + record.row.len();
        Some(record)
    }
}

impl Bucket {
    fn bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Small(bytes) => bytes,
            Repr::Hot(hot) => &hot.bytes,
        }
    }

    fn bytes_mut(&mut self) -> &mut Vec<u8> {
        match &mut self.0 {
            Repr::Small(bytes) => bytes,
            Repr::Hot(hot) => &mut hot.bytes,
        }
    }

    /// True if there is nothing in it, not even a dead record.
    pub fn is_empty(&self) -> bool {
        self.bytes().is_empty()
    }

    /// Bytes of memory that it holds.
    pub fn memory(&self) -> usize {
        match &self.0 {
            Repr::Small(bytes) => bytes.capacity(),
            Repr::Hot(hot) => hot.bytes.capacity() + hot.index.capacity() * 5 + size_of::<Hot>(),
        }
    }

    /// Its rows from a position on: 0, or that of a record.
    #[inline]
    pub fn records(&self, layout: Layout, from: u32) -> impl Iterator<Item = Record<'_>> {
        Records { bytes: self.bytes(), layout, next: from as usize }
            .filter(|record| record.weight != 0)
    }

    fn with_dead(&self, layout: Layout) -> Records<'_> {
        Records { bytes: self.bytes(), layout, next: 0 }
    }

    /// The record at a position that another call told.
    pub fn record(&self, layout: Layout, at: u32) -> Record<'_> {
        record(self.bytes(), layout, at as usize)
    }

    /// The sum of all weights.
    pub fn total(&self, layout: Layout) -> i64 {
        match &self.0 {
            Repr::Small(_) => self.with_dead(layout).map(|record| record.weight).sum(),
            Repr::Hot(hot) => hot.total,
        }
    }

    /// The record of a row, if it is there.
    pub fn find(&self, layout: Layout, row: &[u8]) -> Option<Record<'_>> {
        self.find_with_dead(layout, row).filter(|record| record.weight != 0)
    }

    fn find_with_dead(&self, layout: Layout, row: &[u8]) -> Option<Record<'_>> {
        match &self.0 {
            Repr::Small(_) => self.with_dead(layout).find(|record| record.row == row),
            Repr::Hot(hot) => hot
                .index
                .find(key_hash(row), |at| record(&hot.bytes, layout, *at as usize).row == row)
                .map(|at| record(&hot.bytes, layout, *at as usize)),
        }
    }

    /// Adds to the weight of a row. `matches` and `time` are taken if it was not there. With `tracking` the change is remembered for the
    /// next snapshot.
    ///
    /// # Errors
    /// [`TooMuch`] if a limit of the format is reached.
    pub fn add(&mut self, layout: Layout, new: &Record<'_>, tracking: bool) -> Result<(), TooMuch> {
        let Some(old) = self.find_with_dead(layout, new.row) else {
            return self.push(layout, new, tracking);
        };
        let (at, weight, size) = (old.at, old.weight, layout.header() + old.row.len());
        let sum = i32::try_from(weight + new.weight)
            .map_err(|_| TooMuch("more than two billion equal rows"))?;
        self.put(at, 4, &sum.to_le_bytes(), tracking);
        if weight == 0 {
            self.put_matches(layout, at, new.matches, tracking);
            self.put_time(layout, at, new.time);
        }
        match &mut self.0 {
            Repr::Small(_) if sum == 0 && !tracking => self.compact(layout),
            Repr::Small(_) => {}
            Repr::Hot(hot) => {
                hot.total += new.weight;
                if weight == 0 {
                    hot.dead -= size;
                } else if sum == 0 {
                    hot.dead += size;
                    if hot.dead * 2 > hot.bytes.len() && !tracking {
                        self.compact(layout);
                    }
                }
            }
        }
        Ok(())
    }

    fn push(&mut self, layout: Layout, new: &Record<'_>, tracking: bool) -> Result<(), TooMuch> {
        if new.weight == 0 {
            return Ok(());
        }
        let weight =
            i32::try_from(new.weight).map_err(|_| TooMuch("more than two billion equal rows"))?;
        let len = u32::try_from(new.row.len())
            .ok()
            .filter(|len| *len < TOUCHED)
            .ok_or(TooMuch("a row of more than 1 GiB"))?;
        let bytes = self.bytes_mut();
        let at = u32::try_from(bytes.len())
            .map_err(|_| TooMuch("more than 4 GiB of rows under one key"))?;
        let size = layout.header() + new.row.len();
        if bytes.capacity() - bytes.len() < size {
            // A quarter more, not double: most of a join's memory is here.
            bytes.reserve_exact(size.max(bytes.len() / 4));
        }
        let flag = if tracking { CHANGED } else { 0 };
        bytes.extend_from_slice(&(len | flag).to_le_bytes());
        bytes.extend_from_slice(&weight.to_le_bytes());
        if layout.matches {
            bytes.extend_from_slice(&new.matches.to_le_bytes());
        }
        if layout.time {
            bytes.extend_from_slice(&new.time.to_le_bytes());
        }
        bytes.extend_from_slice(new.row);
        match &mut self.0 {
            Repr::Hot(hot) => {
                hot.total += new.weight;
                let Hot { bytes, index, .. } = hot.as_mut();
                index.insert_unique(key_hash(new.row), at, |at| hash_at(bytes, layout, *at));
            }
            // Cheap to ask: more records than that take more bytes than that.
            Repr::Small(bytes) if bytes.len() > SCANNED * layout.header() => {
                if self.with_dead(layout).count() > SCANNED {
                    self.index(layout);
                }
            }
            Repr::Small(_) => {}
        }
        Ok(())
    }

    /// Turns a small bucket into a hot one.
    fn index(&mut self, layout: Layout) {
        let mut hot = Box::new(Hot { bytes: std::mem::take(self.bytes_mut()), ..Hot::default() });
        let Hot { bytes, index, dead, total } = hot.as_mut();
        let bytes: &[u8] = bytes;
        for record in (Records { bytes, layout, next: 0 }) {
            index.insert_unique(key_hash(record.row), record.at, |at| hash_at(bytes, layout, *at));
            *total += record.weight;
            if record.weight == 0 {
                *dead += layout.header() + record.row.len();
            }
        }
        self.0 = Repr::Hot(hot);
    }

    /// Leaves out the dead records.
    fn compact(&mut self, layout: Layout) {
        let mut bytes = std::mem::take(self.bytes_mut());
        let (mut from, mut to, mut live) = (0, 0, 0);
        while from < bytes.len() {
            let found = record(&bytes, layout, from);
            let (size, dead) = (layout.header() + found.row.len(), found.weight == 0);
            if !dead {
                bytes.copy_within(from..from + size, to);
                to += size;
                live += 1;
            }
            from += size;
        }
        bytes.truncate(to);
        if bytes.len() * 2 < bytes.capacity() {
            bytes.shrink_to_fit();
        }
        self.0 = Repr::Small(bytes);
        if live > SCANNED {
            self.index(layout);
        }
    }

    /// Sets the number of matches of the record at a position.
    pub fn put_matches(&mut self, layout: Layout, at: u32, matches: i64, tracking: bool) {
        if layout.matches {
            self.put(at, 8, &matches.to_le_bytes(), tracking);
        }
    }

    /// Marks the record at a position as touched or not; true if that is news.
    pub fn touch(&mut self, at: u32, touched: bool) -> bool {
        let byte = &mut self.bytes_mut()[at as usize + 3];
        let bit = (TOUCHED >> 24) as u8;
        let news = (*byte & bit != 0) != touched;
        *byte = if touched { *byte | bit } else { *byte & !bit };
        news
    }

    fn put_time(&mut self, layout: Layout, at: u32, time: i64) {
        if layout.time {
            self.put(at, layout.header() - 8, &time.to_le_bytes(), false);
        }
    }

    fn put(&mut self, at: u32, offset: usize, value: &[u8], tracking: bool) {
        let at = at as usize;
        let bytes = self.bytes_mut();
        bytes[at + offset..at + offset + value.len()].copy_from_slice(value);
        if tracking {
            // The top bit of a little endian u32.
            bytes[at + 3] |= 0x80;
        }
    }

    /// Takes out the rows whose time is not above `until` and tells `gone` of each.
    pub fn expire(
        &mut self,
        layout: Layout,
        until: i64,
        tracking: bool,
        mut gone: impl FnMut(&Record<'_>),
    ) {
        let mut expired = Vec::new();
        for record in self.records(layout, 0).filter(|record| record.time <= until) {
            gone(&record);
            expired.push((record.at, record.weight, layout.header() + record.row.len()));
        }
        if expired.is_empty() {
            return;
        }
        for (at, weight, size) in expired {
            self.put(at, 4, &0i32.to_le_bytes(), tracking);
            if let Repr::Hot(hot) = &mut self.0 {
                hot.dead += size;
                hot.total -= weight;
            }
        }
        if !tracking {
            self.compact(layout);
        }
    }

    /// Tells of the records that changed since the last snapshot (or of all live ones), forgets that they did, and drops the dead.
    pub fn drain_changes(&mut self, layout: Layout, all: bool, mut visit: impl FnMut(&Record<'_>)) {
        let bytes = self.bytes_mut();
        let (mut at, mut dead) = (0, false);
        while at < bytes.len() {
            let changed = word(bytes, at) & CHANGED != 0;
            bytes[at + 3] &= 0x7f;
            let found = record(bytes, layout, at);
            if if all { found.weight != 0 } else { changed } {
                visit(&found);
            }
            dead |= found.weight == 0;
            at += layout.header() + found.row.len();
        }
        if dead {
            self.compact(layout);
        }
    }
}

fn hash_at(bytes: &[u8], layout: Layout, at: u32) -> u64 {
    key_hash(record(bytes, layout, at as usize).row)
}
