//! What tests of an application stand on: real processes, clients that never retry, and waiting
//! for conditions.
//!
//! This is the feature `testing`, for `[dev-dependencies]` only:
//! `hatchery = { version = "…", features = ["testing"] }`.
//!
//! [`TestApp`] runs an application in the test's own process and answers requests without sockets,
//! through everything that one from outside goes through:
//!
//! ```standalone_crate
//! # use hatchery::{App, Router, routing::get};
//! # use hatchery::testing::TestApp;
//! # fn blog() -> App {
//! #     App::new(hatchery::package!())
//! #         .router(|_| Ok(Router::new().route("/posts", get(async || "[]"))))
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let app = TestApp::new(blog()).config("[http]\nbody_limit = \"1KiB\"").start().await.unwrap();
//! let posts: Vec<u32> = app.http_request().get("/posts").send().await.json();
//! assert!(posts.is_empty());
//! # }
//! ```
//!
//! [`Cluster`] starts an application's executable as a user would, on a free port and in a
//! directory of its own, and can kill and hang what runs in it:
//!
//! ```no_run
//! # use hatchery::testing::Cluster;
//! let mut pool = Cluster::of("target/debug/blog").workers(2).start();
//! assert_eq!(pool.get("/posts").status, 200);
//! let victim = pool.kill(0);
//! pool.wait_until(|status| status.is_whole(2) && !status.pids().contains(&victim.pid));
//! pool.stop();
//! ```
//!
//! In a test, `env!("CARGO_BIN_EXE_blog")` is the executable's path. What goes wrong in a test ends
//! it: everything here panics where it cannot go on, with what was waited for and the last lines of
//! the processes.
#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a test fails by panicking, in its helpers too"
)]

mod app;
pub mod client;
mod cluster;
mod command;
mod output;
mod port;
mod process;
pub mod status;
mod wait;
mod watch;

use std::time::Duration;

pub use app::{HttpRequest, StartError, TestApp, TestAppBuilder, TestRequest, TestResponse};
pub use cluster::{Cluster, ClusterBuilder};
pub use command::Ended;
pub use output::Output;
pub use port::{free_port, is_free};
pub use process::{Process, file_identity};
pub use rustix::process::Signal;
pub use status::Status;
pub use wait::{wait_for, wait_until};
pub use watch::{Seen, Watch};

/// How long a condition may take that should be true at once. Generous: the machine may be busy
/// with other tests.
pub const SOON: Duration = Duration::from_secs(20);

/// How long a single request may take before it counts as failed.
pub const REQUEST_LIMIT: Duration = Duration::from_secs(20);
