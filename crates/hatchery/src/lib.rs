//! Keeps a web service up and hatches it from conventions.
//!
//! An application names its routes and runs; the executable is then master, agent, worker and
//! command line, by role:
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! use hatchery::routing::get;
//! use hatchery::{App, Application, BoxError, Router};
//!
//! fn routes(_: &Application) -> Result<Router, BoxError> {
//!     Ok(Router::new().route("/hello", get(async || "Hello")))
//! }
//!
//! fn main() -> ExitCode {
//!     App::new(hatchery::package!()).router(routes).run()
//! }
//! ```
//!
//! Handlers are axum handlers: [`Router`], [`routing`], [`extract`], [`response`] and [`Json`] are
//! axum's own. Two extractors cost every request something, whether a handler asks or not, and are
//! features: `matched-path` (`MatchedPath`) and `original-uri` (`OriginalUri`).

// What the attributes write names this crate from outside, in its own tests, too.
#[allow(
    unused_extern_crates,
    reason = "only tests and what is generated name it"
)]
extern crate self as hatchery;

mod app;
mod application;
mod attributes;
mod background;
mod child;
mod cli;
mod clock;
mod complain;
pub mod config;
pub mod context;
mod error;
mod events;
pub mod guide;
pub mod lifecycle;
pub mod loader;
mod logging;
pub mod middleware;
mod package;
mod pressure;
pub mod router;
pub mod routes;
mod run_file;
mod runtime;
mod serve;
#[cfg(feature = "session")]
pub mod session;
mod single;
mod singleton;
mod state;
#[cfg(feature = "static-files")]
mod static_files;
mod symbolise;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(feature = "websocket")]
pub mod websocket;
#[cfg(not(feature = "websocket"))]
mod websocket;

pub use app::App;
#[doc(hidden)]
pub use app::Pretence;
pub use application::{Application, Identity, Role};
pub use attributes::*;
pub use axum::{Json, Router, body, extract, handler, http, response, routing};
pub use clock::Clock;
pub use context::{Context, Cookies, Locals, Logger, Queries, Service};
pub use cookie::{self, Cookie};
pub use error::Error;
pub use events::{ErrorEvent, ErrorOrigin, ResponseEvent};
pub use lifecycle::{Boot, BootRole};
pub use loader::{Framework, Load, Plugin, Unit};
pub use package::Package;
pub use pressure::{MemoryPressure, PressureLevel};
pub use router::Routes;
pub use routes::Event;
pub use runtime::Moment;
#[cfg(feature = "session")]
pub use session::{Session, SessionStore};
pub use singleton::{Clients, NoSingleton};
pub use tracing;

/// Any error of the application's own code.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The README's examples compile.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
