//! Named middleware: tower layers in the order of the configuration.
//!
//! A middleware is a function with `#[middleware]`, under its own name. One form makes a tower
//! layer from options, the other one is the middleware itself:
//!
//! ```
//! use hatchery::extract::Request;
//! use hatchery::http::StatusCode;
//! use hatchery::middleware::Next;
//! use hatchery::response::{IntoResponse, Response};
//! use hatchery::Context;
//!
//! async fn stamped(ctx: Context, request: Request, next: Next) -> Response {
//!     if ctx.app().env() == "maintenance" {
//!         return StatusCode::SERVICE_UNAVAILABLE.into_response();
//!     }
//!     next.run(request).await
//! }
//! ```
//!
//! The configuration says which of them lie before the routes, in which order, with which options,
//! and for which requests:
//!
//! ```toml
//! [middleware]
//! order = ["timing", "admin_only"] # the first one is the outermost
//!
//! [middleware.timing]
//! header = "x-took"                # its own option
//! ignore = "/healthy"              # not for /healthy, /healthy/…
//!
//! [middleware.admin_only]
//! enable = true                    # `false`: as if it were not there
//! match = ["/admin", { regex = "[.]secret$" }, { predicate = "changes_posts" }]
//! ```
//!
//! What plugins and frameworks put into the core lies before these, what a route names after them.
//! `match` and `ignore` take prefixes of whole path segments, regular expressions that are searched
//! in the path, and functions with `#[predicate]`; both together are an error, as are names that
//! nobody has or that are in the chain twice, and a `match` or `ignore` that nobody uses.
//!
//! In doubt a middleware sees the request. Prefixes of `match` are compared whatever the case, those
//! of `ignore` with it: `/HEALTHY` is another route than `/healthy`, and may be one that needs the
//! middleware. A path with escapes, repeated slashes or dot segments is read as it came and decoded,
//! because parameters and nested routers see it decoded: one reading is enough for `match`, `ignore`
//! needs all of them.

mod caught;
mod chain;
mod filter;
mod function;
mod layer;
mod next;
mod own;

use serde::de::DeserializeOwned;

pub(crate) use chain::Chain;

#[doc(hidden)]
pub use function::{AsyncMiddleware, NoOptions, WithOptions, from_async};
pub use function::{FromFn, Options, from_fn};
pub use layer::Layer;
#[doc(hidden)]
pub use layer::{IntoLayer, MakeLayer, from_layer};
pub(crate) use next::Answer;
pub use next::{Answering, Next, Run};

use crate::Application;
use crate::config::ConfigError;

/// A middleware that has been made: lays itself around what comes after it. More than once, where
/// several routes name it.
pub type Wrap<'a> = Box<dyn Fn(Next) -> Next + 'a>;

/// What a middleware's function is made from.
#[derive(Clone, Copy, Debug)]
pub struct MiddlewareArguments<'a> {
    /// The application.
    pub app: &'a Application,
    /// The name under which the configuration knows it: its options are `[middleware.<name>]`.
    pub name: &'a str,
}

/// Keys of `[middleware.<name>]` that every middleware has; the rest are options of its own.
const UNIVERSAL: [&str; 3] = ["enable", "match", "ignore"];

impl MiddlewareArguments<'_> {
    /// The options of its own.
    fn options<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        let section = format!("middleware.{}", self.name);
        self.app.config().section_without(&section, &UNIVERSAL)
    }

    fn no_options(&self) -> Result<(), ConfigError> {
        self.options::<NoOptions>().map(drop)
    }
}

#[cfg(test)]
pub(crate) mod tests;
