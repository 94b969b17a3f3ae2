//! What can be done with posts.

use std::sync::Arc;

use hatchery::http::StatusCode;
use hatchery::{Context, Error};
use serde::Deserialize;

use crate::app::model::store::{Post, Store};
use crate::plugin::audit::AuditExt as _;
use crate::settings::Blog;

/// Made once for a request that asks for it.
#[derive(Debug)]
#[hatchery::service]
pub(crate) struct Posts {
    ctx: Context,
}

/// What a writer sends.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Draft {
    pub(crate) title: String,
    #[serde(default)]
    pub(crate) text: String,
}

impl Posts {
    /// One page of posts, newest first; the first page is 1.
    pub(crate) fn page(&self, number: usize) -> Result<Vec<Post>, Error> {
        let size = self.ctx.app().section::<Blog>("blog")?.page_size;
        let store = self.store()?;
        let ids = store.ids()?;
        let ids = ids
            .into_iter()
            .skip(number.saturating_sub(1).saturating_mul(size));
        // One that goes away meanwhile is not there.
        let posts = ids.take(size).filter_map(|id| store.find(id).transpose());
        Ok(posts.collect::<Result<_, _>>()?)
    }

    pub(crate) fn find(&self, id: u64) -> Result<Post, Error> {
        let post = self.store()?.find(id)?;
        post.ok_or_else(|| Error::not_found(format!("no post {id}")))
    }

    /// Those with `word` in title or text.
    pub(crate) fn search(&self, word: &str) -> Result<Vec<Post>, Error> {
        let (store, word) = (self.store()?, word.to_lowercase());
        let mut found = Vec::new();
        for id in store.ids()? {
            let post = store.find(id)?;
            found.extend(post.filter(|post| {
                let text = format!("{} {}", post.title, post.text);
                text.to_lowercase().contains(&word)
            }));
        }
        Ok(found)
    }

    pub(crate) fn create(&self, draft: &Draft) -> Result<Post, Error> {
        let post = self.store()?.create(good_title(draft)?, &draft.text)?;
        self.ctx.audit(&format!("post {} created", post.id));
        Ok(post)
    }

    pub(crate) fn update(&self, id: u64, draft: Draft) -> Result<Post, Error> {
        good_title(&draft)?;
        let mut post = self.find(id)?;
        (post.title, post.text) = (draft.title, draft.text);
        self.store()?.replace(&post)?;
        self.ctx.audit(&format!("post {id} changed"));
        Ok(post)
    }

    pub(crate) fn remove(&self, id: u64) -> Result<(), Error> {
        if !self.store()?.remove(id)? {
            return Err(Error::not_found(format!("no post {id}")));
        }
        self.ctx.audit(&format!("post {id} removed"));
        Ok(())
    }

    fn store(&self) -> Result<Arc<Store>, Error> {
        Ok(self.ctx.app().loaded::<Store>()?)
    }
}

fn good_title(draft: &Draft) -> Result<&str, Error> {
    let title = draft.title.trim();
    if title.is_empty() {
        return Err(Error::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "a post needs a title",
        ));
    }
    Ok(title)
}
