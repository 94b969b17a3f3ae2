//! The forms of middleware.

use std::future::Ready;
use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::json;

use super::filter::{Filter, Predicates};
use super::{Layer, MiddlewareArguments, Next, Options, Wrap, from_async, from_fn, from_layer};
use crate::application::{Identity, Role};
use crate::config::Config;
use crate::runtime::Bells;
use crate::{Application, BoxError, Context};

/// The application with a configuration.
pub(crate) fn application(config: &serde_json::Value) -> Application {
    of_config(Config::from_json(config.to_string().as_bytes(), "unittest").unwrap())
}

pub(crate) fn of_config(config: Config) -> Application {
    in_env("unittest", config)
}

pub(crate) fn in_env(env: &str, config: Config) -> Application {
    let identity = Identity {
        role: Role::Check,
        slot: None,
        instance: 0,
        generation: 0,
        workers: 0,
    };
    let (_, moments) = Bells::new();
    let env = env.to_owned();
    Application::new(crate::package!(), env, identity, config, moments)
}

#[derive(Deserialize)]
struct Stamp {
    name: String,
}

type Stamped = Result<Response, (StatusCode, &'static str)>;

fn by_options_and_app(options: Stamp, app: &Application) -> Result<impl Layer, BoxError> {
    let name = HeaderName::try_from(options.name)?;
    let value = HeaderValue::try_from(app.env())?;
    Ok(from_fn(move |request: Request, next: Next| {
        let (name, value) = (name.clone(), value.clone());
        async move {
            let mut response = next.run(request).await;
            response.headers_mut().insert(name, value);
            response
        }
    }))
}

fn by_options(options: Stamp) -> impl Layer {
    from_fn(move |request: Request, next: Next| {
        let name = HeaderName::try_from(options.name.clone()).unwrap();
        stamp(name, request, next)
    })
}

fn by_app(app: &Application) -> impl Layer {
    let name = HeaderName::try_from(app.env()).unwrap();
    from_fn(move |request: Request, next: Next| stamp(name.clone(), request, next))
}

fn by_nothing() -> impl Layer {
    from_fn(bare)
}

async fn stamp(name: HeaderName, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response
        .headers_mut()
        .insert(name, HeaderValue::from_static("1"));
    response
}

async fn bare(request: Request, next: Next) -> Response {
    stamp(HeaderName::from_static("bare"), request, next).await
}

async fn with_context(ctx: Context, request: Request, next: Next) -> Stamped {
    if request.uri().path() == "/refused" {
        return Err((StatusCode::FORBIDDEN, "not here"));
    }
    let name = HeaderName::try_from(ctx.app().env()).unwrap();
    Ok(stamp(name, request, next).await)
}

async fn with_options(options: Options<Stamp>, request: Request, next: Next) -> Response {
    let name = HeaderName::try_from(options.name.as_str()).unwrap();
    stamp(name, request, next).await
}

async fn with_all(options: Options<Stamp>, ctx: Context, request: Request, next: Next) -> Response {
    let name = format!("{}-{}", options.name, ctx.app().env());
    stamp(HeaderName::try_from(name).unwrap(), request, next).await
}

type Form = for<'a> fn(&MiddlewareArguments<'a>) -> Result<Wrap<'a>, BoxError>;

/// The headers that a form of middleware adds to `/path`.
async fn headers(form: Form, name: &str, path: &str) -> (StatusCode, Vec<String>) {
    let app = application(&serde_json::json!({
        "middleware": { "stamp": { "name": "stamped", "enable": true } },
    }));
    let wrap = form(&MiddlewareArguments { app: &app, name }).unwrap();
    let next = wrap(Next::of(|_| Box::pin(async { Response::default() })));
    let mut request = Request::new(axum::body::Body::empty());
    *request.uri_mut() = path.parse().unwrap();
    let context = app.context_for(&request);
    request.extensions_mut().insert(context);
    let response = next.run(request).await;
    let names = response.headers().keys().map(ToString::to_string);
    (response.status(), names.collect())
}

#[tokio::test]
async fn all_forms_of_a_middleware_are_middleware() {
    let forms: [(Form, &str, &str); 7] = [
        (
            |arguments| from_layer(arguments, by_options_and_app),
            "stamp",
            "stamped",
        ),
        (
            |arguments| from_layer(arguments, by_options),
            "stamp",
            "stamped",
        ),
        (
            |arguments| from_layer(arguments, by_app),
            "other",
            "unittest",
        ),
        (
            |arguments| from_layer(arguments, by_nothing),
            "other",
            "bare",
        ),
        (|arguments| from_async(arguments, bare), "other", "bare"),
        (
            |arguments| from_async(arguments, with_options),
            "stamp",
            "stamped",
        ),
        (
            |arguments| from_async(arguments, with_all),
            "stamp",
            "stamped-unittest",
        ),
    ];
    for (form, name, header) in forms {
        let expected = (StatusCode::OK, vec![header.to_owned()]);
        assert_eq!(headers(form, name, "/").await, expected);
    }
    let with_context: Form = |arguments| from_async(arguments, with_context);
    let expected = (StatusCode::OK, vec!["unittest".to_owned()]);
    assert_eq!(headers(with_context, "other", "/").await, expected);
    let (status, _) = headers(with_context, "other", "/refused").await;
    assert_eq!(status, StatusCode::FORBIDDEN);
}

#[test]
fn an_option_that_a_middleware_does_not_know_is_an_error() {
    let app = application(&serde_json::json!({
        "middleware": { "stamp": { "name": "stamped", "nmae": 1 }, "bare": { "name": "x" } },
    }));
    let make = |name, form: Form| {
        let arguments = MiddlewareArguments { app: &app, name };
        form(&arguments).err().unwrap().to_string()
    };
    assert_eq!(
        make("stamp", |arguments| from_layer(arguments, by_options)),
        "effective configuration: unknown key `middleware.stamp.nmae`, did you mean `name`?"
    );
    assert_eq!(
        make("bare", |arguments| from_async(arguments, bare)),
        "effective configuration: unknown key `middleware.bare.name`"
    );
}

#[tokio::test]
async fn a_panic_before_the_future_or_in_it_is_a_500_for_what_lies_around() {
    let end = Next::new(axum::Router::new());
    let at_once = from_fn(|_: Request, _: Next| -> Ready<StatusCode> { panic!("on purpose") });
    let later = from_fn(async |_: Request, _: Next| -> StatusCode { panic!("on purpose") });
    let predicates =
        Predicates::from([("panics", (|_| panic!("on purpose")) as fn(&Parts) -> bool)]);
    let filter = Filter::new(&json!({ "predicate": "panics" }), true, &predicates).unwrap();
    for next in [
        end.clone().wrap(&at_once),
        end.clone().wrap(&later),
        Arc::new(filter).between(end.clone(), end),
    ] {
        let response = next.run(Request::new(axum::body::Body::empty())).await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
