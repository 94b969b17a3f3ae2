//! `type = "http"`: a handler by its name, what it takes checked, what it returns shown.

use std::sync::Arc;

use axum::RequestExt as _;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode};
use http_body_util::LengthLimitError;
use serde::Deserialize;
use serde_json::Value;

use crate::BoxError;
use crate::config::suggest::did_you_mean;
use crate::middleware::Next;
use crate::router::Routes;
use crate::routes::check::Check;
use crate::routes::table::{Adding, Entry};
use crate::routes::view::View;
use crate::routes::{Input, NamedHandler};

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

/// Adds one to the table.
pub(crate) fn add(adding: &Adding, routes: &mut Routes, entry: &Entry<'_>) -> Result<(), BoxError> {
    let route: HttpRoute = entry.read()?;
    let (registration, handler) = adding.handler(&route.handler, entry)?;
    if handler.takes_socket() {
        let name = &route.handler;
        return Err(entry.wrong(format!(
            "the handler `{name}` takes a WebSocket: write `type = \"websocket\"`"
        )));
    }
    let methods = methods(route.method).map_err(|text| entry.wrong(text))?;
    let check = route.validate.as_ref();
    let check = check
        .map(|schema| Check::new(schema, entry.place))
        .transpose();
    let view = route.template.as_deref();
    let view = view.map(|name| adding.views.view(name)).transpose();
    let answering = Answering {
        handler,
        check: check.map_err(|text| entry.wrong(text))?,
        view: view.map_err(|text| entry.wrong(text))?,
    };
    let next = answering.into_next();
    let handler = move |request: Request| next.clone().run(request);
    let added = routes.route(&methods, &route.route, handler);
    added.handled_by(format!("{}::{}", registration.module, registration.name));
    entry.finish(added, route.name.as_deref(), &route.middlewares);
    Ok(())
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
