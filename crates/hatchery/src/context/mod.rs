//! What a request's code has at hand.

mod cookies;
mod layer;
mod locals;
mod logger;
mod mock;
mod queries;
mod request;
mod services;
#[cfg(feature = "session")]
mod session;
#[cfg(test)]
pub(crate) mod tests;

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use http::header::ACCEPT;
use http::request::Parts;
use http::{HeaderMap, Method, Request, StatusCode, Uri};

pub use cookies::Cookies;
pub(crate) use layer::{Entering, Entry};
pub use locals::Locals;
pub use logger::Logger;
pub(crate) use mock::Mocks;
pub use queries::Queries;
pub(crate) use request::Trust;
pub use services::Service;

use self::locals::Slot;
use self::services::Services;
use crate::Application;
use crate::error::Wanted;

/// One request, or one piece of background work: the application, services made once for it, and
/// what is known of who asks. An extractor; cheap to clone.
///
/// ```
/// use hatchery::Context;
///
/// async fn hello(ctx: Context) -> String {
///     ctx.logger().info("somebody says hello");
///     format!("Hello from {}, {}\n", ctx.app().name(), ctx.path())
/// }
/// ```
#[derive(Clone)]
pub struct Context {
    data: Arc<Data>,
    services: Link,
}

struct Data {
    app: Application,
    method: Method,
    uri: Uri,
    /// As the client has sent them.
    headers: HeaderMap,
    /// Unix sockets and background work have none.
    peer: Option<SocketAddr>,
    began: Instant,
    extras: OnceLock<Box<Extras>>,
}

/// What most requests do not need.
#[derive(Debug, Default)]
struct Extras {
    id: OnceLock<String>,
    cookies: cookies::Store,
    locals: OnceLock<Locals>,
    #[cfg(feature = "session")]
    session: tokio::sync::OnceCell<crate::Session>,
    user: Slot,
    user_id: Slot,
}

/// How a context holds its services. A service that keeps its context must not keep itself alive.
#[derive(Clone, Debug)]
enum Link {
    Owns(Arc<Services>),
    Knows(Weak<Services>),
}

impl Context {
    /// That of a request.
    pub(crate) fn new<B>(app: Application, request: &Request<B>, peer: Option<SocketAddr>) -> Self {
        Self::from(Data {
            app,
            method: request.method().clone(),
            uri: request.uri().clone(),
            headers: request.headers().clone(),
            peer,
            began: Instant::now(),
            extras: OnceLock::new(),
        })
    }

    fn from(data: Data) -> Self {
        Self {
            data: Arc::new(data),
            services: Link::Owns(Arc::new(Services::default())),
        }
    }

    /// The context of a request that comes through Hatchery, for tower layers; handlers and
    /// middleware functions extract it.
    pub fn of<B>(request: &Request<B>) -> Option<Self> {
        request.extensions().get::<Self>().cloned()
    }

    /// The application.
    pub fn app(&self) -> &Application {
        &self.data.app
    }

    /// The service `S` of this request: made at its first use, then always the same.
    ///
    /// # Panics
    ///
    /// In [`Service::new`], when services ask for each other there in a circle; the text names it.
    pub fn service<S: Service>(&self) -> Arc<S> {
        let make = |ctx: &Self| {
            services::make(Arc::as_ptr(&self.data).addr(), || {
                let mocked = ctx.app().state().mocks.service::<S>(ctx);
                mocked.unwrap_or_else(|| S::new(ctx))
            })
        };
        let Some(services) = self.services() else {
            // Its request is over: nobody else could get the same one.
            return Arc::new(make(self));
        };
        services.get(|| make(&self.weak(&services)))
    }

    fn services(&self) -> Option<Arc<Services>> {
        match &self.services {
            Link::Owns(services) => Some(Arc::clone(services)),
            Link::Knows(services) => services.upgrade(),
        }
    }

    /// This context as its services may keep it.
    fn weak(&self, services: &Arc<Services>) -> Self {
        Self {
            data: Arc::clone(&self.data),
            services: Link::Knows(Arc::downgrade(services)),
        }
    }

