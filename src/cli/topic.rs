//! `riverrun topic`: topics and their settings.

use anyhow::{Context, anyhow, bail};
use arrow_schema::SchemaRef;
use riverrun_log_store::{Store, TopicConfig, TopicInfo};
use riverrun_operators::format::arrow::{describe_schema, schema_of_topic, topic_settings};
use riverrun_sql::catalog::ColumnKind;
use riverrun_sql::parser::{Statement, parse_script};
use serde_json::json;

use super::data_dir::DataDir;
use super::output::{OutputFormat, new_table, print_json, print_table};

/// What can be done with topics.
#[derive(clap::Subcommand)]
pub(super) enum Topic {
    /// Make a topic
    Create {
        /// Its name
        topic: String,
        /// How many partitions it has
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        partitions: u32,
        /// A setting, by Kafka's name, e.g. `retention.ms=86400000`; may be given several times
        #[arg(long = "config", short = 'c', value_name = "KEY=VALUE", value_parser = setting)]
        settings: Vec<(String, String)>,
        /// Its columns, as SQL declares them: `id BIGINT NOT NULL, name STRING`. It is columnar then (format=arrow)
        #[arg(long, value_name = "COLUMNS")]
        columns: Option<String>,
        #[command(flatten)]
        data_dir: DataDir,
    },
    /// List all topics
    List {
        /// The store's own topics, too
        #[arg(long)]
        internal: bool,
        #[command(flatten)]
        data_dir: DataDir,
        /// How to print
        #[arg(long, value_enum, default_value_t)]
        output: OutputFormat,
    },
    /// Tell a topic's partitions, offsets and settings
    Describe {
        /// Its name
        topic: String,
        #[command(flatten)]
        data_dir: DataDir,
        /// How to print
        #[arg(long, value_enum, default_value_t)]
        output: OutputFormat,
    },
    /// Change a topic's settings
    Alter {
        /// Its name
        topic: String,
        /// A setting, by Kafka's name, e.g. `retention.ms=86400000`; may be given several times
        #[arg(long = "config", short = 'c', value_name = "KEY=VALUE", required = true, value_parser = setting)]
        settings: Vec<(String, String)>,
        #[command(flatten)]
        data_dir: DataDir,
    },
    /// Delete a topic and all that is in it
    Delete {
        /// Its name
        topic: String,
        #[command(flatten)]
        data_dir: DataDir,
    },
}

fn setting(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()))
        .filter(|(key, _)| !key.is_empty())
        .ok_or_else(|| format!("`{text}` is not of the form KEY=VALUE"))
}

fn pairs(settings: &[(String, String)]) -> Vec<(&str, &str)> {
    settings.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

impl Topic {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Create { topic, partitions, settings, columns, data_dir } => {
                let mut config = TopicConfig { partitions, ..TopicConfig::default() };
                if let Some(columns) = columns {
                    config.set_all(&pairs(&topic_settings(&*declared(&columns)?)?))?;
                }
                config.set_all(&pairs(&settings))?;
                data_dir.open()?.create_topic(&topic, config)?;
                eprintln!("created topic `{topic}` with {partitions} partition(s)");
                Ok(())
            }
            Self::List { internal, data_dir, output } => {
                list(&data_dir.open_existing()?, internal, output)
            }
            Self::Describe { topic, data_dir, output } => {
                describe(&data_dir.open_existing()?, &topic, output)
            }
            Self::Alter { topic, settings, data_dir } => {
                data_dir.open_existing()?.alter_topic(&topic, &pairs(&settings))?;
                eprintln!("changed topic `{topic}`");
                Ok(())
            }
            Self::Delete { topic, data_dir } => {
                data_dir.open_existing()?.delete_topic(&topic)?;
                eprintln!("deleted topic `{topic}`");
                Ok(())
            }
        }
    }
}

