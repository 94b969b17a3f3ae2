//! An application in process, without sockets.

mod builder;
mod host;
mod request;
mod response;
#[cfg(test)]
mod tests;

use std::ops::Deref;
use std::time::SystemTime;

use http::Request;
#[cfg(feature = "session")]
use serde::Serialize;

pub use builder::{StartError, TestAppBuilder};
pub use request::{HttpRequest, TestRequest};
pub use response::TestResponse;

use self::host::Host;
use crate::{App, Application, Context, Service};

/// An application that runs in the process of its test, through the boot sequence of a worker and
/// an agent in one (as with `--single`), and answers requests without sockets.
///
/// It has a thread of its own, with the runtime that its hooks, handlers and background work run
/// in; the test may be of any runtime. It is an [`Application`] to look at: `app.clock()`,
/// `app.anonymous_context()`, `app.background_tasks_finished()`.
///
/// Dropped, it is gone; [`close`](Self::close) runs its `before_close`, too.
///
/// ```standalone_crate
/// use hatchery::http::StatusCode;
/// use hatchery::routing::get;
/// use hatchery::testing::TestApp;
/// use hatchery::{App, Router};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let hello = App::new(hatchery::package!())
///     .router(|_| Ok(Router::new().route("/hello", get(async || "Hello"))));
/// let app = TestApp::new(hello).start().await.unwrap();
/// let answer = app.http_request().get("/hello").send().await;
/// assert_eq!(answer.expect_status(StatusCode::OK).text(), "Hello");
/// app.close().await;
/// # }
/// ```
#[derive(Debug)]
pub struct TestApp {
    app: Application,
    host: Host,
}

impl TestApp {
    /// Begins to describe how `app` is to be started.
    #[expect(
        clippy::new_ret_no_self,
        reason = "it reads as what it makes in the end"
    )]
    pub fn new(app: App) -> TestAppBuilder {
        TestAppBuilder::new(app)
    }

    /// Begins a request: `app.http_request().get("/posts").send().await`. It goes through
    /// everything that one from outside does: context, middleware, router.
    pub fn http_request(&self) -> HttpRequest {
        HttpRequest::new(self.host.door())
    }

    /// From here on, `ctx.service::<S>()` gives what `make` makes.
    pub fn mock_service<S: Service>(&self, make: impl Fn(&Context) -> S + Send + Sync + 'static) {
        self.app.mock_service(make);
    }

    /// From here on, this is who asks, in all requests that do not say it themselves.
    pub fn mock_user<U: Send + Sync + 'static>(&self, user: U) {
        self.app.mock_user(user);
    }

    /// From here on, all requests that bring no session begin with this one: a struct or a map. So
    /// do contexts without a request. A session that a request brings itself, in the cookie that an
    /// earlier response has set, counts more.
    #[cfg(feature = "session")]
    #[track_caller]
    pub fn mock_session(&self, values: impl Serialize) {
        self.app.mock_session(builder::session_values(values));
    }

    /// From here on, `app.clock()` stands still at `now`, until it is advanced.
    pub fn mock_clock(&self, now: SystemTime) {
        self.app.clock().mock(now);
    }

    /// Services, users, sessions and the clock are real again.
    pub fn restore_mocks(&self) {
        self.app.restore_mocks();
    }

    /// A context that belongs to no request, as a service or a handler wants one.
    pub fn mock_context(&self) -> Context {
        self.app.anonymous_context()
    }

    /// The context that this request would have.
    pub fn mock_context_of<B>(&self, request: &Request<B>) -> Context {
        self.app.context_for(request)
    }

    /// Waits until `did_ready` and `server_did_ready` have run, which in any process do so beside
    /// the first requests: for tests of what they leave.
    pub async fn hooks_finished(&self) {
        self.host.hooks_finished().await;
    }

    /// Ends it as a stop does: [`Application::shutdown`] comes, background work and the agent end,
    /// `before_close` runs.
    pub async fn close(self) {
        self.host.close().await;
    }
}

impl Deref for TestApp {
    type Target = Application;

    fn deref(&self) -> &Application {
        &self.app
    }
}
