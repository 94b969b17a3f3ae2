//! From the table of routes to the axum router that serves.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any, any_service, on_service};
use http::{HeaderValue, Method, StatusCode, header};

use super::check::{Check, Shared, allow};
use super::redirect;
use super::route::{Endpoint, Methods, Step};
use super::table::RouteTable;
use super::{Mounted, Route, Routes, Source, page};
use crate::config::suggest::did_you_mean;
use crate::middleware::{Answer, Next};
use crate::{Application, BoxError};

/// The middleware that routes can name.
pub(crate) trait NamedMiddleware {
    /// Lays it around `next`; `None` when nobody knows the name. One that is switched off gives
    /// `next` back.
    fn lay(&self, name: &str, next: Next) -> Option<Result<Next, BoxError>>;

    /// All names, for suggestions.
    fn names(&self) -> Vec<String>;
}

/// No middleware has a name.
impl NamedMiddleware for () {
    fn lay(&self, _: &str, _: Next) -> Option<Result<Next, BoxError>> {
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
    pub(crate) table: Arc<RouteTable>,
}

impl Routes {
    /// The axum router, and the table behind `url_for` in `app`; or all that is wrong.
    pub(crate) fn compile(
        self,
        app: &Application,
        middleware: &dyn NamedMiddleware,
    ) -> Result<Router, BoxError> {
        let settings = app.section("router")?;
        let page = app.env() == "local";
        let compiled = self.build(settings, page, middleware)?;
        app.set_routes(compiled.table);
        Ok(compiled.router)
    }

    /// The same without an application; `page` adds the page that shows the routes.
    pub(super) fn build(
        self,
        settings: RouterSettings,
        page: bool,
        middleware: &dyn NamedMiddleware,
    ) -> Result<Compiled, RouteError> {
        let mut check = Check::new(&self, settings.trailing_slash);
        check.run();
        let (shared, mut problems) = (check.shared, check.problems);
        let table = Arc::new(RouteTable::of(&self));
        let mut pages = self.pages;
        if page {
            pages.push((page::PATH, page::show(Arc::clone(&table))));
        }
        let mut compiler = Compiler {
            table: &table,
            wrong_method: settings.wrong_method,
            middleware,
            problems: Vec::new(),
        };
        let mut router = Router::new();
        let mut added: Vec<_> = self.added.into_iter().map(Some).collect();
        // A path with a problem would make axum panic.
        let fits = problems.is_empty();
        for path in &shared {
            let here = path.routes.iter().filter_map(|at| added[*at].take());
            let endpoint = compiler.endpoint(here.collect());
            if fits {
                if let Some(alias) = &path.alias {
                    router = router.route(alias, endpoint.clone());
                }
                router = router.route(&path.path, endpoint);
            }
        }
        let routers = self.routers.into_iter();
        let routers = routers.map(|mounted| compiler.mounted(mounted)).collect();
        problems.append(&mut compiler.problems);
        if problems.is_empty() {
            router = mount(router, routers, &shared, &table, &mut problems);
        }
        if !problems.is_empty() {
            return Err(RouteError { problems });
        }
        for (path, page) in pages {
            // An axum router of the application's may have it, too: axum panics.
            let there = shared.iter().any(|shared| shared.path == path);
            if !there {
                let with = AssertUnwindSafe(|| router.clone().route(path, page));
                router = catch_unwind(with).unwrap_or(router);
            }
        }
        Ok(Compiled { router, table })
    }
}

/// Makes axum's endpoints.
struct Compiler<'c> {
    table: &'c RouteTable,
    wrong_method: WrongMethod,
    middleware: &'c dyn NamedMiddleware,
    problems: Vec<String>,
}

