//! `/api/search`, which is in the configuration (`[[routes]]`): what comes in is parsed already, and
//! what is returned is the response.

use hatchery::{Context, Error, Event};
use serde::Deserialize;

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