/// The schema of columns that are declared as in SQL.
fn declared(columns: &str) -> anyhow::Result<SchemaRef> {
    let statement = format!("CREATE TABLE columns ({columns})");
    let parsed = parse_script(&statement).context("--columns")?;
    let create = match parsed.into_iter().map(|parsed| parsed.statement).next() {
        Some(Statement::CreateTable(create)) => create,
        _ => {
            bail!("--columns takes columns as SQL declares them: `id BIGINT NOT NULL, name STRING`")
        }
    };
    let table = &create.table;
    let plain = table.columns.iter().all(|column| column.kind == ColumnKind::Physical);
    if !plain || table.watermark.is_some() || !table.primary_key.is_empty() {
        bail!(
            "--columns takes what rows hold: names and types. Computed and METADATA columns, WATERMARK and PRIMARY KEY belong to a table"
        );
    }
    Ok(table.schema())
}

/// Sum of the offsets that partitions hold: records, and the marks of transactions.
fn held(store: &Store, info: &TopicInfo) -> anyhow::Result<i64> {
    let mut held = 0;
    for partition in 0..info.config.partitions {
        let offsets = store.partition(&info.name, partition)?.offsets();
        held += offsets.high_watermark - offsets.log_start;
    }
    Ok(held)
}

fn list(store: &Store, internal: bool, output: OutputFormat) -> anyhow::Result<()> {
    let mut table = new_table(&["topic", "partitions", "offsets held"]);
    for info in store.topics().iter().filter(|info| internal || !info.name.starts_with("__")) {
        let held = held(store, info).with_context(|| format!("topic `{}`", info.name))?;
        match output {
            OutputFormat::Json => print_json(&json!({
                "topic": info.name, "partitions": info.config.partitions, "offsets_held": held
            }))?,
            OutputFormat::Table => {
                let partitions = info.config.partitions.to_string();
                table.add_row([info.name.clone(), partitions, held.to_string()]);
            }
        }
    }
    print_table(output, &table)
}

fn describe(store: &Store, topic: &str, output: OutputFormat) -> anyhow::Result<()> {
    let info = store.topic(topic)?;
    let mut table = new_table(&[
        "partition",
        "log start offset",
        "last stable offset",
        "high watermark",
        "log end offset",
    ]);
    let mut partitions = Vec::new();
    for partition in 0..info.config.partitions {
        let offsets = store
            .partition(topic, partition)
            .map_err(|e| anyhow!(e))
            .with_context(|| format!("partition {topic}-{partition}"))?
            .offsets();
        table.add_row([
            partition.to_string(),
            offsets.log_start.to_string(),
            offsets.last_stable.to_string(),
            offsets.high_watermark.to_string(),
            offsets.log_end.to_string(),
        ]);
        partitions.push(json!({
            "partition": partition, "log_start_offset": offsets.log_start,
            "last_stable_offset": offsets.last_stable, "high_watermark": offsets.high_watermark,
            "log_end_offset": offsets.log_end,
        }));
    }
    let mut settings = info.config.settings();
    // As it is kept, nobody can read it; of a topic of records there is none.
    let schema = schema_of_topic(&info.config).map(|schema| describe_schema(&schema)).ok();
    settings.retain_mut(|(key, value)| match (*key == "schema", &schema) {
        (true, Some(schema)) => {
            value.clone_from(schema);
            true
        }
        (is_schema, _) => !is_schema,
    });
    match output {
        OutputFormat::Json => {
            let settings: serde_json::Map<String, serde_json::Value> =
                settings.into_iter().map(|(key, value)| (key.to_string(), value.into())).collect();
            print_json(&json!({ "topic": topic, "config": settings, "partitions": partitions }))
        }
        OutputFormat::Table => {
            println!("topic {topic}");
            print_table(output, &table)?;
            let mut table = new_table(&["setting", "value"]);
            for (key, value) in settings {
                table.add_row([key.to_string(), value]);
            }
            print_table(output, &table)
        }
    }
}
