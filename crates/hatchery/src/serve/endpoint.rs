//! What answers requests: a plain router, or a chain of middleware before one.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::future::RouteFuture;
use tower_service::Service as _;

use crate::middleware::{Answering, Next};

/// What answers requests. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) enum Endpoint {
    /// A router and nothing before it: what it costs is what axum costs.
    Plain(Router),
    /// The application's chain.
    Chain(Next),
}

impl Endpoint {
    pub(crate) fn call(&mut self, request: Request) -> Running {
        match self {
            Self::Plain(router) => Running::Plain(router.call(request)),
            Self::Chain(next) => Running::Chain(next.call(request)),
        }
    }
}

impl From<Router> for Endpoint {
    fn from(router: Router) -> Self {
        Self::Plain(router)
    }
}

/// The future of a response.
#[expect(
    clippy::large_enum_variant,
    reason = "it is never moved between the two"
)]
pub(crate) enum Running {
    Plain(RouteFuture<Infallible>),
    Chain(Answering),
}

impl Future for Running {
    type Output = Response;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response> {
        match self.get_mut() {
            Self::Plain(future) => Pin::new(future).poll(cx).map(|Ok(response)| response),
            Self::Chain(future) => Pin::new(future).poll(cx).map(|Ok(response)| response),
        }
    }
}
