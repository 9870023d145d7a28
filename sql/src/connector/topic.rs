//! Topics of the log.
//!
//! A table without a primary key takes rows that stay. With one it is an **upsert** table: a record replaces the earlier one of its key, one
//! without a value removes it, and the topic is compacted. With the format debezium-json it is a changelog. `changelog.mode` says
//! otherwise where that is possible.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use arrow_schema::FieldRef;
use riverrun_dataflow::{Columns, DataStream, Environment};
use riverrun_operators::format::OnError;
use riverrun_operators::format::table::{
    EncoderLayout, KeyLayout, LayoutColumn, Metadata, Origin, TableDecoder, TableEncoder,
    TableFormat, TableLayout, WriteMode,
};
use riverrun_operators::{ColumnSinks, Delivery, End, Sources, Start, TopicInput, TopicOutput};

use super::options::Options;
use super::{ScanOptions, SinkMode, SourceStream, format};
use crate::Result;
use crate::catalog::{ColumnKind, Table};

/// A table that is a topic.
pub(super) struct TopicTable<'a> {
    table: &'a Table,
    topic: String,
    format: TableFormat,
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
        let format = format::of_value(&options)?;
        let key_format = format::of_key(&options)?;
        let mode = mode(table, &options, &format)?;
        let key_columns = key_columns(table, &options, mode)?;
        let key = match (key_format, key_columns.is_empty()) {
            (Some(key), false) => Some(key),
            (Some(_), true) => {
                return Err(options.wrong("'key.format' needs 'key.fields', or a PRIMARY KEY"));
            }
            // Without a format of its own the key is written as the value is.
            (None, false) => Some(format.clone()),
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
        let (start, start_offsets) = start(&options)?;
        let (bounded, end) = end(&options)?;
        let on_error = on_error(&options, &topic)?;
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
        made.decoder(&table.source_columns(), &ScanOptions::default())?;
        Ok(made)
    }

    fn field(&self, position: usize) -> FieldRef {
        self.table.columns[position].field()
    }

    fn is_upsert(&self) -> bool {
        self.mode == WriteMode::Upsert
    }

    fn decoder(&self, columns: &[usize], scan: &ScanOptions) -> Result<TableDecoder> {
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
            format: self.format.clone(),
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
        if let Some(partitions) = &scan.partitions {
            input = input.partitions(partitions.clone());
        }
        let from_the_start = self.start == Start::Earliest && self.start_offsets.is_empty();
        input = match (scan.start, scan.timestamp_from) {
            (Some(start), _) => input.start(start),
            // What an earlier record of a key says must be known even if it is too old to be asked for.
            (None, Some(from)) if from_the_start && !self.is_upsert() => {
                input.start(Start::Timestamp(from))
            }
            (None, _) => input.start_offsets(self.start_offsets.clone()),
        };
        let upsert = match self.is_upsert() {
            true => Some(self.key_among(columns)?),
            false => None,
        };
        Ok(SourceStream {
            stream: env.from_topic_columns(input, self.decoder(columns, scan)?),
            retracts: self.is_upsert() || self.format.retracts(),
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
            format: self.format.clone(),
            value: chosen(&self.value_columns),
            key: self.key.clone().map(|format| (format, chosen(&self.key_columns))),
            metadata,
            mode: self.mode,
        };
        let encoder = TableEncoder::new(layout).map_err(unfit)?;
        let mut output = TopicOutput::new(&self.topic).delivery(self.delivery);
        if let Some(partitions) = self.partitions {
            output = output.partitions(partitions);
        }
        if self.is_upsert() {
            for (key, value) in super::COMPACTED {
                output = output.setting(key, value);
            }
        }
        stream.to_topic_columns(output, encoder);
        Ok(())
    }
}

/// Positions of the physical columns.
fn physical(table: &Table) -> Vec<usize> {
    let physical = |at: &usize| matches!(table.columns[*at].kind, ColumnKind::Physical);
    (0..table.columns.len()).filter(physical).collect()
}

fn mode(table: &Table, options: &Options<'_>, format: &TableFormat) -> Result<WriteMode> {
    let has_key = !table.primary_key.is_empty();
    let needs_key = table.option("connector") == Some("upsert-kafka");
    if needs_key && !has_key {
        return Err(
            options.wrong("the connector 'upsert-kafka' needs a PRIMARY KEY (..) NOT ENFORCED")
        );
    }
    let modes = [
        ("append", WriteMode::Append),
        ("upsert", WriteMode::Upsert),
        ("all", WriteMode::Changelog),
    ];
    let mode = match options.choice("changelog.mode", &modes)? {
        Some(mode) => mode,
        None if format.retracts() => WriteMode::Changelog,
        None if has_key => WriteMode::Upsert,
        None => WriteMode::Append,
    };
    match mode {
        WriteMode::Upsert if !has_key => {
            Err(options.wrong("'changelog.mode' = 'upsert' needs a PRIMARY KEY (..) NOT ENFORCED"))
        }
        WriteMode::Upsert | WriteMode::Append if format.retracts() => Err(options.wrong(format!(
            "the format {} is for 'changelog.mode' = 'all'",
            format.name()
        ))),
        WriteMode::Changelog if !format.retracts() => Err(options.wrong(format!(
            "'changelog.mode' = 'all' needs a format that can take rows back, which {} cannot: use debezium-json",
            format.name()
        ))),
        mode => Ok(mode),
    }
}

