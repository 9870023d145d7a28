//! Topics of the log.
//!
//! A table without a primary key takes rows that stay. With one it is an **upsert** table: a record replaces the earlier one of its key, one
//! without a value removes it, and the topic is compacted. With the format debezium-json it is a changelog. `changelog.mode` says
//! otherwise where that is possible.
//!
//! With the format arrow the topic is columnar (`topic/columnar.rs`): rows that stay, or changes with their weights, but no keys.
//! `topic/bounds.rs` reads where reading begins and ends, `topic/mode.rs` what a record does to the rows of its key.

mod bounds;
mod columnar;
mod mode;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use arrow_schema::FieldRef;
use riverrun_dataflow::{Columns, DataStream, Environment, Resources};
use riverrun_operators::format::OnError;
use riverrun_operators::format::table::{
    EncoderLayout, KeyLayout, LayoutColumn, Metadata, Origin, TableDecoder, TableEncoder,
    TableFormat, TableLayout, WriteMode,
};
use riverrun_operators::{
    ColumnSinks, Delivery, End, Sources, Start, TopicCheck, TopicInput, TopicOutput,
};

use super::format::Format;
use super::options::Options;
use super::{ScanOptions, SinkMode, SourceStream, format};
use crate::Result;
use crate::catalog::{ColumnKind, Table};

/// A table that is a topic.
pub(super) struct TopicTable<'a> {
    table: &'a Table,
    topic: String,
    format: Format,
    key: Option<TableFormat>,
    /// Positions of the columns that make the key, in its order.
    key_columns: Vec<usize>,
    /// Positions of the columns that make the value, in its order.
    value_columns: Vec<usize>,
    mode: WriteMode,
    start: Start,
    start_offsets: BTreeMap<u32, i64>,
    bounded: bool,
    end: Option<End>,
    on_error: OnError,
    idle_after: Option<Duration>,
    delivery: Delivery,
    partitions: Option<u32>,
}

impl<'a> TopicTable<'a> {
    pub(super) fn of(table: &'a Table) -> Result<Self> {
        let options = Options::new(table);
        // What Flink's connectors have beside these says how to reach the brokers, or how to buffer.
        options.accept_all("properties.");
        options.accept(&[
            "scan.topic-partition-discovery.interval",
            "scan.parallelism",
            super::LOOKUP_REFRESH,
            "sink.parallelism",
            "sink.partitioner",
            "sink.semantic",
            "sink.transactional-id-prefix",
            "sink.buffer-flush.max-rows",
            "sink.buffer-flush.interval",
        ]);
        if options.text("topic-pattern").is_some() {
            return Err(
                options.wrong("the option 'topic-pattern' is not supported: name one 'topic'")
            );
        }
        let topic = options.required("topic", "the topic's name")?.to_owned();
        if topic.contains(';') {
            return Err(options.bad("topic", &topic, "the name of one topic"));
        }
        let format = format::of_topic(&options)?;
        let key_format = format::of_key(&options)?;
        let mode = mode::mode(table, &options, &format)?;
        let key_columns = mode::key_columns(table, &options, &format, mode)?;
        let key = match (key_format, key_columns.is_empty()) {
            (Some(_), _) if format == Format::Arrow => {
                return Err(options.wrong(
                    "'key.format' is for formats of records: rows of a columnar topic have no keys",
                ));
            }
            (Some(key), false) => Some(key),
            (Some(_), true) => {
                return Err(options.wrong("'key.format' needs 'key.fields', or a PRIMARY KEY"));
            }
            // Without a format of its own the key is written as the value is.
            (None, false) => format.of_records().cloned(),
            (None, true) => None,
        };
        let except_key = options
            .choice("value.fields-include", &[("ALL", false), ("EXCEPT_KEY", true)])?
            .unwrap_or(false);
        let physical = physical(table);
        let value_columns: Vec<usize> = match except_key {
            true => physical.into_iter().filter(|at| !key_columns.contains(at)).collect(),
            false => physical,
        };
        if value_columns.is_empty() {
            return Err(options.wrong(
                "no column is left for the value: set 'value.fields-include' = 'ALL', or declare one",
            ));
        }
        let (start, start_offsets) = bounds::start(&options)?;
        let (bounded, end) = bounds::end(&options)?;
        let on_error = on_error(&options, &topic)?;
        if format == Format::Arrow && on_error != OnError::Fail {
            return Err(options.wrong(
                "'on-error' is for formats of records: columns are read as they are, or the batch is damaged and fails the job",
            ));
        }
        let idle_after = options.duration("scan.watermark.idle-timeout")?;
        let guarantees = [
            ("exactly-once", Delivery::ExactlyOnce),
            ("at-least-once", Delivery::AtLeastOnce),
            ("none", Delivery::AtLeastOnce),
        ];
        let delivery = options.choice("sink.delivery-guarantee", &guarantees)?;
        let partitions = options.number("sink.partitions", 1)?;
        let partitions = partitions.map(|number| u32::try_from(number).unwrap_or(u32::MAX));
        options.finish()?;
        let made = Self {
            table,
            topic,
            format,
            key,
            key_columns,
            value_columns,
            mode,
            start,
            start_offsets,
            bounded,
            end,
            on_error,
            idle_after,
            delivery: delivery.unwrap_or_default(),
            partitions,
        };
        // All columns at once: what cannot be read is better said now.
        let all = table.source_columns();
        match &made.format {
            Format::Records(format) => {
                made.decoder(format, &all, &ScanOptions::default()).map(|_| ())?;
            }
            Format::Arrow => made.columns(&all).map(|_| ())?,
        }
        Ok(made)
    }

