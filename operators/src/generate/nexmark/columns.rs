//! Events as Arrow columns, a batch a kind.

use std::sync::Arc;

use arrow_array::builder::{Int64Builder, StringBuilder, TimestampMillisecondBuilder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::event::NexmarkEvent;
use super::schedule::EventKind;

fn schema(fields: &[(&str, DataType)]) -> SchemaRef {
    let field = |(name, kind): &(&str, DataType)| Field::new(*name, kind.clone(), false);
    Arc::new(Schema::new(fields.iter().map(field).collect::<Vec<_>>()))
}

const TEXT: DataType = DataType::Utf8;
const NUMBER: DataType = DataType::Int64;
const TIME: DataType = DataType::Timestamp(TimeUnit::Millisecond, None);

/// The columns of [`Person`](super::Person).
pub fn person_schema() -> SchemaRef {
    schema(&[
        ("id", NUMBER),
        ("name", TEXT),
        ("emailAddress", TEXT),
        ("creditCard", TEXT),
        ("city", TEXT),
        ("state", TEXT),
        ("dateTime", TIME),
        ("extra", TEXT),
    ])
}

/// The columns of [`Auction`](super::Auction).
pub fn auction_schema() -> SchemaRef {
    schema(&[
        ("id", NUMBER),
        ("itemName", TEXT),
        ("description", TEXT),
        ("initialBid", NUMBER),
        ("reserve", NUMBER),
        ("dateTime", TIME),
        ("expires", TIME),
        ("seller", NUMBER),
        ("category", NUMBER),
        ("extra", TEXT),
    ])
}

/// The columns of [`Bid`](super::Bid).
pub fn bid_schema() -> SchemaRef {
    schema(&[
        ("auction", NUMBER),
        ("bidder", NUMBER),
        ("price", NUMBER),
        ("channel", TEXT),
        ("url", TEXT),
        ("dateTime", TIME),
        ("extra", TEXT),
    ])
}

/// The columns of one kind while they grow: in the order of their types, which [`Columns::finish`] puts into the schema's.
#[derive(Default)]
struct Columns {
    numbers: Vec<Int64Builder>,
    texts: Vec<StringBuilder>,
    times: Vec<TimestampMillisecondBuilder>,
}

impl Columns {
    fn new(schema: &Schema) -> Columns {
        let mut columns = Columns::default();
        for field in schema.fields() {
            match field.data_type() {
                DataType::Int64 => columns.numbers.push(Int64Builder::new()),
                DataType::Utf8 => columns.texts.push(StringBuilder::new()),
                _ => columns.times.push(TimestampMillisecondBuilder::new()),
            }
        }
        columns
    }

    fn push(&mut self, numbers: &[i64], texts: &[&str], times: &[i64]) {
        for (builder, value) in self.numbers.iter_mut().zip(numbers) {
            builder.append_value(*value);
        }
        for (builder, value) in self.texts.iter_mut().zip(texts) {
            builder.append_value(value);
        }
        for (builder, value) in self.times.iter_mut().zip(times) {
            builder.append_value(*value);
        }
    }

    fn finish(&mut self, schema: SchemaRef) -> RecordBatch {
        let (mut numbers, mut texts, mut times) =
            (self.numbers.iter_mut(), self.texts.iter_mut(), self.times.iter_mut());
        let next = |field: &Arc<Field>| -> Option<ArrayRef> {
            Some(match field.data_type() {
                DataType::Int64 => Arc::new(numbers.next()?.finish()),
                DataType::Utf8 => Arc::new(texts.next()?.finish()),
                _ => Arc::new(times.next()?.finish()),
            })
        };
        let columns: Vec<ArrayRef> = schema.fields().iter().filter_map(next).collect();
        RecordBatch::try_new(schema, columns)
            .expect("builders are made from the schema, and each push fills one row of all of them")
    }
}

/// Collects events into batches of columns, one for each kind.
pub struct NexmarkColumns {
    kinds: [(SchemaRef, Columns); 3],
}

impl Default for NexmarkColumns {
    fn default() -> NexmarkColumns {
        let with_columns = |schema: SchemaRef| {
            let columns = Columns::new(&schema);
            (schema, columns)
        };
        NexmarkColumns {
            kinds: [person_schema(), auction_schema(), bid_schema()].map(with_columns),
        }
    }
}

impl NexmarkColumns {
    /// Appends an event to the columns of its kind.
    pub fn push(&mut self, event: &NexmarkEvent) {
        let (_, columns) = &mut self.kinds[event.kind() as usize];
        match event {
            NexmarkEvent::Person(p) => columns.push(
                &[p.id],
                &[&p.name, &p.email_address, &p.credit_card, &p.city, &p.state, &p.extra],
                &[p.date_time],
            ),
            NexmarkEvent::Auction(a) => columns.push(
                &[a.id, a.initial_bid, a.reserve, a.seller, a.category],
                &[&a.item_name, &a.description, &a.extra],
                &[a.date_time, a.expires],
            ),
            NexmarkEvent::Bid(b) => columns.push(
                &[b.auction, b.bidder, b.price],
                &[&b.channel, &b.url, &b.extra],
                &[b.date_time],
            ),
        }
    }

    /// Takes the rows of one kind that came since the last time.
    pub fn finish(&mut self, kind: EventKind) -> RecordBatch {
        let (schema, columns) = &mut self.kinds[kind as usize];
        columns.finish(schema.clone())
    }
}
