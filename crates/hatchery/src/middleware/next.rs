//! The rest of the chain as one service.

use std::any::Any;
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Turn, Poll};

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use tower_service::Service;

use super::Layer;
use super::caught::Caught;

/// A response that is under way.
pub(crate) type Answer = Pin<Box<dyn Future<Output = Response> + Send>>;

/// What comes after a middleware: other middleware, then the router. A tower service that is cheap
/// to clone and never fails.
#[derive(Clone)]
pub struct Next(Arc<dyn Fn(Request) -> Answer + Send + Sync>);

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
        Self(Arc::new(answer))
    }

    /// Lays `layer` around this.
    #[must_use]
    pub fn wrap(self, layer: &impl Layer) -> Self {
        layer.around(self)
    }

    /// Answers a request.
    pub async fn run(self, request: Request) -> Response {
        let Ok(response) = Answering(Caught::call(|| (self.0)(request))).await;
        response
    }

    /// The same for who has it on loan.
    pub(crate) fn answer(&self, request: Request) -> Answer {
        (self.0)(request)
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
        Answering(Caught::call(|| (self.0)(request)))
    }
}

/// The future of [`Next`].
pub struct Answering(Caught<Answer>);

impl Future for Answering {
    type Output = Result<Response, Infallible>;

    fn poll(mut self: Pin<&mut Self>, turn: &mut Turn<'_>) -> Poll<Self::Output> {
        self.0.poll(|answer| answer.as_mut().poll(turn)).map(Ok)
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
