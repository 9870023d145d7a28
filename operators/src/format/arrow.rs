//! Columns as they are: topics whose batches hold Arrow's record batches, in Arrow's IPC format.
//!
//! Such a topic is created with `format=arrow` and a schema, in its configuration, which never changes. A log batch is one IPC
//! message; its offsets count rows. [`ToArrow`] writes them, [`ArrowColumns`] reads them: a column is not copied but points into the
//! mapping of the segment, and those that nobody reads are not looked at. [`ArrowTable`] finds them by their names, as SQL declares them.
//! [`JsonRows`] shows them to people.
//!
//! ```
//! use riverrun_log_store::{Store, StoreOptions};
//! use riverrun_operators::format::arrow::{ArrowColumns, topic_settings};
//! use std::sync::Arc;
//! use arrow_schema::{DataType, Field, Schema};
//!
//! let dir = tempfile::tempdir()?;
//! let store = Store::open(dir.path(), StoreOptions::default())?;
//! let schema = Arc::new(Schema::new(vec![Field::new("bidder", DataType::Int64, false)]));
//! let settings = topic_settings(&schema)?;
//! let settings: Vec<(&str, &str)> = settings.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
//! store.create_topic_with("bids", &settings)?;
//!
//! let format = ArrowColumns::of_topic(&store.topic("bids")?.config)?;
//! assert_eq!(format.schema(), &schema);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod decoder;
mod encoder;
mod fit;
mod rows;
mod schema;
mod table;

pub use decoder::ArrowColumns;
pub use encoder::ToArrow;
pub use rows::JsonRows;
pub use schema::{describe_schema, schema_of_topic, topic_settings};
pub use table::{ArrowTable, ArrowTableColumn};

#[cfg(test)]
mod tests;
