//! Income per minute and product, from a topic of orders to a topic of results, exactly once: also when it crashes.
//!
//! ```text
//! cargo run --example order_income -- --orders 1000000 --crash-every 2s
//! cargo run -- consume order-income --from-beginning
//! ```
//!
//! The program first writes orders to the topic `orders` (once), then adds them up. With `--crash-every` it kills itself at random
//! moments, as a power cut would; start it again (or use `while ! order_income ...; do :; done`) and watch it go on. The results
//! are the same as without any crash.

use std::time::Duration;

use anyhow::Context;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use riverrun::dataflow::Clock;
use riverrun::embedded::MachineClock;
use riverrun::log_store::{Entry, Producer, ProducerConfig, Store, TopicConfig};
use riverrun::operators::format::rfc3339;
use riverrun::prelude::*;
use serde::{Deserialize, Serialize};

riverrun::main!(order_income);

/// Add up orders per minute and product, exactly once.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// How many orders to make up, if the topic `orders` has none
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    orders: u64,
    /// The same seed gives the same orders
    #[arg(long, default_value_t = 0, value_name = "S")]
    seed: u64,
    /// Crash at a random moment, on average after this long
    #[arg(long, value_name = "DURATION", value_parser = riverrun::parse_duration)]
    crash_every: Option<Duration>,
}

/// An order.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Order {
    /// Its number.
    pub id: u64,
    /// What was ordered.
    pub product: String,
    /// Price in cents.
    pub cents: u64,
    /// When.
    #[serde(with = "rfc3339")]
    pub at: Timestamp,
}

/// A result.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Income {
    /// Start of the minute.
    #[serde(with = "rfc3339")]
    pub minute: Timestamp,
    /// What was ordered.
    pub product: String,
    /// Sum of the prices in cents.
    pub cents: u64,
}

/// The order with this number: the same for the same seed.
fn order(seed: u64, id: u64) -> Order {
    const PRODUCTS: [&str; 8] =
        ["tea", "coffee", "bread", "cheese", "apples", "rice", "soap", "ink"];
    let mut random = SmallRng::seed_from_u64(seed ^ id.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    Order {
        id,
        product: PRODUCTS[random.random_range(0..PRODUCTS.len())].to_owned(),
        cents: random.random_range(100..10_000),
        // A thousand orders a minute, up to ten seconds out of order, from 2025-01-01 on.
        at: 1_735_689_600_000 + (id * 60) as i64 - random.random_range(0..10_000),
    }
}

/// Writes the orders in one transaction: all of them are there, or none.
fn write_orders(store: &Store, seed: u64, orders: u64) -> anyhow::Result<()> {
    if !store.topics().iter().any(|info| info.name == "orders") {
        store.create_topic("orders", TopicConfig { partitions: 4, ..TopicConfig::default() })?;
    }
    if store.metadata().get("example", "orders-written").is_some() {
        return Ok(());
    }
    let config = ProducerConfig {
        transactional_id: Some("order-income-input".to_owned()),
        ..ProducerConfig::default()
    };
    let mut producer = Producer::new(store, config)?;
    producer.begin_transaction()?;
    for id in 0..orders {
        let order = order(seed, id);
        let value = serde_json::to_vec(&order)?;
        producer.send(
            "orders",
            None,
            Some(order.at),
            Some(order.product.as_bytes()),
            Some(&value),
            &[],
        )?;
    }
    producer.commit_transaction_with(&[Entry::put("example", "orders-written", b"yes")])?;
    eprintln!("wrote {orders} orders");
    Ok(())
}

/// Ends the process without any warning, some time from now.
#[expect(clippy::disallowed_methods, reason = "a crash comes when it comes")]
fn crash_at_random(mean: Duration) -> anyhow::Result<()> {
    let mut random = SmallRng::seed_from_u64(MachineClock.now() as u64);
    let delay = mean.mul_f64(2.0 * random.random::<f64>());
    std::thread::Builder::new()
        .name("crash".to_owned())
        .spawn(move || {
            std::thread::sleep(delay);
            eprintln!("crash! (start me again)");
            std::process::abort();
        })
        .context("cannot start the thread that crashes")?;
    Ok(())
}

fn order_income(env: &Environment, options: Options) -> anyhow::Result<()> {
    let Options { orders, seed, crash_every } = options;
    env.before_run(move |store, _| {
        write_orders(store, seed, orders)?;
        crash_every.map_or(Ok(()), crash_at_random)
    });
    env.from_topic(TopicInput::new("orders").bounded(), Json::<Order>::new())
        .assign_timestamps(
            WatermarkStrategy::bounded_out_of_orderness(Duration::from_secs(10)),
            |order| order.at,
        )
        .key_by(|order| order.product.clone())
        .key_name("product")
        .window(TumblingWindows::of(Duration::from_secs(60)))
        .sum(|order| order.cents)
        .map(|sum| Income { minute: sum.window.start, product: sum.key, cents: sum.value })
        .to_topic("order-income", ToJson::keyed_by(|income: &Income| &income.product));
    Ok(())
}
