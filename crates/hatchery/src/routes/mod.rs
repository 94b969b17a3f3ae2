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
//! ```

mod check;
mod event;
mod named;
mod reply;
mod table;

pub use event::Event;
#[doc(hidden)]
pub use event::{FromInput, Input, InputError};
pub use named::NamedHandler;
#[doc(hidden)]
pub use named::{HandlerFunction, Replying, WithEvent, named};
#[doc(hidden)]
pub use reply::{IntoReply, Reply};
pub(crate) use table::add;

#[cfg(test)]
mod tests;
