//! From the table of routes to the axum router that serves.

use std::convert::Infallible;
use std::fmt;

use axum::Router;
use axum::routing::{MethodFilter, MethodRouter, any_service};

use super::Routes;
use super::route::{Endpoint, Methods, Step};
use crate::BoxError;
use crate::middleware::{Next, Wrap};

/// The middleware that routes can name.
pub(crate) trait NamedMiddleware {
    /// A new one for a route; `None` when nobody knows the name.
    fn wrap(&self, name: &str) -> Option<Result<Wrap, BoxError>>;

    /// All names, for suggestions.
    fn names(&self) -> Vec<String>;
}

/// No middleware has a name.
impl NamedMiddleware for () {
    fn wrap(&self, _: &str) -> Option<Result<Wrap, BoxError>> {
        None
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }
}

/// `[router]`.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(crate) struct RouterSettings {
    pub(crate) trailing_slash: TrailingSlash,
    pub(crate) wrong_method: WrongMethod,
}

/// Whether `/posts/` is `/posts`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TrailingSlash {
    /// It is.
    #[default]
    Tolerate,
    /// It is another path.
    Strict,
}

/// The answer where the path has routes, but none of this method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
pub(crate) enum WrongMethod {
    /// 405 with `Allow`.
    #[default]
    #[serde(rename = "405")]
    NotAllowed,
    /// 404, as Egg does.
    #[serde(rename = "404")]
    NotFound,
}

/// Everything that is wrong with the routes, a line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteError {
    /// Never empty.
    problems: Vec<String>,
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problems.join("\n"))
    }
}

impl std::error::Error for RouteError {}

/// What is served, and what it is made of.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) router: Router,
}

impl Routes {
    /// The axum router; or all that is wrong.
    pub(crate) fn compile(
        self,
        _settings: RouterSettings,
        middleware: &dyn NamedMiddleware,
    ) -> Result<Compiled, RouteError> {
        let mut router = Router::new();
        let problems: Vec<_> = self
            .added
            .iter()
            .filter(|route| !route.path.starts_with('/'))
            .map(|route| format!("{}: `{}` must begin with `/`", route.source, route.path))
            .collect();
        if !problems.is_empty() {
            return Err(RouteError { problems });
        }
        for route in self.added {
            let endpoint = endpoint(route.endpoint, &route.methods);
            let endpoint = lay(endpoint, route.steps, middleware);
            router = router.route(&route.path, endpoint);
        }
        for mounted in self.routers {
            router = match mounted.path {
                Some(path) => router.nest_service(&path, mounted.router),
                None => router.merge(mounted.router),
            };
        }
        Ok(Compiled { router })
    }
}

fn endpoint(endpoint: Endpoint, _methods: &Methods) -> MethodRouter {
    match endpoint {
        Endpoint::Made(make) => make(MethodFilter::GET),
        Endpoint::Redirect { .. } => MethodRouter::new(),
    }
}

fn lay(
    endpoint: MethodRouter,
    steps: Vec<Step>,
    middleware: &dyn NamedMiddleware,
) -> MethodRouter<(), Infallible> {
    if steps.is_empty() {
        return endpoint;
    }
    let next = steps
        .into_iter()
        .rev()
        .fold(Next::new(endpoint), |next, step| match step {
            Step::Layer(wrap) => wrap(next),
            Step::Named(name) => match middleware.wrap(&name) {
                Some(Ok(wrap)) => wrap(next),
                _ => next,
            },
        });
    any_service(next)
}
