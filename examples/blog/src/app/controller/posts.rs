//! `/posts`: the seven actions of a resource, as far as they are here.

use hatchery::extract::{Path, Query};
use hatchery::http::StatusCode;
use hatchery::{Context, Error, Json};
use serde::Deserialize;

use crate::app::model::store::Post;
use crate::app::service::posts::{Draft, Posts as Service};

/// Mounted by `routes.resources::<Posts>("posts", "/posts")`.
pub(crate) struct Posts;

#[derive(Deserialize)]
struct Page {
    page: Option<usize>,
}

#[hatchery::controller]
impl Posts {
    async fn index(ctx: Context, Query(query): Query<Page>) -> Result<Json<Vec<Post>>, Error> {
        let page = query.page.unwrap_or(1);
        Ok(Json(ctx.service::<Service>().page(page)?))
    }

    async fn show(ctx: Context, Path(id): Path<u64>) -> Result<Json<Post>, Error> {
        Ok(Json(ctx.service::<Service>().find(id)?))
    }

    async fn create(
        ctx: Context,
        Json(draft): Json<Draft>,
    ) -> Result<(StatusCode, Json<Post>), Error> {
        let post = ctx.service::<Service>().create(&draft)?;
        Ok((StatusCode::CREATED, Json(post)))
    }

    async fn update(
        ctx: Context,
        Path(id): Path<u64>,
        Json(draft): Json<Draft>,
    ) -> Result<Json<Post>, Error> {
        Ok(Json(ctx.service::<Service>().update(id, draft)?))
    }

    async fn destroy(ctx: Context, Path(id): Path<u64>) -> Result<StatusCode, Error> {
        ctx.service::<Service>().remove(id)?;
        Ok(StatusCode::NO_CONTENT)
    }
}