impl Compiler<'_> {
    /// All routes of one path.
    fn endpoint(&mut self, routes: Vec<Route>) -> MethodRouter {
        let allow = allow(routes.iter());
        let (all, these): (Vec<_>, Vec<_>) = routes
            .into_iter()
            .partition(|route| route.methods == Methods::All);
        let all = all.into_iter().next();
        let base = match all {
            Some(all) => self.route(all),
            None => no_such_method(self.wrong_method, &allow),
        };
        let mut taken = Vec::new();
        these.into_iter().fold(base, |base, route| {
            let methods = route.methods.clone();
            let endpoint = self.route(route);
            let Methods::These(these) = &methods else {
                return base;
            };
            // Found and told before; axum would panic.
            let fits = methods.filter().is_some();
            if !fits || these.iter().any(|method| taken.contains(method)) {
                return base;
            }
            taken.extend(these.iter().cloned());
            base.merge(endpoint)
        })
    }

    fn route(&mut self, route: Route) -> MethodRouter {
        let filter = route.methods.filter();
        let endpoint = match route.endpoint {
            Endpoint::Made(make) => make(filter),
            Endpoint::Redirect { to, status } => {
                match redirect::endpoint(&route.path, &to, status, self.table) {
                    Ok(endpoint) => endpoint,
                    Err(problem) => {
                        self.problems.push(format!("{}: {problem}", route.source));
                        return MethodRouter::new();
                    }
                }
            }
        };
        if route.steps.is_empty() {
            return endpoint;
        }
        let next = self.lay(Next::new(endpoint), route.steps, &route.source);
        match filter {
            Some(filter) => on_service(filter, next),
            None => any_service(next),
        }
    }

    /// What lies around an axum router, if anything does.
    fn mounted(&mut self, mut mounted: Mounted) -> (Mounted, Option<Next>) {
        let steps = std::mem::take(&mut mounted.steps);
        if steps.is_empty() {
            return (mounted, None);
        }
        let laid = self.lay(Next::of(go_on), steps, &mounted.source);
        (mounted, Some(laid))
    }

    /// Lays `steps` around `next`, the last one first.
    fn lay(&mut self, next: Next, steps: Vec<Step>, source: &Source) -> Next {
        steps.into_iter().rev().fold(next, |next, step| {
            let name = match step {
                Step::Layer(lay) => return lay(next),
                Step::Named(name) => name,
            };
            let problem = match self.middleware.lay(&name, next.clone()) {
                Some(Ok(laid)) => return laid,
                Some(Err(error)) => format!("{source}: middleware `{name}`: {error}"),
                None => {
                    let names = self.middleware.names();
                    let hint = did_you_mean(&name, names.iter().map(String::as_str));
                    format!("{source}: no middleware is called `{name}`{hint}")
                }
            };
            if !self.problems.contains(&problem) {
                self.problems.push(problem);
            }
            next
        })
    }
}

/// Answers what no route of a path does. The body is empty: what says so is up to whoever shapes
/// errors.
fn no_such_method(wrong_method: WrongMethod, allow: &str) -> MethodRouter {
    let allow = HeaderValue::from_str(allow).ok();
    any(move |method: Method| {
        let allow = allow.clone();
        async move {
            let status = match (method, wrong_method) {
                (Method::OPTIONS, _) => StatusCode::NO_CONTENT,
                (_, WrongMethod::NotAllowed) => StatusCode::METHOD_NOT_ALLOWED,
                (_, WrongMethod::NotFound) => StatusCode::NOT_FOUND,
            };
            let mut response: Response = status.into_response();
            if status != StatusCode::NOT_FOUND
                && let Some(allow) = allow
            {
                response.headers_mut().insert(header::ALLOW, allow);
            }
            response
        }
    })
}

/// Where a request goes on behind the middleware around an axum router. Middleware is laid once,
/// before axum has any of the router's endpoints.
#[derive(Clone)]
struct Behind(Next);

fn go_on(mut request: Request) -> Answer {
    match request.extensions_mut().remove::<Behind>() {
        Some(Behind(next)) => Box::pin(next.run(request)),
        // A middleware has dropped the request's extensions.
        None => Box::pin(async { StatusCode::INTERNAL_SERVER_ERROR.into_response() }),
    }
}

/// Lays `laid` around every endpoint of `router`, its fallback included. The middleware sees the
/// request as that of a route does: with the whole path.
fn cover(router: Router, laid: Next) -> Router {
    router.layer(tower_layer::layer_fn(
        move |endpoint: axum::routing::Route| {
            let (behind, laid) = (Behind(Next::new(endpoint)), laid.clone());
            Next::of(move |mut request| {
                request.extensions_mut().insert(behind.clone());
                Box::pin(laid.clone().run(request))
            })
        },
    ))
}

/// Adds the application's own axum routers.
fn mount(
    mut router: Router,
    routers: Vec<(Mounted, Option<Next>)>,
    shared: &[Shared],
    table: &RouteTable,
    problems: &mut Vec<String>,
) -> Router {
    for (mounted, laid) in routers {
        let before = router.clone();
        let merge = AssertUnwindSafe(|| match mounted.path {
            Some(path) => match laid {
                Some(laid) => {
                    let nested = Router::new().nest_service(&path, mounted.router);
                    before.merge(cover(nested, laid))
                }
                None => before.nest_service(&path, mounted.router),
            },
            None => match laid {
                Some(laid) => before.merge(cover(mounted.router, laid)),
                None => before.merge(mounted.router),
            },
        });
        // Nobody can look into an axum router before it is merged, and what does not fit panics.
        match catch_unwind(merge) {
            Ok(merged) => router = merged,
            Err(panic) => {
                let text = said(&*panic);
                let other = shared.iter().find(|shared| {
                    text.ends_with(&format!(": {}", shared.path))
                        || text.contains(&format!(" {}`", shared.path))
                });
                let other = other.and_then(|shared| table.rows.get(*shared.routes.first()?));
                let other = other.map(|row| format!(" ({} is at {})", row.path, row.added));
                problems.push(format!(
                    "{}: the axum router merged here does not fit: {text}{}",
                    mounted.source,
                    other.unwrap_or_default()
                ));
            }
        }
    }
    router
}

/// What a panic said.
fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
    text.unwrap_or_else(|| "axum does not say why".to_owned())
}
