//! Health, metrics and jobs over HTTP.
//!
//! | | |
//! |---|---|
//! | `GET /healthz` | `ok`, as long as the server answers |
//! | `GET /metrics` | figures in Prometheus' text format |
//! | `GET /jobs` | `{"jobs": [...]}`, a [`JobSummary`](crate::embedded::JobSummary) each |
//! | `GET /jobs/NAME` | a [`JobDetails`](crate::embedded::JobDetails) |
//! | `GET /jobs/NAME/graph?format=json\|ascii\|dot` | its job graph |
//! | `POST /jobs/NAME/cancel` | ends it for good |
//!
//! An error is `{"error": "..."}` with a status that fits.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::json;

use super::metrics;
use crate::drawing::{GraphFormat, draw};
use crate::embedded::Jobs;

/// Answers requests until the runtime is shut down.
pub(super) async fn serve(listener: tokio::net::TcpListener, jobs: Arc<Jobs>) {
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/metrics", get(show_metrics))
        .route("/jobs", get(list))
        .route("/jobs/{job}", get(describe))
        .route("/jobs/{job}/graph", get(graph))
        .route("/jobs/{job}/cancel", post(cancel))
        .fallback(|| async { refusal(StatusCode::NOT_FOUND, "there is nothing at this path") })
        .with_state(jobs);
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "HTTP has stopped");
    }
}

fn refusal(status: StatusCode, reason: &str) -> Response {
    (status, Json(json!({ "error": reason }))).into_response()
}

fn no_such_job(job: &str) -> Response {
    refusal(StatusCode::NOT_FOUND, &format!("there is no job named `{job}`"))
}

/// Answers from the store, which may wait for a disk, on a thread that may wait.
async fn answer(work: impl FnOnce() -> anyhow::Result<Response> + Send + 'static) -> Response {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => refusal(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error:#}")),
        Err(error) => refusal(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

async fn show_metrics(State(jobs): State<Arc<Jobs>>) -> Response {
    answer(move || {
        let content_type = [(header::CONTENT_TYPE, "text/plain; version=0.0.4")];
        Ok((content_type, metrics::text(&jobs)).into_response())
    })
    .await
}

async fn list(State(jobs): State<Arc<Jobs>>) -> Response {
    answer(move || Ok(Json(json!({ "jobs": jobs.summaries()? })).into_response())).await
}

async fn describe(State(jobs): State<Arc<Jobs>>, Path(job): Path<String>) -> Response {
    answer(move || {
        Ok(jobs.details(&job)?.map_or_else(|| no_such_job(&job), |d| Json(d).into_response()))
    })
    .await
}

/// How a graph is wanted.
#[derive(Deserialize)]
struct Wanted {
    format: Option<String>,
}

async fn graph(
    State(jobs): State<Arc<Jobs>>,
    Path(job): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Response {
    answer(move || {
        let Some(graph) = jobs.graph(&job)? else { return Ok(no_such_job(&job)) };
        Ok(match wanted.format.as_deref() {
            None | Some("json") => Json(graph).into_response(),
            Some("ascii") => draw(&graph, GraphFormat::Ascii).into_response(),
            Some("dot") => draw(&graph, GraphFormat::Dot).into_response(),
            Some(other) => {
                let reason = format!("`{other}` is not a format: json, ascii and dot are");
                refusal(StatusCode::BAD_REQUEST, &reason)
            }
        })
    })
    .await
}

async fn cancel(State(jobs): State<Arc<Jobs>>, Path(job): Path<String>) -> Response {
    answer(move || {
        if jobs.details(&job)?.is_none() {
            return Ok(no_such_job(&job));
        }
        Ok(match jobs.cancel(&job, false) {
            Ok(()) => Json(json!({ "job": job, "state": "CANCELLED" })).into_response(),
            Err(error) => refusal(StatusCode::CONFLICT, &format!("{error:#}")),
        })
    })
    .await
}
