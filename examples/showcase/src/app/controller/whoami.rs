//! `/whoami`: which process answers.

use std::process;

use hatchery::extract::Query;
use hatchery::http::{HeaderValue, header};
use hatchery::response::{IntoResponse, Response};
use hatchery::{Application, Context, Json, get};
use serde::{Deserialize, Serialize};

/// Which process answers.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Whoami {
    pub(crate) pid: u32,
    pub(crate) slot: Option<u32>,
    pub(crate) instance: u64,
    pub(crate) generation: u64,
}

#[derive(Deserialize)]
struct WhoamiQuery {
    /// Present: the connection ends with this answer, so that the next request can meet another
    /// worker. A browser cannot ask for that by itself.
    leave: Option<String>,
}

impl Whoami {
    /// A spare learns its slot when it is given one: who asks later knows better.
    pub(crate) fn of(app: &Application) -> Self {
        let identity = app.identity();
        Self {
            pid: process::id(),
            slot: identity.slot,
            instance: identity.instance,
            generation: identity.generation,
        }
    }
}

#[get("/whoami")]
async fn whoami(ctx: Context, Query(query): Query<WhoamiQuery>) -> Response {
    let mut response = Json(Whoami::of(ctx.app())).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if query.leave.is_some() {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
