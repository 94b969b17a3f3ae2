//! `[[routes]]` of the configuration: routes without code, with handlers by name.
//!
//! A handler is an asynchronous function with `#[handler]`. Its first argument is what came in,
//! parsed; what it returns is the response:
//!
//! ```
//! use hatchery::{Context, Event};
//!
//! #[derive(serde::Deserialize)]
//! struct Wanted {
//!     q: String,
//! }
//!
//! async fn find(Event(wanted): Event<Wanted>, ctx: Context) -> Vec<String> {
//!     vec![format!("{} knows nothing of {}", ctx.app().name(), wanted.q)]
//! }
//! ```
//!
//! The configuration says for which requests:
//!
//! ```toml
//! [[routes]]
//! type = "http"
//! route = "/api/search"
//! handler = "search.find"  # src/app/controller/search.rs, fn find
//! method = "get"           # the default; or several, ["get", "post"]
//! name = "search"          # for `url_for`
//! middlewares = ["timing"]
//! template = "search.html" # below `view/`; with the feature `templates`
//!
//! [routes.validate]        # JSON Schema of what comes in; with the feature `validate`
//! required = ["q"]
//! properties = { q = { type = "string", minLength = 2 }, page = { type = "integer" } }
//! ```
//!
//! `type = "template"` is a page without a handler, `type = "redirect"` leads elsewhere, and
//! `type = "static"` serves files of directories: [the guide](crate::guide::configured_routes) shows them.
//!
//! What does not fit `validate` is answered with 400, and in JSON each mistake has its field:
//! `{"message": "the query is not as wanted: …", "errors": [{"path": "/q", "message": "…"}]}`.
//! Fields of queries and forms are text; those whose type is a number or `boolean` in the schema
//! are read as that first.
//!
//! `template` shows what the handler returns: the fields of an object are the template's variables,
//! anything else is its `data`. The templates are [minijinja]'s, those of `*.html` escape what they
//! show, and `[view] root` says where they are if not in `view/`. They are read at the start, and
//! in the environment `local` again when they have changed.
//!
//! With the feature `websocket`, `type = "websocket"` names a handler whose first argument is a
//! `WebSocket`. `options` may have the keys `max_message`, `max_frame`, `origins`, `ping_interval` and
//! `ping_timeout` of the table `[websocket]`, and `protocols`:
//!
//! ```toml
//! [[routes]]
//! type = "websocket"
//! route = "/chat"
//! handler = "chat.talk"    # async fn talk(socket: WebSocket, ctx: Context)
//! options = { max_message = "4KiB", protocols = ["chat.v1"] }
//! ```
//!
//! [minijinja]: https://docs.rs/minijinja

mod check;
mod event;
mod named;
mod reply;
mod table;
mod types;
mod view;

pub use event::Event;
#[doc(hidden)]
pub use event::{FromInput, Input, InputError};
pub use named::NamedHandler;
#[cfg(feature = "websocket")]
#[doc(hidden)]
pub use named::WithSocket;
#[doc(hidden)]
pub use named::{HandlerFunction, Replying, WithEvent, named};
#[doc(hidden)]
pub use reply::{IntoReply, Reply};
pub(crate) use table::add;
pub(crate) use view::ViewSettings;

#[cfg(test)]
mod tests;
