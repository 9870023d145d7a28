//! Rows on their way to a client.

use std::sync::Arc;

use arrow_array::RecordBatch;
use futures_util::stream::{self, StreamExt};
use pgwire::api::results::{FieldInfo, QueryResponse};
use pgwire::error::PgWireResult;
use pgwire::messages::data::DataRow;
use tokio::sync::mpsc;

use super::encoding::encode;
use super::errors;
use riverrun_sql::session::{QueryControl, QueryStream};

/// How many encoded batches wait for a client that reads slowly. Then the query waits, too.
const WAITING_BATCHES: usize = 4;

/// A result that is there already.
pub(super) fn of_batches(fields: Arc<Vec<FieldInfo>>, batches: &[RecordBatch]) -> QueryResponse {
    let rows: Vec<PgWireResult<DataRow>> =
        batches.iter().flat_map(|batch| encode(batch, None, &fields, false)).map(Ok).collect();
    QueryResponse::new(fields, stream::iter(rows))
}

/// A result that comes bit by bit, perhaps without end. The query is stopped when the response is dropped.
pub(super) fn of_query(
    fields: Arc<Vec<FieldInfo>>,
    mut query: QueryStream,
) -> PgWireResult<QueryResponse> {
    let (sender, receiver) = mpsc::channel(WAITING_BATCHES);
    let stop = StopOnDrop(query.control());
    let encoded_as = fields.clone();
    let changelog = query.retracts();
    std::thread::Builder::new()
        .name("query".to_owned())
        .spawn(move || {
            loop {
                let batch = match query.next_changes() {
                    Ok(Some(changes)) => {
                        let weights = changes.weights.as_ref();
                        Ok(encode(&changes.rows, weights, &encoded_as, changelog))
                    }
                    Ok(None) => return,
                    Err(error) => Err(errors::to_wire(&error, "", 0)),
                };
                let failed = batch.is_err();
                // Nobody listens any more, or nothing comes any more.
                if sender.blocking_send(batch).is_err() || failed {
                    return;
                }
            }
        })
        .map_err(|error| errors::plain("53000", format!("no thread for the query: {error}")))?;
    let rows = stream::unfold((receiver, stop), |(mut receiver, stop)| async move {
        let batch = receiver.recv().await?;
        let rows: Vec<PgWireResult<DataRow>> = match batch {
            Ok(rows) => rows.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        };
        Some((stream::iter(rows), (receiver, stop)))
    });
    Ok(QueryResponse::new(fields, rows.flatten()))
}

/// Stops a query whose client has gone, or has had enough.
struct StopOnDrop(QueryControl);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