    fn field(&self, position: usize) -> FieldRef {
        self.table.columns[position].field()
    }

    fn is_upsert(&self) -> bool {
        self.mode == WriteMode::Upsert
    }

    /// What reads records.
    fn decoder(
        &self,
        format: &TableFormat,
        columns: &[usize],
        scan: &ScanOptions,
    ) -> Result<TableDecoder> {
        let unfit = format::unfit(self.table);
        let column = |position: &usize| -> Result<LayoutColumn> {
            let column = &self.table.columns[*position];
            let origin = match &column.kind {
                ColumnKind::Metadata { key, .. } => {
                    Origin::Metadata(Metadata::named(key).map_err(&unfit)?)
                }
                _ => {
                    let among = |columns: &[usize]| columns.iter().position(|at| at == position);
                    match (among(&self.value_columns), among(&self.key_columns)) {
                        (Some(field), _) => Origin::Value(field),
                        (None, Some(field)) => Origin::Key(field),
                        (None, None) => {
                            return Err(crate::Error::invalid(format!(
                                "column `{}` of table `{}` is computed: it is not in the records",
                                column.name, self.table.name
                            )));
                        }
                    }
                }
            };
            Ok(LayoutColumn { field: self.field(*position), origin })
        };
        let key = self.key.clone().map(|format| KeyLayout {
            format,
            fields: self.key_columns.iter().map(|at| self.field(*at)).collect(),
        });
        let layout = TableLayout {
            format: format.clone(),
            fields: self.value_columns.iter().map(|at| self.field(*at)).collect(),
            key,
            columns: columns.iter().map(column).collect::<Result<_>>()?,
            upsert: self.is_upsert(),
        };
        TableDecoder::reading(layout, needed(columns, scan)).map_err(unfit)
    }

