//! What answers requests: a plain router, or an application's way in.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::future::RouteFuture;
use tower_service::Service as _;

use crate::context::{Entering, Entry};

/// What answers requests. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) enum Endpoint {
    /// A router and nothing before it: what it costs is what axum costs.
    Plain(Router),
    /// The application, with contexts and middleware.
    Whole(Entry),
}

impl Endpoint {
    /// Answers one request. `peer` is the other end of its connection, if that has an address.
    pub(crate) fn call(&mut self, request: Request, peer: Option<SocketAddr>) -> Running {
        match self {
            Self::Plain(router) => Running::Plain(router.call(request)),
            Self::Whole(entry) => Running::Whole(entry.call(request, peer)),
        }
    }

    /// Whether anybody can ask for the other end of a connection.
    pub(super) fn wants_peer(&self) -> bool {
        matches!(self, Self::Whole(_))
    }
}

impl From<Router> for Endpoint {
    fn from(router: Router) -> Self {
        Self::Plain(router)
    }
}

impl From<Entry> for Endpoint {
    fn from(entry: Entry) -> Self {
        Self::Whole(entry)
    }
}

/// The future of a response.
pub(crate) enum Running {
    Plain(RouteFuture<Infallible>),
    Whole(Entering),
}

impl Future for Running {
    type Output = Response;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response> {
        match self.get_mut() {
            Self::Plain(future) => Pin::new(future).poll(cx).map(|Ok(response)| response),
            Self::Whole(future) => Pin::new(future).poll(cx),
        }
    }
}
