//! Routes that were added together, to give all of them a middleware.

use std::convert::Infallible;

use axum::extract::Request;
use axum::response::IntoResponse;
use tower_layer::Layer;
use tower_service::Service;

use super::route::{Lay, Step};
use super::{Mounted, Route};
use crate::middleware::Next;

/// Routes that were added together. Its middleware lies around the routes' own.
#[derive(Debug)]
pub struct Group<'r> {
    pub(super) routes: &'r mut [Route],
    /// Axum routers that were added among them.
    routers: &'r mut [Mounted],
    /// How many steps it has laid around each so far.
    laid: usize,
}

impl<'r> Group<'r> {
    pub(super) fn new(routes: &'r mut [Route], mounted: &'r mut [Mounted]) -> Self {
        Self {
            routes,
            routers: mounted,
            laid: 0,
        }
    }

    /// Lays the middleware of this name around each of them; the first one named is the outermost.
    pub fn middleware(&mut self, name: &str) -> &mut Self {
        self.lay(|| Step::Named(name.to_owned()))
    }

    /// Lays a tower layer around each of them.
    pub fn layer<L>(&mut self, layer: L) -> &mut Self
    where
        L: Layer<Next> + Clone + 'static,
        L::Service: Service<Request> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request>>::Response: IntoResponse,
        <L::Service as Service<Request>>::Error: Into<Infallible>,
        <L::Service as Service<Request>>::Future: Send + 'static,
    {
        self.lay(|| {
            let layer = layer.clone();
            let lay: Lay = Box::new(move |next: Next| next.wrap(&layer));
            Step::Layer(lay)
        })
    }

    fn lay(&mut self, step: impl Fn() -> Step) -> &mut Self {
        for route in &mut *self.routes {
            route.steps.insert(self.laid, step());
        }
        for mounted in &mut *self.routers {
            mounted.steps.insert(self.laid, step());
        }
        self.laid += 1;
        self
    }
}
