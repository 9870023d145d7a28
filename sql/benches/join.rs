//! An unbounded join: how fast it is, and what it keeps per row as the rows become more.
//!
//! `cargo bench -p riverrun-sql --bench join`. Bids join auctions by a BIGINT key, three columns each: 60 thousand auctions for each million
//! bids, and half of the bids for a hundred hot ones. Numbers are printed, nothing is asserted.

#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use std::sync::Arc;
use std::time::Instant;

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::logical_expr::{JoinType, build_join_schema};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use riverrun_dataflow::testing::Harness;
use riverrun_dataflow::{Operator, Result, SnapshotKind};
use riverrun_sql::Changes;
use riverrun_sql::operator::join::{Join, JoinInput, JoinSpec};

const AUCTIONS_PER_BATCH: u64 = 480;
const BIDS_PER_BATCH: usize = 8000;

fn main() -> Result<()> {
    for join_type in [JoinType::Inner, JoinType::Left, JoinType::LeftSemi, JoinType::LeftAnti] {
        println!("{join_type} join");
        println!(
            "{:>12}{:>14}{:>12}{:>18}{:>20}",
            "rows kept", "M rows/s", "rows out", "bytes/row memory", "bytes/row snapshot"
        );
        for batches in [60, 125, 250, 500] {
            measure(join_type, batches)?;
        }
    }
    Ok(())
}

fn measure(join_type: JoinType, batches: u64) -> Result<()> {
    let schemas = [["auction", "bidder", "price"], ["id", "seller", "category"]].map(schema);
    let mut join = Harness::open(Join::new(spec(join_type, &schemas))?)?;
    let mut random = SmallRng::seed_from_u64(1);
    let (mut kept, mut out, mut seconds) = (0usize, 0usize, 0.0);
    for at in 0..batches {
        let first = at * AUCTIONS_PER_BATCH;
        let next = first + AUCTIONS_PER_BATCH;
        let auctions: Vec<_> = (first..next).map(|id| [id, id % 7, id % 5]).collect();
        let bids: Vec<_> = (0..BIDS_PER_BATCH)
            .map(|_| {
                let auction = random.random_range(0..next);
                let hot = auction / 600 * 600;
                let auction = if random.random_bool(0.5) { hot } else { auction };
                [auction, random.random_range(0..1000), random.random_range(0..100_000)]
            })
            .collect();
        for (side, rows) in [(1, auctions), (0, bids)] {
            kept += rows.len();
            let batch = Changes::inserts(batch(&schemas[side], &rows)).into_batch("join", None)?;
            let start = Instant::now();
            join.operator.process(side, batch, &mut join.out)?;
            seconds += start.elapsed().as_secs_f64();
            out += join.out.batches.drain(..).map(|batch| batch.len()).sum::<usize>();
        }
    }
    let snapshot = join.snapshot(SnapshotKind::Full)?.keyed.map_or(0, |keyed| keyed.size_bytes());
    let per_row = |bytes: usize| bytes as f64 / kept as f64;
    println!(
        "{kept:>12}{:>14.2}{out:>12}{:>18.1}{:>20.1}",
        kept as f64 / seconds / 1e6,
        per_row(join.operator.memory()),
        per_row(snapshot)
    );
    Ok(())
}

fn schema(names: [&str; 3]) -> SchemaRef {
    Arc::new(Schema::new(names.map(|name| Field::new(name, DataType::Int64, false)).to_vec()))
}

fn spec(join_type: JoinType, schemas: &[SchemaRef; 2]) -> JoinSpec {
    let [left, right] = [0, 1].map(|side: usize| {
        DFSchema::try_from(schemas[side].clone()).expect("names of a side are different")
    });
    let output = build_join_schema(&left, &right, &join_type).expect("the sides have other names");
    JoinSpec {
        join_type,
        inputs: [0, 1].map(|side: usize| JoinInput {
            schema: schemas[side].clone(),
            columns: 3,
            keys: vec![0],
        }),
        nulls_equal: false,
        filter: None,
        output: output.inner().clone(),
        retracts: join_type != JoinType::Inner,
        time_to_live: None,
    }
}

fn batch(schema: &SchemaRef, rows: &[[u64; 3]]) -> RecordBatch {
    let column = |at: usize| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row[at] as i64)))
    };
    RecordBatch::try_new(schema.clone(), (0..3).map(column).collect()).expect("three columns")
}
