//! `/api/search` and `/search`, which are in the configuration (`[[routes]]`): what comes in is
//! parsed already, and what is returned is the response, or what the template shows.

use hatchery::{Context, Error, Event};
use serde::{Deserialize, Serialize};

use crate::app::model::store::Post;
use crate::app::service::posts::Posts;

#[derive(Deserialize)]
pub(crate) struct Wanted {
    q: String,
}

#[hatchery::handler]
pub(crate) async fn find(Event(wanted): Event<Wanted>, ctx: Context) -> Result<Vec<Post>, Error> {
    ctx.service::<Posts>().search(&wanted.q)
}

/// Nothing is searched for where there is no `q` yet.
#[derive(Deserialize)]
pub(crate) struct Form {
    #[serde(default)]
    q: String,
}

#[derive(Serialize)]
pub(crate) struct Found {
    q: String,
    /// What this reader has looked for before.
    before: Option<String>,
    posts: Vec<Post>,
}

#[hatchery::handler]
pub(crate) async fn page(Event(Form { q }): Event<Form>, ctx: Context) -> Result<Found, Error> {
    let session = ctx.session().await?;
    let before = session.get("searched");
    let posts = if q.is_empty() {
        Vec::new()
    } else {
        session.set("searched", &q)?;
        ctx.service::<Posts>().search(&q)?
    };
    Ok(Found { q, before, posts })
}
