//! What the store's own log says about topics, read without opening the store.

use std::path::Path;

use super::{DumpItem, DumpOptions, Selection, dump};
use crate::compression::Decompressor;
use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::store::KIND_TOPIC;
use crate::topic::{METADATA_TOPIC, TopicConfig};

/// The configuration of a topic, as far as it can be read; `None` if there is no such topic.
///
/// # Errors
/// Operating system errors on folders; `InvalidConfig` if it was written by a newer version.
pub fn topic_config(
    environment: &Environment,
    data_dir: &Path,
    topic: &str,
) -> Result<Option<TopicConfig>> {
    let own = Selection { topic: Some(METADATA_TOPIC.to_owned()), partition: None };
    let wanted = [KIND_TOPIC.as_bytes(), &[0], topic.as_bytes()].concat();
    let mut found = None;
    let mut decompressor = Decompressor::default();
    dump(environment, data_dir, &own, DumpOptions::default(), |item| {
        let DumpItem::Batch(batch) = item else { return Ok(()) };
        if batch.header.attributes.is_control() {
            return Ok(());
        }
        for record in batch.read()?.records(&mut decompressor)?.iter() {
            let record = record?;
            if record.key == Some(&wanted[..]) {
                found = record.value.map(<[u8]>::to_vec);
            }
        }
        Ok::<(), Error>(())
    })?;
    found.map(|text| TopicConfig::decode(&String::from_utf8_lossy(&text))).transpose()
}
