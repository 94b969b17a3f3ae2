//! `/slow`: an answer that takes its time.

use std::process;
use std::time::Duration;

use hatchery::extract::Query;
use hatchery::{Json, get};
use serde::{Deserialize, Serialize};

/// Longest wait, milliseconds.
const SLOW_MS_MAX: u64 = 600_000;

#[derive(Deserialize)]
struct Slow {
    ms: u64,
}

#[derive(Serialize)]
struct Slept {
    slept_ms: u64,
    pid: u32,
}

#[get("/slow")]
async fn slow(Query(Slow { ms }): Query<Slow>) -> Json<Slept> {
    let ms = ms.min(SLOW_MS_MAX);
    tokio::time::sleep(Duration::from_millis(ms)).await;
    Json(Slept {
        slept_ms: ms,
        pid: process::id(),
    })
}
