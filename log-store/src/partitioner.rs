//! Which partition a record goes to: Kafka's own choice, so that any client finds a key where any
//! other put it.

/// Kafka's hash of a record's key: murmur2 with Kafka's seed.
///
/// ```
/// assert_eq!(riverrun_log_store::murmur2(b"foobar"), -790332482);
/// ```
pub fn murmur2(key: &[u8]) -> i32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;

    let mut hash = SEED ^ key.len() as u32;
    let (words, tail) = key.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> R;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        for (at, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * at);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    (hash ^ hash >> 15) as i32
}

/// The partition of a record with this key, among `partitions`, as Kafka's default partitioner has it.
///
/// # Panics
/// If `partitions` is 0, which no topic has.
pub fn partition_of_key(key: &[u8], partitions: u32) -> u32 {
    (murmur2(key) & i32::MAX) as u32 % partitions
}

/// Chooses partitions of one topic: by key where there is one, else one partition for as long as a
/// batch takes to fill, then the next. So records without a key make few large batches instead of
/// many small ones, and still spread evenly.
#[derive(Debug, Clone)]
pub struct Partitioner {
    partitions: u32,
    sticky: u32,
}

impl Partitioner {
    /// A partitioner over `partitions`, whose first batch without keys goes to partition `start`
    /// (taken modulo their number), so that many producers need not begin with the same.
    ///
    /// # Panics
    /// If `partitions` is 0, which no topic has.
    pub fn new(partitions: u32, start: u32) -> Partitioner {
        assert!(partitions > 0, "a topic has at least one partition");
        Partitioner { partitions, sticky: start % partitions }
    }

    /// How many partitions it chooses among.
    pub fn partitions(&self) -> u32 {
        self.partitions
    }

    /// Takes up partitions that were added to the topic. Keys move, as they do in Kafka.
    pub fn set_partitions(&mut self, partitions: u32) {
        *self = Partitioner::new(partitions, self.sticky);
    }

    /// The partition of the next record.
    #[inline]
    pub fn choose(&self, key: Option<&[u8]>) -> u32 {
        match key {
            Some(key) => partition_of_key(key, self.partitions),
            None => self.sticky,
        }
    }

    /// Tells that the batch for `partition` is full or sent: records without a key go on to the next
    /// partition, if they were going to this one.
    pub fn batch_finished(&mut self, partition: u32) {
        if partition == self.sticky {
            self.sticky = (self.sticky + 1) % self.partitions;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From Kafka's own tests of its hash.
    #[test]
    fn murmur2_is_kafkas() {
        let known: [(&[u8], i32); 6] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            (b"abc", 479_470_107),
        ];
        for (key, hash) in known {
            assert_eq!(murmur2(key), hash, "{}", key.escape_ascii());
        }
    }

    #[test]
    fn a_negative_hash_gives_a_partition_too() {
        assert!(murmur2(b"21") < 0);
        assert_eq!(partition_of_key(b"21", 7), (-973_932_308i32 & i32::MAX) as u32 % 7);
    }

    #[test]
    fn records_without_a_key_stay_until_the_batch_is_finished() {
        let mut partitioner = Partitioner::new(3, 5);
        assert_eq!([partitioner.choose(None), partitioner.choose(None)], [2, 2]);
        partitioner.batch_finished(1);
        assert_eq!(partitioner.choose(None), 2, "another partition's batch");
        partitioner.batch_finished(2);
        assert_eq!(partitioner.choose(None), 0);
        assert_eq!(partitioner.choose(Some(b"foobar")), partition_of_key(b"foobar", 3));
        partitioner.set_partitions(1);
        assert_eq!(partitioner.choose(Some(b"foobar")), 0);
    }
}
