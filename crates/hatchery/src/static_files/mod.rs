//! Static files: directories behind a prefix, `type = "static"` of `[[routes]]`.
//!
//! A request for a small file that somebody asked for within the last second is answered from
//! memory, without a call of the file system (`cache.rs`). Everything else goes to a thread where
//! calls may block: the path is looked for in each root (`found.rs`), below which the kernel keeps it
//! (`root.rs`), what is small is read and kept, what is large is read piece by piece (`stream.rs`).
//!
//! What a request asks for beyond a path is decided by pure functions: `path.rs`, `encoding.rs`,
//! `conditional.rs`, `range.rs`.

mod cache;
mod conditional;
mod encoding;
mod found;
mod path;
mod range;
mod respond;
mod root;
mod settings;
mod stream;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::sync::Arc;

use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use http::request::Parts;
use http::{HeaderValue, StatusCode, Uri, header};
use tokio::task::spawn_blocking;

use self::cache::Memory;
use self::found::{Found, Place};
use self::respond::{empty, respond};
use self::root::Root;
pub(crate) use self::settings::Options;
use crate::pressure::{MemoryPressure, PressureLevel};
use crate::{Application, Error};

/// The files behind one prefix.
pub(crate) struct Mount {
    /// Without a slash at its end.
    prefix: String,
    /// The first one that has a file counts; never empty.
    roots: Vec<Root>,
    options: Options,
    cache_control: HeaderValue,
    memory: Memory,
    pressure: MemoryPressure,
}

/// What a look at the file system has found.
enum Seen {
    File(Arc<Found>),
    Directory,
    Nothing,
}

impl Mount {
    /// The files of `roots` (relative to the base directory) below `prefix`; or what is wrong.
    pub(crate) fn new<'p>(
        app: &Application,
        prefix: &str,
        roots: impl IntoIterator<Item = &'p Path>,
        options: Options,
    ) -> Result<Arc<Self>, String> {
        let options = options.checked(app.env())?;
        let base = app.config().base_dir();
        let roots = roots.into_iter();
        let roots = roots.map(|path| Root::new(&base.join(path), options.symlinks));
        Ok(Arc::new(Self {
            prefix: prefix.trim_end_matches('/').to_owned(),
            roots: roots.collect::<Result<_, _>>()?,
            cache_control: options.cache_control(),
            memory: Memory::new(options.memory, options.revalidate),
            pressure: app.memory_pressure(),
            options,
        }))
    }

    /// Whether there is something to answer with at the prefix itself.
    pub(crate) fn has_index(&self) -> bool {
        !self.options.index.is_empty()
    }

    /// Answers a GET or a HEAD.
    pub(crate) async fn answer(self: Arc<Self>, request: Request) -> Response {
        let Some(below) = request.uri().path().strip_prefix(&self.prefix) else {
            return empty(StatusCode::NOT_FOUND);
        };
        let path = match below.strip_prefix('/') {
            Some(path) => path,
            None if below.is_empty() => return Box::pin(self.slash(request)).await,
            None => return empty(StatusCode::NOT_FOUND),
        };
        let Some(path) = path::resolve(path, self.options.dotfiles) else {
            return empty(StatusCode::NOT_FOUND);
        };
        if let Some(found) = self.memory.believed(&path) {
            return respond(&found, request.method(), request.headers());
        }
        let path = path.into_owned();
        let (parts, _) = request.into_parts();
        // In a box, because the usual answer comes from above and needs no place for this one.
        Box::pin(self.seek(path, parts)).await
    }

    /// Answers from the file system.
    async fn seek(self: &Arc<Self>, path: String, parts: Parts) -> Response {
        match self.seen(path).await {
            Ok(Seen::File(found)) => respond(&found, &parts.method, &parts.headers),
            Ok(Seen::Directory) => self.to_directory(&parts.uri),
            Ok(Seen::Nothing) => empty(StatusCode::NOT_FOUND),
            Err(error) => failed(error),
        }
    }

    /// The prefix itself, without the slash that makes links in its index right.
    async fn slash(self: &Arc<Self>, request: Request) -> Response {
        match self.seen(String::new()).await {
            Ok(Seen::File(_)) => self.to_directory(request.uri()),
            Ok(_) => empty(StatusCode::NOT_FOUND),
            Err(error) => failed(error),
        }
    }

    async fn seen(self: &Arc<Self>, path: String) -> io::Result<Seen> {
        let this = Arc::clone(self);
        // It goes on to its end where the client is gone: others may wait for what it finds.
        let looking = spawn_blocking(move || this.look(&path));
        looking
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    /// What cannot be read just now, for want of descriptors say, was well a moment ago. Blocks.
    fn look(&self, path: &str) -> io::Result<Seen> {
        let seen = self.look_again(path);
        seen.or_else(|error| self.memory.former(path).map(Seen::File).ok_or(error))
    }

    fn look_again(&self, path: &str) -> io::Result<Seen> {
        let opened = match found::look(&self.roots, path, &self.options)? {
            Some(Place::File(opened)) => opened,
            other => {
                self.memory.forget(path);
                return Ok(other.map_or(Seen::Nothing, |_| Seen::Directory));
            }
        };
        let former = self.memory.former(path).filter(|found| opened.is(found));
        let found = match former {
            Some(found) => found,
            None => Arc::new(opened.read(&self.options, &self.cache_control)?),
        };
        if self.pressure.level() < PressureLevel::Trim {
            self.memory.keep(path, &found);
        } else {
            self.memory.clear();
        }
        Ok(Seen::File(found))
    }

    /// To the same path with a slash. No segment of it is empty, so it is no other site's address.
    fn to_directory(&self, uri: &Uri) -> Response {
        let query = uri
            .query()
            .map_or_else(String::new, |query| format!("?{query}"));
        let Ok(location) = HeaderValue::try_from(format!("{}/{query}", uri.path())) else {
            return empty(StatusCode::NOT_FOUND);
        };
        let mut response = empty(StatusCode::MOVED_PERMANENTLY);
        let headers = response.headers_mut();
        headers.insert(header::LOCATION, location);
        headers.insert(header::CACHE_CONTROL, self.cache_control.clone());
        response
    }
}

fn failed(error: io::Error) -> Response {
    Error::internal("the file cannot be read")
        .with_source(error)
        .into_response()
}
