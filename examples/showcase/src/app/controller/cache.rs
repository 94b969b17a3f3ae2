//! `/cache`: what is in the cache, and more of it.

use hatchery::extract::Query;
use hatchery::http::StatusCode;
use hatchery::{Context, Json};
use serde::{Deserialize, Serialize};

use crate::app::service::cache::Cache;

#[derive(Serialize)]
pub(crate) struct Look {
    mb: usize,
    pressure: String,
}

pub(crate) async fn look(ctx: Context) -> Json<Look> {
    let (mb, level) = ctx.service::<Cache>().look();
    Json(Look {
        mb,
        pressure: format!("{level:?}").to_lowercase(),
    })
}

#[derive(Deserialize)]
pub(crate) struct Fill {
    /// How much, MiB.
    mb: usize,
}

pub(crate) async fn fill(ctx: Context, Query(Fill { mb }): Query<Fill>) -> StatusCode {
    ctx.service::<Cache>().fill(mb)
}
