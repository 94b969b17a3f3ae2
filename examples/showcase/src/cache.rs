//! A cache that is given up when memory becomes short: what `memory_pressure()` is for. Its routes
//! are there with the faults.

use std::sync::{Mutex, PoisonError};

use hatchery::extract::Query;
use hatchery::http::StatusCode;
use hatchery::routing::get;
use hatchery::{Application, Json, PressureLevel, Router};
use serde::{Deserialize, Serialize};

/// Most that the cache holds, MiB.
const CACHE_MB_MAX: usize = 1024;

/// What one worker has cached; here, only ballast.
static CACHED: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// `GET /cache` tells what is in it, `POST /cache?mb=N` puts more into it while memory is not
/// short.
pub(crate) fn routes(app: &Application) -> Router {
    let pressure = app.memory_pressure();
    let filled = app.clone();
    let fill = async move |Query(asked): Query<Fill>| fill(&filled, &asked);
    let look = async move || {
        let level = pressure.level();
        Json(Cache {
            mb: held_mb(),
            pressure: format!("{level:?}").to_lowercase(),
        })
    };
    Router::new().route("/cache", get(look).post(fill))
}

/// Gives the cache up whenever memory becomes short.
pub(crate) async fn trim(app: Application) {
    let mut pressure = app.memory_pressure();
    loop {
        if pressure.level() >= PressureLevel::Trim {
            CACHED
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clear();
        }
        pressure.changed().await;
    }
}

#[derive(Serialize)]
struct Cache {
    mb: usize,
    pressure: String,
}

#[derive(Deserialize)]
struct Fill {
    /// How much, MiB.
    mb: usize,
}

fn fill(app: &Application, Fill { mb }: &Fill) -> StatusCode {
    if app.memory_pressure().level() >= PressureLevel::Trim {
        return StatusCode::INSUFFICIENT_STORAGE;
    }
    if held_mb().saturating_add(*mb) > CACHE_MB_MAX {
        return StatusCode::BAD_REQUEST;
    }
    // Not zeros: those come from the kernel untouched and count for nothing.
    let blocks = (0..*mb).map(|_| vec![0x5a; 1 << 20]);
    let mut cached = CACHED.lock().unwrap_or_else(PoisonError::into_inner);
    cached.extend(blocks);
    StatusCode::NO_CONTENT
}

fn held_mb() -> usize {
    CACHED.lock().unwrap_or_else(PoisonError::into_inner).len()
}
