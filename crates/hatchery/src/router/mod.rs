//! The application's routes: names, places, prefixes, resources; compiled to an axum router.

use std::panic::Location;

use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodFilter, MethodRouter, on};
use http::Method;

/// The table of routes that `#[router]` functions and controllers fill.
#[derive(Debug, Default)]
pub struct Routes {
    routes: Vec<Route>,
}

/// One route.
#[derive(Debug)]
pub struct Route {
    method: Method,
    path: String,
    name: Option<String>,
    /// `std::any::type_name` of the handler.
    handler: &'static str,
    /// Where it was added.
    place: &'static Location<'static>,
    endpoint: MethodRouter,
}

impl Routes {
    /// `GET`, and with it `HEAD`.
    #[track_caller]
    pub fn get<H, T>(&mut self, path: &str, handler: H) -> &mut Route
    where
        H: Handler<T, ()>,
        T: 'static,
    {
        self.add(Method::GET, MethodFilter::GET, path, handler)
    }

    #[track_caller]
    fn add<H, T>(
        &mut self,
        method: Method,
        filter: MethodFilter,
        path: &str,
        handler: H,
    ) -> &mut Route
    where
        H: Handler<T, ()>,
        T: 'static,
    {
        self.routes.push(Route {
            method,
            path: path.to_owned(),
            name: None,
            handler: std::any::type_name::<H>(),
            place: Location::caller(),
            endpoint: on(filter, handler),
        });
        let last = self.routes.len() - 1;
        &mut self.routes[last]
    }

    /// The axum router.
    pub(crate) fn compile(self) -> Router {
        self.routes
            .into_iter()
            .fold(Router::new(), |router, route| {
                router.route(&route.path, route.endpoint)
            })
    }
}

impl Route {
    /// Its name, for `url_for`.
    pub fn name(&mut self, name: impl Into<String>) -> &mut Self {
        self.name = Some(name.into());
        self
    }
}
