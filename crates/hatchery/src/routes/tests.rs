//! Handlers by name: what comes in, what comes out.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Event, Input, NamedHandler, named};
use crate::middleware::tests::application;
use crate::{Application, Context};

#[derive(Deserialize, Serialize)]
struct Post {
    title: String,
    stars: u8,
}

async fn typed(Event(post): Event<Post>, ctx: Context) -> Vec<Value> {
    vec![json!(ctx.app().env()), json!(post)]
}

async fn any(event: Value) -> Value {
    event
}

async fn refuse(_: Event<Value>, app: Application) -> Result<Post, (StatusCode, String)> {
    Err((StatusCode::CONFLICT, app.env().to_owned()))
}

async fn own() -> Response {
    StatusCode::IM_A_TEAPOT.into_response()
}

async fn answer(handler: Box<dyn NamedHandler>, request: Request) -> (StatusCode, String, String) {
    let app = application(&json!({}));
    let context = app.context_for(&request);
    let (mut parts, body) = request.into_parts();
    parts.extensions.insert(context);
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let response = match Input::new(&parts, body) {
        Ok(input) => handler.call(parts, input).await.into_response(),
        Err(error) => error.into_response(),
    };
    let kind = response.headers().get("content-type");
    let kind = kind.map(|kind| kind.to_str().unwrap().to_owned());
    let status = response.status();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    (status, kind.unwrap_or_default(), body)
}

fn get(uri: &str) -> Request {
    Request::get(uri).body(Body::empty()).unwrap()
}

fn post(kind: &str, body: &'static str) -> Request {
    let request = Request::post("/").header("content-type", kind);
    request
        .body(Body::from(Bytes::from_static(body.as_bytes())))
        .unwrap()
}

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

#[tokio::test]
async fn an_event_is_json_a_form_or_the_query() {
    let expected = r#"["unittest",{"stars":5,"title":"A"}]"#;
    for request in [
        get("/?title=A&stars=5"),
        post(FORM, "title=A&stars=5"),
        post(JSON, r#"{"title":"A","stars":5}"#),
        post(
            "application/vnd.api+json; charset=utf-8",
            r#"{"title":"A","stars":5}"#,
        ),
    ] {
        let answer = answer(named(typed), request).await;
        assert_eq!(
            answer,
            (StatusCode::OK, JSON.to_owned(), expected.to_owned())
        );
    }
    let (_, _, body) = answer(named(any), get("/?a=1&b=x&a=2")).await;
    assert_eq!(body, r#"{"a":["1","2"],"b":"x"}"#);
}

#[tokio::test]
async fn what_came_in_and_does_not_fit_is_the_clients_mistake() {
    for (request, status, text) in [
        (
            post(JSON, r#"{"title":"#),
            StatusCode::BAD_REQUEST,
            "the body is not JSON: EOF while parsing a value at line 1 column 9",
        ),
        (
            post(JSON, r#"{"title":"A"}"#),
            StatusCode::BAD_REQUEST,
            "what came in is not as wanted: missing field `stars` at line 1 column 13",
        ),
        (
            get("/?title=A&stars=many"),
            StatusCode::BAD_REQUEST,
            "the fields are not as wanted: invalid digit found in string",
        ),
        (
            post("text/plain", "title"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "a body of type text/plain is neither JSON nor a form",
        ),
    ] {
        let (got, _, body) = answer(named(typed), request).await;
        assert_eq!((got, body.as_str()), (status, text));
    }
}

/// Vemo turned `0`, `false`, `""` and `null` into `{}`.
#[tokio::test]
async fn return_values_stay_what_they_are() {
    let text = "text/plain; charset=utf-8";
    for (value, kind, body) in [
        (json!(0), JSON, "0"),
        (json!(false), JSON, "false"),
        (json!(null), JSON, "null"),
        (json!([]), JSON, "[]"),
        (json!(""), text, ""),
        (json!("a \"word\""), text, "a \"word\""),
    ] {
        let handler = named(move || std::future::ready(value.clone()));
        let expected = (StatusCode::OK, kind.to_owned(), body.to_owned());
        assert_eq!(answer(handler, get("/")).await, expected);
    }
    let (status, _, body) = answer(named(refuse), get("/")).await;
    assert_eq!((status, body.as_str()), (StatusCode::CONFLICT, "unittest"));
    assert_eq!(
        answer(named(own), get("/")).await.0,
        StatusCode::IM_A_TEAPOT
    );
}
