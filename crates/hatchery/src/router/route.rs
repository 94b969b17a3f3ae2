//! One route: what it answers, where, under which name, and through which middleware.

use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;
use std::panic::Location;

use axum::extract::Request;
use axum::handler::Handler;
use axum::response::IntoResponse;
use axum::routing::{MethodFilter, MethodRouter, any, any_service, on, on_service};
use http::Method;
use tower_layer::Layer;
use tower_service::Service;

use crate::config::Place;
use crate::middleware::Next;

/// Where a route was written: `file:line`, in the configuration `file:line:column`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    pub(super) file: Cow<'static, str>,
    /// From 1; 0 where there are no lines.
    pub(super) line: u32,
    /// From 1; 0 where only the line is known.
    column: u32,
}

impl Source {
    /// That line of that file.
    pub fn new(file: impl Into<Cow<'static, str>>, line: u32) -> Self {
        Self {
            file: file.into(),
            line,
            column: 0,
        }
    }

    #[track_caller]
    pub(super) fn caller() -> Self {
        let place = Location::caller();
        Self::new(place.file(), place.line())
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        let numbers = [self.line, self.column];
        numbers
            .iter()
            .filter(|number| **number > 0)
            .try_for_each(|number| write!(f, ":{number}"))
    }
}

/// One route. What its methods return is itself, so that they can follow one another.
#[derive(Debug)]
pub struct Route {
    pub(super) methods: Methods,
    pub(super) path: String,
    /// What its namespaces put before its name.
    pub(super) names: String,
    pub(super) name: Option<String>,
    /// `std::any::type_name` of the handler, or what `[[routes]]` calls it.
    pub(super) handler: Cow<'static, str>,
    /// Where it was added.
    pub(super) source: Source,
    pub(super) endpoint: Endpoint,
    /// Outermost first.
    pub(super) steps: Vec<Step>,
}

/// Which methods a route answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Methods {
    /// Those that no other route takes at its path.
    All,
    /// At least one.
    These(Vec<Method>),
}

impl Methods {
    pub(super) fn these(methods: &[Method]) -> Self {
        let mut these: Vec<Method> = Vec::with_capacity(methods.len());
        for method in methods {
            if !these.contains(method) {
                these.push(method.clone());
            }
        }
        Self::These(these)
    }

    /// As axum has it; `None`: all.
    pub(super) fn filter(&self) -> Option<MethodFilter> {
        let Self::These(methods) = self else {
            return None;
        };
        let filters = methods.iter().cloned().map(MethodFilter::try_from);
        filters.filter_map(Result::ok).reduce(MethodFilter::or)
    }
}

/// Lays a layer around what comes after it.
pub(super) type Lay = Box<dyn FnOnce(Next) -> Next>;

/// What lies between a route's path and its handler.
pub(super) enum Step {
    /// A middleware by its name.
    Named(String),
    /// A tower layer.
    Layer(Lay),
}

/// What answers.
pub(super) enum Endpoint {
    /// Something of axum's, once the methods are known; `None`: all.
    Made(Box<dyn FnOnce(Option<MethodFilter>) -> MethodRouter>),
    /// To a path, an address, or the route of this name.
    Redirect {
        to: String,
        status: http::StatusCode,
    },
}

impl Endpoint {
    pub(super) fn handler<H, T>(handler: H) -> Self
    where
        H: Handler<T, ()>,
        T: 'static,
    {
        Self::Made(Box::new(|filter| match filter {
            Some(filter) => on(filter, handler),
            None => any(handler),
        }))
    }

    pub(super) fn service<S>(service: S) -> Self
    where
        S: Service<Request, Error = Infallible> + Clone + Send + Sync + 'static,
        S::Response: IntoResponse,
        S::Future: Send + 'static,
    {
        Self::Made(Box::new(|filter| match filter {
            Some(filter) => on_service(filter, service),
            None => any_service(service),
        }))
    }

    pub(super) fn redirect(to: &str) -> Self {
        Self::Redirect {
            to: to.to_owned(),
            status: http::StatusCode::MOVED_PERMANENTLY,
        }
    }
}

impl Route {
    pub(super) fn new(
        methods: Methods,
        path: String,
        names: String,
        handler: Cow<'static, str>,
        source: Source,
        endpoint: Endpoint,
    ) -> Self {
        Self {
            methods,
            path,
            names,
            name: None,
            handler,
            source,
            endpoint,
            steps: Vec::new(),
        }
    }

    /// Its name, for `url_for`. Routes of one path may share it.
    pub fn name(&mut self, name: impl AsRef<str>) -> &mut Self {
        self.name = Some(format!("{}{}", self.names, name.as_ref()));
        self
    }

    /// Lays the middleware of this name around the handler. The first one that is named, here or by
    /// [`layer`](Self::layer), is the outermost.
    pub fn middleware(&mut self, name: impl Into<String>) -> &mut Self {
        self.steps.push(Step::Named(name.into()));
        self
    }

    /// Lays a tower layer around the handler.
    pub fn layer<L>(&mut self, layer: L) -> &mut Self
    where
        L: Layer<Next> + 'static,
        L::Service: Service<Request> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request>>::Response: IntoResponse,
        <L::Service as Service<Request>>::Error: Into<Infallible>,
        <L::Service as Service<Request>>::Future: Send + 'static,
    {
        let lay: Lay = Box::new(move |next: Next| next.wrap(&layer));
        self.steps.push(Step::Layer(lay));
        self
    }

    /// Where it was written, when that is not the place of the call: the attribute macros and
    /// `[[routes]]` say so.
    pub fn at(&mut self, file: impl Into<Cow<'static, str>>, line: u32) -> &mut Self {
        self.source = Source::new(file, line);
        self
    }

    /// The same for an entry of the configuration.
    pub(crate) fn placed(&mut self, place: &Place) {
        let file = place.path();
        let file = file.map_or_else(|| place.to_string(), |path| path.display().to_string());
        self.source = Source {
            file: file.into(),
            line: place.line().unwrap_or(0),
            column: place.column().unwrap_or(0),
        };
    }

    /// What to call its handler, when that is not the name of its type.
    pub fn handled_by(&mut self, name: impl Into<Cow<'static, str>>) -> &mut Self {
        self.handler = name.into();
        self
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::Layer(_) => f.write_str("(layer)"),
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Made(_) => f.write_str("Made"),
            Self::Redirect { to, status } => write!(f, "Redirect({status} {to})"),
        }
    }
}
