//! How far the ingestion has come, as the log tells it.

use std::collections::HashMap;

use riverrun_log_store::{Isolation, Store};

/// Counts committed records of the topics that the ingestion writes; each batch is looked at once.
#[derive(Default)]
pub(super) struct Ingested {
    positions: HashMap<(&'static str, u32), i64>,
    records: u64,
}

impl Ingested {
    /// Looks at what came since, and returns the number of lines so far, accepted and rejected.
    pub(super) fn update(&mut self, store: &Store) -> anyhow::Result<u64> {
        for topic in ["nginx", "nginx.rejected"] {
            let Ok(info) = store.topic(topic) else { continue };
            for number in 0..info.config.partitions {
                let partition = store.partition(topic, number)?;
                let at = self.positions.entry((topic, number)).or_default();
                while *at < partition.offsets().last_stable {
                    let fetch = partition.read(*at, 8 << 20, Isolation::ReadCommitted)?;
                    for batch in &fetch.batches {
                        let header = batch.header();
                        *at = header.next_offset();
                        if !header.attributes.is_control() {
                            self.records += u64::try_from(header.records_count)?;
                        }
                    }
                }
            }
        }
        Ok(self.records)
    }
}
