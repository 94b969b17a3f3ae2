//! The front page.

use std::fmt::Write as _;

use hatchery::extract::Query;
use hatchery::response::Html;
use hatchery::{Context, Error};
use serde::Deserialize;

use crate::app::extend::helper::{escape, excerpt};
use crate::app::service::posts::Posts;
use crate::settings::Blog;

#[derive(Deserialize)]
pub(crate) struct Page {
    #[serde(default = "first")]
    page: usize,
}

fn first() -> usize {
    1
}

pub(crate) async fn index(
    ctx: Context,
    Query(Page { page }): Query<Page>,
) -> Result<Html<String>, Error> {
    let title = escape(&ctx.app().section::<Blog>("blog")?.title);
    let mut html = format!("<!doctype html><title>{title}</title><h1>{title}</h1>\n");
    for post in ctx.service::<Posts>().page(page)? {
        let link = ctx.url_for("post", [("id", post.id)])?;
        let (title, text) = (escape(&post.title), escape(&excerpt(&post.text, 200)));
        writeln!(
            html,
            "<article><h2><a href=\"{link}\">{title}</a></h2><p>{text}</article>"
        )?;
    }
    Ok(Html(html))
}
