//! An application in process, without sockets.

mod builder;
mod host;
mod request;
mod response;
#[cfg(test)]
mod tests;

use std::ops::Deref;

pub use builder::{StartError, TestAppBuilder};
pub use request::{HttpRequest, TestRequest};
pub use response::TestResponse;

use self::host::Host;
use crate::{App, Application};

/// An application that runs in the process of its test, through the boot sequence of a worker and
/// an agent in one (as with `--single`), and answers requests without sockets.
///
/// It has a thread of its own, with the runtime that its hooks, handlers and background work run
/// in; the test may be of any runtime. It is an [`Application`] to look at.
///
/// Dropped, it is gone; [`close`](Self::close) runs its `before_close`, too.
///
/// ```
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
