//! State that nobody has touched for long.

use std::collections::BTreeMap;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use riverrun_dataflow::{Clock, OperatorContext, Timestamp};

use crate::state::RowBytes;

/// The time to live of an operator's keys, if they have one: which of them to forget.
#[derive(Default)]
pub(crate) struct TimeToLive {
    expiry: Option<Expiry>,
    clock: Option<Arc<dyn Clock>>,
}

impl TimeToLive {
    /// Keys go after so many milliseconds of processing time; without, never.
    pub fn new(ttl: Option<i64>) -> Self {
        Self { expiry: ttl.map(Expiry::new), clock: None }
    }

    /// The operator begins with these keys.
    pub fn open<'k>(&mut self, context: &OperatorContext, keys: impl Iterator<Item = &'k [u8]>) {
        self.clock = Some(context.clock.clone());
        let now = context.clock.now();
        if let Some(expiry) = &mut self.expiry {
            keys.for_each(|key| expiry.touch(key, now));
        }
    }

    /// Keys are touched.
    pub fn touch<'k>(&mut self, keys: impl Iterator<Item = &'k [u8]>) {
        if let (Some(expiry), Some(clock)) = (&mut self.expiry, &self.clock) {
            let now = clock.now();
            keys.for_each(|key| expiry.touch(key, now));
        }
    }

    /// When to ask for what has expired.
    pub fn next(&self) -> Option<Timestamp> {
        self.expiry.as_ref().and_then(Expiry::next)
    }

    /// The keys that have expired; they are forgotten.
    pub fn expired(&mut self, now: Timestamp) -> Vec<RowBytes> {
        self.expiry.as_mut().map(|expiry| expiry.expired(now)).unwrap_or_default()
    }
}

/// When keys were last touched, in processing time. It is not part of snapshots: after a restart all keys count as touched then.
struct Expiry {
    ttl: i64,
    touched: HashMap<RowBytes, Timestamp, FixedState>,
    /// When to look at keys; one entry a key.
    due: BTreeMap<Timestamp, Vec<RowBytes>>,
}

impl Expiry {
    /// For keys that go after so many milliseconds.
    pub fn new(ttl: i64) -> Self {
        Self { ttl: ttl.max(1), touched: HashMap::default(), due: BTreeMap::new() }
    }

    /// A key is touched.
    pub fn touch(&mut self, key: &[u8], now: Timestamp) {
        match self.touched.get_mut(key) {
            Some(touched) => *touched = now,
            None => {
                self.touched.insert(key.into(), now);
                self.due.entry(self.slot(now)).or_default().push(key.into());
            }
        }
    }

    /// Keys are looked at a few times within their time to live, not each at its own instant.
    fn slot(&self, touched: Timestamp) -> Timestamp {
        let grain = (self.ttl / 8).max(1);
        let due = touched.saturating_add(self.ttl);
        due.saturating_add(grain - 1) / grain * grain
    }

    /// When to ask for what has expired.
    pub fn next(&self) -> Option<Timestamp> {
        self.due.first_key_value().map(|(due, _)| *due)
    }

    /// The keys that have expired; they are forgotten.
    pub fn expired(&mut self, now: Timestamp) -> Vec<RowBytes> {
        let mut expired = Vec::new();
        while let Some(first) = self.due.first_entry().filter(|due| *due.key() <= now) {
            for key in first.remove() {
                let touched = self.touched.get(&key).copied().unwrap_or(now);
                if touched.saturating_add(self.ttl) <= now {
                    self.touched.remove(&key);
                    expired.push(key);
                } else {
                    self.due.entry(self.slot(touched)).or_default().push(key);
                }
            }
        }
        expired
    }
}

#[cfg(test)]
mod operator_tests;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_expires_when_it_was_not_touched_for_as_long() {
        let mut expiry = Expiry::new(80);
        expiry.touch(b"a", 0);
        expiry.touch(b"b", 5);
        expiry.touch(b"a", 50);
        assert!(expiry.expired(79).is_empty());
        let due = expiry.next().unwrap();
        assert!((80..=90).contains(&due));
        assert_eq!(expiry.expired(90), [RowBytes::from(&b"b"[..])]);
        assert!(expiry.expired(129).is_empty());
        assert_eq!(expiry.expired(140), [RowBytes::from(&b"a"[..])]);
        assert_eq!(expiry.next(), None);
    }
}