    pub(super) fn source(
        &self,
        env: &Environment,
        columns: &[usize],
        scan: &ScanOptions,
    ) -> Result<SourceStream> {
        let mut input = TopicInput::new(&self.topic)
            .start(self.start)
            .set_bounded(self.bounded || scan.bounded)
            .on_error(self.on_error.clone());
        if let Some(end) = &self.end {
            input = input.end(end.clone());
        }
        if let Some(idle_after) = self.idle_after {
            input = input.idle_after(idle_after);
        }
        input = match scan.start {
            Some(start) => input.start(start),
            None => input.start_offsets(self.start_offsets.clone()),
        };
        input = input.wanted(scan.records.clone());
        let upsert = match self.is_upsert() {
            true => Some(self.key_among(columns)?),
            false => None,
        };
        let stream = match &self.format {
            Format::Records(format) => {
                env.from_topic_columns(input, self.decoder(format, columns, scan)?)
            }
            Format::Arrow => env.from_topic_columns(input, self.columns(columns)?),
        };
        Ok(SourceStream {
            stream,
            retracts: self.mode != WriteMode::Append,
            upsert,
            parallelism: env.parallelism(),
            bounded: self.bounded || self.end.is_some() || scan.bounded,
        })
    }

    /// Where the key's columns are among `columns`.
    fn key_among(&self, columns: &[usize]) -> Result<Vec<usize>> {
        let place = |key: &usize| {
            columns.iter().position(|at| at == key).ok_or_else(|| {
                crate::Error::invalid(format!(
                    "reading table `{}` needs its key column `{}`",
                    self.table.name, self.table.columns[*key].name
                ))
            })
        };
        self.key_columns.iter().map(place).collect()
    }

    pub(super) fn sink_mode(&self) -> Result<SinkMode> {
        Ok(match self.mode {
            WriteMode::Append => SinkMode::Append,
            WriteMode::Changelog => SinkMode::Changelog,
            WriteMode::Upsert => {
                SinkMode::Upsert { key: self.key_among(&self.table.sink_columns())? }
            }
        })
    }

    pub(super) fn sink(&self, stream: &DataStream<Columns>) -> Result<()> {
        match &self.format {
            Format::Records(format) => {
                stream.to_topic_columns(self.output(), self.encoder(format)?);
            }
            Format::Arrow => {
                stream.to_topic_columns(self.output(), self.to_columns()?);
            }
        }
        Ok(())
    }

    /// The topic as a sink has it.
    fn output(&self) -> TopicOutput {
        let mut output = TopicOutput::new(&self.topic).delivery(self.delivery);
        if let Some(partitions) = self.partitions {
            output = output.partitions(partitions);
        }
        if self.is_upsert() {
            for (key, value) in super::COMPACTED {
                output = output.setting(key, value);
            }
        }
        output
    }

    /// What writes records.
    fn encoder(&self, format: &TableFormat) -> Result<TableEncoder> {
        let unfit = format::unfit(self.table);
        // Columns come in the order of the table's, without those that are not written.
        let comes = self.table.sink_columns();
        let place = |at: &usize| comes.iter().position(|column| column == at);
        let chosen = |columns: &[usize]| -> Vec<(usize, FieldRef)> {
            columns.iter().filter_map(|at| Some((place(at)?, self.field(*at)))).collect()
        };
        let mut metadata = Vec::new();
        for at in &comes {
            if let (Some(place), ColumnKind::Metadata { key, .. }) =
                (place(at), &self.table.columns[*at].kind)
            {
                let kind = Metadata::named(key).map_err(&unfit)?;
                kind.check(&self.field(*at)).map_err(&unfit)?;
                metadata.push((place, kind));
            }
        }
        let layout = EncoderLayout {
            format: format.clone(),
            value: chosen(&self.value_columns),
            key: self.key.clone().map(|format| (format, chosen(&self.key_columns))),
            metadata,
            mode: self.mode,
        };
        TableEncoder::new(layout).map_err(unfit)
    }

    /// Makes the topic for what a sink would write, unless it is there.
    pub(super) fn make(&self, resources: &Resources) -> Result<()> {
        let (output, job) = (self.output(), &self.table.name);
        let made = match &self.format {
            Format::Records(format) => output.make(resources, self.encoder(format)?, job),
            Format::Arrow => output.make(resources, self.to_columns()?, job),
        };
        made.map_err(|error| self.said(error))
    }

