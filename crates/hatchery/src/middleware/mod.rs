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

mod function;
mod layer;
mod next;

use serde::de::DeserializeOwned;

#[doc(hidden)]
pub use function::{AsyncMiddleware, NoOptions, WithOptions, from_async};
pub use function::{FromFn, Options, from_fn};
pub use layer::Layer;
#[doc(hidden)]
pub use layer::{IntoLayer, MakeLayer, from_layer};
pub use next::{Answering, Next};

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
mod tests;
#[cfg(test)]
pub(crate) use tests::application;
