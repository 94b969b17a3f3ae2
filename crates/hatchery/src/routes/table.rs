//! `[[routes]]`: from the configuration into the table of routes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use axum::RequestExt as _;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode};
use http_body_util::LengthLimitError;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::check::Check;
use super::view::{View, Views};
use super::{Input, NamedHandler};
use crate::config::suggest::{did_you_mean, suggest};
use crate::config::{ConfigError, Place};
use crate::loader::load_order::LoadOrder;
use crate::loader::registry::{Item, Registration};
use crate::middleware::Next;
use crate::router::Routes;
use crate::{Application, BoxError};

/// Everything that is wrong with `[[routes]]`, a line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoutesError {
    /// Never empty.
    problems: Vec<String>,
}

/// The types of routes.
const TYPES: [&str; 1] = ["http"];

/// `type = "http"`.
#[derive(Deserialize)]
struct HttpRoute {
    #[serde(rename = "type")]
    _kind: String,
    route: String,
    handler: String,
    name: Option<String>,
    method: Option<Methods>,
    #[serde(default)]
    middlewares: Vec<String>,
    validate: Option<Value>,
    template: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Methods {
    One(String),
    Any(Vec<String>),
}

/// The handlers that routes can name.
type Handlers = BTreeMap<String, &'static Registration>;

/// Adds the routes of the configuration.
pub(crate) fn add(
    routes: &mut Routes,
    app: &Application,
    order: &LoadOrder,
) -> Result<(), RoutesError> {
    let mut problems = Vec::new();
    let mut handlers = Handlers::new();
    for (unit, registration) in order.items() {
        if matches!(registration.item, Item::Handler(_)) {
            // That of a later unit takes the place of an earlier one's.
            let name = name_of(unit.package.module, registration);
            handlers.insert(name, registration);
        }
    }
    let adding = Adding {
        app,
        handlers,
        views: Views::new(app),
    };
    for (index, (entry, place)) in app.config().items("routes").enumerate() {
        if let Err(error) = adding.add(routes, index, &entry, place) {
            problems.push(error.to_string());
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(RoutesError { problems })
}

/// What routes call a handler: the modules below `controller` and its own name, `admin.posts.create`;
/// where there is no such module, those below its unit's.
fn name_of(unit: &str, registration: &Registration) -> String {
    let below = registration.module.strip_prefix(unit);
    let mut below: Vec<_> = below.unwrap_or(registration.module).split("::").collect();
    if let Some(at) = below.iter().position(|module| *module == "controller") {
        below.drain(..=at);
    }
    below.retain(|module| !module.is_empty());
    below.push(registration.name);
    below.join(".")
}

struct Adding<'a> {
    app: &'a Application,
    handlers: Handlers,
    views: Views,
}

impl Adding<'_> {
    /// One entry of `[[routes]]`.
    fn add(
        &self,
        routes: &mut Routes,
        index: usize,
        entry: &Value,
        place: &Place,
    ) -> Result<(), BoxError> {
        let wrong = |text: String| BoxError::from(format!("{place}: {text}"));
        let kind = entry.get("type").and_then(Value::as_str);
        match kind {
            Some(kind) if TYPES.contains(&kind) => {}
            Some(kind) => {
                let hint = did_you_mean(kind, TYPES);
                let text =
                    format!("`[[routes]]` of the unknown type `{kind}`{hint}; known: `http`");
                return Err(wrong(text));
            }
            None => {
                return Err(wrong(
                    "`[[routes]]` has no `type`; known: `http`".to_owned(),
                ));
            }
        }
        let route: HttpRoute = self.read(index)?;
        let registration = self.handlers.get(&route.handler).ok_or_else(|| {
            let known = self.handlers.keys().map(String::as_str);
            let hint = match suggest(&route.handler, known) {
                Some(other) => format!(", did you mean `{other}`?"),
                None => ": it is the module below `controller` and the name of a function with \
                         `#[handler]`, as in `posts.create`"
                    .to_owned(),
            };
            wrong(format!("no handler is called `{}`{hint}", route.handler))
        })?;
        let Item::Handler(make) = registration.item else {
            return Ok(()); // only handlers are in the list
        };
        let methods = methods(route.method).map_err(wrong)?;
        let check = route.validate.as_ref();
        let check = check.map(|schema| Check::new(schema, place)).transpose();
        let view = route.template.as_deref();
        let view = view.map(|name| self.views.view(name)).transpose();
        let answering = Answering {
            handler: make(),
            check: check.map_err(wrong)?,
            view: view.map_err(wrong)?,
        };
        let next = answering.into_next();
        let handler = move |request: Request| next.clone().run(request);
        let added = routes.route(&methods, &route.route, handler);
        let file = place
            .path()
            .map_or_else(|| place.to_string(), |path| path.display().to_string());
        added.at(file, place.line().unwrap_or(0));
        added.handled_by(format!("{}::{}", registration.module, registration.name));
        if let Some(name) = &route.name {
            added.name(name);
        }
        for name in route.middlewares {
            added.middleware(name);
        }
        Ok(())
    }

    fn read<T: DeserializeOwned>(&self, index: usize) -> Result<T, ConfigError> {
        self.app.config().item("routes", index)
    }
}

/// `get` where nothing is said.
fn methods(given: Option<Methods>) -> Result<Vec<Method>, String> {
    const KNOWN: [Method; 7] = [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::HEAD,
        Method::OPTIONS,
    ];
    let names = match given {
        None => return Ok(vec![Method::GET]),
        Some(Methods::One(name)) => vec![name],
        Some(Methods::Any(names)) => names,
    };
    if names.is_empty() {
        return Err("a route has at least one `method`".to_owned());
    }
    let method = |name: &String| {
        let known = KNOWN
            .iter()
            .find(|method| method.as_str().eq_ignore_ascii_case(name));
        known.cloned().ok_or_else(|| {
            let hint = did_you_mean(name, KNOWN.iter().map(Method::as_str));
            format!("unknown method `{name}`{hint}")
        })
    };
    names.iter().map(method).collect()
}

/// What answers requests of one route.
struct Answering {
    handler: Box<dyn NamedHandler>,
    check: Option<Check>,
    view: Option<View>,
}

impl Answering {
    fn into_next(self) -> Next {
        let this = Arc::new(self);
        Next::of(move |request| {
            let this = Arc::clone(&this);
            Box::pin(async move {
                match this.answer(request).await {
                    Ok(response) | Err(response) => response,
                }
            })
        })
    }

    async fn answer(&self, request: Request) -> Result<Response, Response> {
        // Within the limit that all extractors have.
        let (parts, body) = request.with_limited_body().into_parts();
        let body = to_bytes(body, usize::MAX).await.map_err(unread)?;
        let mut input = Input::new(&parts, body).map_err(IntoResponse::into_response)?;
        if let Some(check) = &self.check {
            input = check.look(input).map_err(IntoResponse::into_response)?;
        }
        let reply = self.handler.call(parts, input).await;
        Ok(match &self.view {
            Some(view) => view.show(reply),
            None => reply.into_response(),
        })
    }
}

/// The answer to a body that cannot be read.
fn unread(error: axum::Error) -> Response {
    let error = error.into_inner();
    if error.is::<LengthLimitError>() {
        let text = "the body is larger than `http.body_limit`";
        return (StatusCode::PAYLOAD_TOO_LARGE, text).into_response();
    }
    let text = format!("the body cannot be read: {error}");
    (StatusCode::BAD_REQUEST, text).into_response()
}

impl fmt::Display for RoutesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problems.join("\n"))
    }
}

impl std::error::Error for RoutesError {}

#[cfg(test)]
mod tests;