    /// Whether these columns can be read of the topic as it is now.
    pub(super) fn check(&self, columns: &[usize], resources: &Resources) -> Result<()> {
        let input = TopicInput::new(&self.topic);
        let checked = match &self.format {
            Format::Records(format) => {
                input.check(resources, self.decoder(format, columns, &ScanOptions::default())?)
            }
            Format::Arrow => input.check(resources, self.columns(columns)?),
        };
        let (table, topic) = (&self.table.name, &self.topic);
        match checked? {
            TopicCheck::Fits { .. } => Ok(()),
            TopicCheck::Missing => Err(crate::Error::invalid(format!(
                "table `{table}`: its topic `{topic}` is not there: INSERT INTO `{table}` makes it, and so does `riverrun topic \
                 create {topic}{}`",
                self.columns_option()
            ))),
            TopicCheck::Unfit(reason) => Err(crate::Error::invalid(format!(
                "table `{table}` cannot be read from topic `{topic}`: {reason}"
            ))),
        }
    }

    /// What an engine's error says about the table.
    fn said(&self, error: riverrun_dataflow::Error) -> crate::Error {
        match error {
            riverrun_dataflow::Error::InvalidJob { reason, .. } => {
                crate::Error::invalid(format!("table `{}`: {reason}", self.table.name))
            }
            other => other.into(),
        }
    }
}

/// Positions of the physical columns.
fn physical(table: &Table) -> Vec<usize> {
    let physical = |at: &usize| matches!(table.columns[*at].kind, ColumnKind::Physical);
    (0..table.columns.len()).filter(physical).collect()
}

/// What becomes of records that cannot be decoded; `name` is what the topic of dead letters is called after.
pub(super) fn on_error(options: &Options<'_>, name: &str) -> Result<OnError> {
    let topic = options.text("dead-letter.topic");
    let choices = [("fail", 0), ("skip", 1), ("dead-letter", 2)];
    match (options.choice("on-error", &choices)?, topic) {
        (Some(2), Some(topic)) => Ok(OnError::dead_letter(topic)),
        (Some(2), None) => Ok(OnError::dead_letter(format!("{name}.dead-letters"))),
        (_, Some(_)) => Err(options.wrong("'dead-letter.topic' is for 'on-error' = 'dead-letter'")),
        (Some(1), None) => Ok(OnError::Skip),
        (_, None) => Ok(OnError::Fail),
    }
}

/// A decoder of lines, whose only part is a value.
pub(super) fn decoder_of_lines(
    table: &Table,
    format: &TableFormat,
    columns: &[usize],
    scan: &ScanOptions,
) -> Result<TableDecoder> {
    let mut fields = physical(table);
    // What the name of a folder says is not in its files.
    fields.retain(|at| !table.partitioned_by.contains(&table.columns[*at].name));
    let column = |at: &usize| {
        let field = fields.iter().position(|field| field == at)?;
        let origin = Origin::Value(field);
        Some(LayoutColumn { field: table.columns[*at].field(), origin })
    };
    let layout = TableLayout {
        format: format.clone(),
        columns: columns.iter().filter_map(column).collect(),
        fields: fields.iter().map(|at| table.columns[*at].field()).collect(),
        key: None,
        upsert: false,
    };
    TableDecoder::reading(layout, needed(columns, scan)).map_err(format::unfit(table))
}

/// The fields that are needed of the columns that are read, by their place among these.
fn needed(columns: &[usize], scan: &ScanOptions) -> BTreeMap<usize, BTreeSet<String>> {
    let fields = columns.iter().enumerate();
    fields.filter_map(|(place, at)| Some((place, scan.fields.get(at)?.clone()))).collect()
}
