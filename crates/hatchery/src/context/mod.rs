//! What a request's code has at hand.

mod services;

use std::sync::{Arc, Weak};

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;

pub use services::Service;

use self::services::Services;
use crate::Application;

/// One request, or one piece of background work: the application, services made once for it, and
/// what is known of who asks. An extractor; cheap to clone.
#[derive(Clone, Debug)]
pub struct Context {
    data: Arc<Data>,
    services: Link,
}

#[derive(Debug)]
struct Data {
    app: Application,
}

/// How a context holds its services. A service that keeps its context must not keep itself alive.
#[derive(Clone, Debug)]
enum Link {
    Owns(Arc<Services>),
    Knows(Weak<Services>),
}

impl Context {
    pub(crate) fn new(app: Application, _parts: Option<&Parts>) -> Self {
        Self {
            data: Arc::new(Data { app }),
            services: Link::Owns(Arc::new(Services::default())),
        }
    }

    /// The application.
    pub fn app(&self) -> &Application {
        &self.data.app
    }

    /// The service `S` of this request: made at its first use, then always the same.
    pub fn service<S: Service>(&self) -> Arc<S> {
        let services = match &self.services {
            Link::Owns(services) => Some(Arc::clone(services)),
            Link::Knows(services) => services.upgrade(),
        };
        let Some(services) = services else {
            // Its request is over: nobody else could get the same one.
            return Arc::new(S::new(self));
        };
        services.get(|| S::new(&self.weak(&services)))
    }

    /// This context as its services may keep it.
    fn weak(&self, services: &Arc<Services>) -> Self {
        Self {
            data: Arc::clone(&self.data),
            services: Link::Knows(Arc::downgrade(services)),
        }
    }
}

/// The request did not come through Hatchery's serving.
#[derive(Debug)]
pub struct NoContext;

impl IntoResponse for NoContext {
    fn into_response(self) -> Response {
        let text = "this route is not served by Hatchery: there is no context";
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
