//! The rest of the chain as one service.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Turn, Poll};

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use tower_layer::Layer;
use tower_service::Service;

use crate::Application;

type Answer = Pin<Box<dyn Future<Output = Response> + Send>>;

/// What comes after a middleware: other middleware, then the router. A tower service that is cheap
/// to clone and never fails.
#[derive(Clone)]
pub struct Next(Arc<dyn Fn(Request) -> Answer + Send + Sync>);

/// Lays a middleware around what comes after it.
pub type Wrap = Box<dyn FnOnce(Next) -> Next>;

/// What a middleware's function is made from.
#[derive(Clone, Copy, Debug)]
pub struct MiddlewareArguments<'a> {
    /// The application.
    pub app: &'a Application,
    /// The name under which the configuration knows it: its options are `[middleware.<name>]`.
    pub name: &'a str,
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
        Self(Arc::new(move |request| {
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
        }))
    }

    /// Lays `layer` around this.
    #[must_use]
    pub fn wrap<L>(self, layer: &L) -> Self
    where
        L: Layer<Self>,
        L::Service: Service<Request> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request>>::Response: IntoResponse,
        <L::Service as Service<Request>>::Error: Into<Infallible>,
        <L::Service as Service<Request>>::Future: Send + 'static,
    {
        Self::new(layer.layer(self))
    }

    /// Answers a request.
    pub async fn run(self, request: Request) -> Response {
        (self.0)(request).await
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
        Answering((self.0)(request))
    }
}

/// The future of [`Next`].
pub struct Answering(Answer);

impl Future for Answering {
    type Output = Result<Response, Infallible>;

    fn poll(mut self: Pin<&mut Self>, turn: &mut Turn<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(turn).map(Ok)
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