    /// This context as work that outlives the request keeps it: its services live on.
    pub(crate) fn owning(&self) -> Self {
        Self {
            data: Arc::clone(&self.data),
            services: Link::Owns(self.services().unwrap_or_default()),
        }
    }

    /// The time since the request has come.
    pub fn elapsed(&self) -> Duration {
        self.data.began.elapsed()
    }

    /// The request's id: the `X-Request-Id` it came with, if that is a plain one, else a new one.
    /// Once it was asked for, the response carries it.
    pub fn request_id(&self) -> &str {
        let id = &self.extras().id;
        id.get_or_init(|| request::id(&self.data.headers))
    }

    /// The request's id, if somebody has asked for it.
    fn used_request_id(&self) -> Option<&str> {
        self.data.extras.get()?.id.get().map(String::as_str)
    }

    /// What this request's code tells the rest of it, by type or by name. What is not there is
    /// looked for in [`Application::locals`].
    pub fn locals(&self) -> &Locals {
        let locals = &self.extras().locals;
        locals.get_or_init(|| Locals::above(self.app()))
    }

    /// Says who asks: a session or a token has shown it.
    pub fn set_user<U: Send + Sync + 'static>(&self, user: U) {
        self.extras().user.put(Arc::new(user));
    }

    /// Who asks, if that is known, and of this type.
    pub fn user<U: Send + Sync + 'static>(&self) -> Option<Arc<U>> {
        let known = self.data.extras.get().and_then(|extras| extras.user.get());
        let user = known.or_else(|| self.app().state().mocks.user())?;
        user.downcast().ok()
    }

    /// The name under which log lines show who asks.
    pub fn set_user_id(&self, id: impl fmt::Display) {
        self.extras().user_id.put(Arc::new(id.to_string()));
    }

    /// The name that [`set_user_id`](Self::set_user_id) was given.
    pub fn user_id(&self) -> Option<Arc<String>> {
        self.data.extras.get()?.user_id.get()?.downcast().ok()
    }

    fn extras(&self) -> &Extras {
        self.data.extras.get_or_init(Box::default)
    }

    /// The form of errors that this client prefers.
    pub(crate) fn wanted(&self) -> Wanted {
        Wanted::of(&self.data.uri, self.data.headers.get(ACCEPT))
    }
}

impl Application {
    /// A context without a request, for work that nobody has asked for by HTTP: lifecycle hooks,
    /// schedules.
    ///
    /// ```
    /// # async fn sweep(_: hatchery::Context) -> Result<(), hatchery::BoxError> { Ok(()) }
    /// fn did_ready(app: &hatchery::Application) {
    ///     let ctx = app.anonymous_context();
    ///     ctx.run_in_background("first sweep", sweep(ctx.clone()));
    /// }
    /// ```
    pub fn anonymous_context(&self) -> Context {
        Context::from(Data {
            app: self.clone(),
            method: Method::GET,
            uri: Uri::from_static("/"),
            headers: HeaderMap::new(),
            peer: None,
            began: Instant::now(),
            extras: OnceLock::new(),
        })
    }

    /// The context that `request` would have.
    pub fn context_for<B>(&self, request: &Request<B>) -> Context {
        Context::new(self.clone(), request, None)
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("method", &self.data.method)
            .field("uri", &self.data.uri)
            .finish_non_exhaustive()
    }
}

/// The request did not come through Hatchery's serving.
#[derive(Debug)]
pub struct NoContext;

impl IntoResponse for NoContext {
    fn into_response(self) -> Response {
        let text = "no context: a plain `App::router` has none, nor has a router outside Hatchery; register \
                    a `#[hatchery::router]` or a controller";
        (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
    }
}

impl<S: Sync> FromRequestParts<S> for Context {
    type Rejection = NoContext;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, NoContext> {
        parts.extensions.get::<Self>().cloned().ok_or(NoContext)
    }
}

impl<S: Sync> FromRequestParts<S> for Application {
    type Rejection = NoContext;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, NoContext> {
        let context = parts.extensions.get::<Context>();
        context.map(|ctx| ctx.app().clone()).ok_or(NoContext)
    }
}
