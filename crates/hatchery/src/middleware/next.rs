//! The rest of the chain as one service.

use std::any::Any;
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Turn, Poll};

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::future::RouteFuture;
use futures_util::FutureExt as _;
use tower_service::Service;

use super::Layer;
use super::caught::{self, Caught};
use super::filter::Fork;
use crate::Error;

/// A response that is under way.
pub(crate) type Answer = Pin<Box<dyn Future<Output = Response> + Send>>;

/// What comes after a middleware: other middleware, then the router. A tower service that is cheap
/// to clone and never fails.
#[derive(Clone)]
pub struct Next(Kind);

/// Only what answers by a function of its own needs a box for each request.
#[derive(Clone)]
enum Kind {
    Function(Arc<dyn Fn(Request) -> Answer + Send + Sync>),
    /// One of two, by what the request is.
    Fork(Arc<Fork>),
    /// The end of most chains.
    Router(Router),
}

impl Next {
    /// Any service as the end of a chain.
    pub fn new<S>(service: S) -> Self
    where
        S: Service<Request> + Clone + Send + Sync + 'static,
        S::Response: IntoResponse,
        S::Error: Into<Infallible>,
        S::Future: Send + 'static,
    {
        let any: &dyn Any = &service;
        if let Some(next) = any.downcast_ref::<Self>() {
            return next.clone(); // it is one: another box around it would do nothing
        }
        if let Some(router) = any.downcast_ref::<Router>() {
            return Self(Kind::Router(router.clone()));
        }
        Self::of(move |request| {
            let mut service = service.clone();
            Box::pin(async move {
                if let Err(error) = std::future::poll_fn(|turn| service.poll_ready(turn)).await {
                    match error.into() {}
                }
                match service.call(request).await {
                    Ok(response) => response.into_response(),
                    Err(error) => match error.into() {},
                }
            })
        })
    }

    /// A function of ours that answers.
    pub(crate) fn of(answer: impl Fn(Request) -> Answer + Send + Sync + 'static) -> Self {
        Self(Kind::Function(Arc::new(answer)))
    }

    /// One of two.
    pub(super) fn fork(fork: Fork) -> Self {
        Self(Kind::Fork(Arc::new(fork)))
    }

    /// Lays `layer` around this.
    #[must_use]
    pub fn wrap(self, layer: &impl Layer) -> Self {
        layer.around(self)
    }

    /// Answers a request: `next.run(request).await`.
    pub fn run(self, request: Request) -> Run {
        let way = self.way(request).map(|way| match way {
            Way::Function(answer) => answer,
            Way::Router(route) => Box::pin(route.map(|Ok(response)| response)),
        });
        Run(way.into())
    }

    /// The same for who has it on loan.
    pub(crate) fn answer(&self, request: Request) -> Answering {
        Answering(self.way(request).into())
    }

    /// Only predicates are code of the application's that runs at once and can panic; all other
    /// code runs when it is polled, or catches its own panics.
    fn way(&self, mut request: Request) -> Result<Way, Error> {
        let mut next = self;
        loop {
            next = match &next.0 {
                Kind::Function(answer) => return Ok(Way::Function(answer(request))),
                Kind::Router(router) => return Ok(Way::Router(router.clone().call(request))),
                Kind::Fork(fork) => caught::call(|| fork.choose(&mut request))?,
            }
        }
    }
}

impl Service<Request> for Next {
    type Response = Response;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Turn<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Answering {
        self.answer(request)
    }
}

/// The future of [`Next`].
pub struct Answering(Caught<Way>);

#[expect(
    clippy::large_enum_variant,
    reason = "a box for each request costs more"
)]
enum Way {
    Function(Answer),
    Router(RouteFuture<Infallible>),
}

/// The future of [`Next::run`]. A small one: each middleware's future holds it, and is moved.
#[must_use = "nothing answers before it is awaited"]
pub struct Run(Caught<Answer>);

impl Future for Run {
    type Output = Response;

    fn poll(mut self: Pin<&mut Self>, turn: &mut Turn<'_>) -> Poll<Response> {
        self.0.poll(|answer| answer.as_mut().poll(turn))
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Run")
    }
}

impl Future for Answering {
    type Output = Result<Response, Infallible>;

    fn poll(mut self: Pin<&mut Self>, turn: &mut Turn<'_>) -> Poll<Self::Output> {
        let poll = self.0.poll(|way| match way {
            Way::Function(answer) => answer.as_mut().poll(turn),
            Way::Router(route) => Pin::new(route).poll(turn).map(|Ok(response)| response),
        });
        poll.map(Ok)
    }
}

impl fmt::Debug for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Next")
    }
}

impl fmt::Debug for Answering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answering")
    }
}
