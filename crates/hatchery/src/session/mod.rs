//! Sessions: what an application remembers of who asks, from one request to the next.
//!
//! A session is switched on by the table `[session]`, which may be empty. Its values are in an
//! encrypted cookie (AES-256-GCM with a random nonce, bound to the cookie's name), or, once
//! [`Application::set_session_store`](crate::Application::set_session_store) was given one, in a
//! store, and only a random id is in the cookie.
//!
//! ```
//! use hatchery::{Context, Error};
//!
//! async fn visit(ctx: Context) -> Result<String, Error> {
//!     let session = ctx.session().await?;
//!     let visits = session.get::<u32>("visits").unwrap_or(0) + 1;
//!     session.set("visits", visits)?;
//!     Ok(format!("visit {visits}\n"))
//! }
//! ```
//!
//! Loading is the only thing that may have to wait, and that may fail when a store is down. So
//! `ctx.session()` is what is awaited, once; the handle that it gives has all values in memory and
//! is the same for middleware, handler and services of a request. There is no `save` to be
//! forgotten: what has changed is saved before the response leaves, and a handler whose session
//! could not be saved answers 500. A request that never asks for its session costs nothing.
//!
//! As in Egg:
//!
//! - Nothing is written when nothing has changed. With `renew` an unchanged session is written
//!   again once half of its `max_age` is over, with `rolling` for each response whose request has
//!   asked for it.
//! - [`Session::destroy`] has the client forget its cookie.
//! - A cookie larger than browsers take (4096 bytes) is a warning in the log, and is sent.
//! - Keys that begin with `_` are reserved.
//! - A cookie that was tampered with, has expired or is of somebody else is a new, empty session and
//!   a line in the log, never an error.
//!
//! Of two requests at the same time that change one session, the later one counts.

mod handle;
mod load;
mod seal;
mod settings;
mod store;
#[cfg(test)]
mod tests;
mod values;

pub use handle::Session;
pub(crate) use load::{Sessions, leave, load};
pub(crate) use settings::check;
pub use store::SessionStore;