/// Positions of the columns that make the key of a record: those of `key.fields`, or of an upsert table's primary key.
fn key_columns(table: &Table, options: &Options<'_>, mode: WriteMode) -> Result<Vec<usize>> {
    let names: Vec<&str> = match (options.text("key.fields"), mode) {
        (Some(_), WriteMode::Upsert) => {
            return Err(
                options.wrong("'key.fields' is the PRIMARY KEY of an upsert table: leave it out")
            );
        }
        (Some(fields), _) => fields.split(';').map(str::trim).filter(|f| !f.is_empty()).collect(),
        (None, WriteMode::Upsert) => table.primary_key.iter().map(String::as_str).collect(),
        (None, _) => Vec::new(),
    };
    let column = |name: &&str| {
        let physical = |at: &usize| matches!(table.columns[*at].kind, ColumnKind::Physical);
        table.position(name).filter(physical).ok_or_else(|| {
            let columns = table.columns.iter().map(|column| column.name.as_str());
            let hint = crate::catalog::nearest(name, columns)
                .filter(|near| near != name)
                .map(|near| format!("; did you mean `{near}`?"))
                .unwrap_or_default();
            options.wrong(format!("the key's `{name}` is no physical column{hint}"))
        })
    };
    names.iter().map(column).collect()
}

fn start(options: &Options<'_>) -> Result<(Start, BTreeMap<u32, i64>)> {
    #[derive(Clone, Copy)]
    enum Mode {
        Earliest,
        Latest,
        Timestamp,
        Offsets,
    }
    // A job goes on from its checkpoint, not from what a consumer group has committed.
    let modes = [
        ("earliest-offset", Mode::Earliest),
        ("latest-offset", Mode::Latest),
        ("timestamp", Mode::Timestamp),
        ("specific-offsets", Mode::Offsets),
        ("group-offsets", Mode::Earliest),
    ];
    let mode = options.choice("scan.startup.mode", &modes)?.unwrap_or(Mode::Earliest);
    let timestamp = options.number("scan.startup.timestamp-millis", 0)?;
    let offsets = options.text("scan.startup.specific-offsets");
    Ok(match (mode, timestamp) {
        (Mode::Timestamp, None) => {
            return Err(options
                .wrong("'scan.startup.mode' = 'timestamp' needs 'scan.startup.timestamp-millis'"));
        }
        (Mode::Timestamp, Some(timestamp)) => (Start::Timestamp(timestamp), BTreeMap::new()),
        (_, Some(_)) => {
            return Err(options.wrong(
                "'scan.startup.timestamp-millis' is for 'scan.startup.mode' = 'timestamp'",
            ));
        }
        (Mode::Offsets, None) => {
            (Start::Earliest, options.offsets("scan.startup.specific-offsets")?)
        }
        _ if offsets.is_some() => {
            return Err(options.wrong(
                "'scan.startup.specific-offsets' is for 'scan.startup.mode' = 'specific-offsets'",
            ));
        }
        (Mode::Latest, None) => (Start::Latest, BTreeMap::new()),
        (Mode::Earliest, None) => (Start::Earliest, BTreeMap::new()),
    })
}

/// Whether the present end is the end, and another end.
fn end(options: &Options<'_>) -> Result<(bool, Option<End>)> {
    let modes = [
        ("unbounded", 0),
        ("latest-offset", 1),
        ("timestamp", 2),
        ("specific-offsets", 3),
        ("group-offsets", 4),
    ];
    let mode = options.choice("scan.bounded.mode", &modes)?.unwrap_or(0);
    let timestamp = options.number("scan.bounded.timestamp-millis", 0)?;
    options.accept(&["scan.bounded.specific-offsets"]);
    match mode {
        0 => Ok((false, None)),
        1 => Ok((true, None)),
        2 => match timestamp {
            Some(timestamp) => Ok((false, Some(End::Timestamp(timestamp)))),
            None => Err(options
                .wrong("'scan.bounded.mode' = 'timestamp' needs 'scan.bounded.timestamp-millis'")),
        },
        3 => {
            let ends = options.offsets("scan.bounded.specific-offsets")?;
            Ok((false, Some(End::Offsets(ends))))
        }
        _ => Err(options
            .wrong("'scan.bounded.mode' = 'group-offsets' is not supported: there are no groups")),
    }
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
    let fields = physical(table);
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
