//! `/admin`: for who may write.

use hatchery::{Context, Error, Json};
use serde::Serialize;

use crate::app::service::posts::Posts;
use crate::plugin::audit::AuditLog;

#[derive(Serialize)]
pub(crate) struct Overview {
    newest: Vec<String>,
    /// What this worker has noted.
    audit: Vec<String>,
}

pub(crate) async fn index(ctx: Context) -> Result<Json<Overview>, Error> {
    let posts = ctx.service::<Posts>().page(1)?;
    Ok(Json(Overview {
        newest: posts.into_iter().map(|post| post.title).collect(),
        audit: ctx.app().singleton::<AuditLog>()?.lines(),
    }))
}
