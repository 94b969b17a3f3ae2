//! Errors as responses, in the form that a client wants.

use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use http::{HeaderMap, HeaderValue, Method};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::{Error, Wanted, page, reason};
use crate::Context;

/// Longest text that is wrapped as JSON, in bytes; what axum's extractors say is far shorter.
const WRAPPED_BYTES_MAX: u64 = 4096;

/// Gives the response of an error the body that its client wants.
pub(crate) fn answer(context: &Context, error: &Error, response: &mut Response) {
    let shows_detail = context.app().state().shows_detail;
    let message = error.message_for_client(shows_detail);
    let (kind, body) = match context.wanted() {
        Wanted::Json => (JSON, json(error, &message, shows_detail).to_string()),
        Wanted::Html if shows_detail => (HTML, page::detailed(context, error, &message)),
        Wanted::Html => (HTML, page::bare(error.status(), &message)),
        Wanted::Text if shows_detail => (TEXT, text(error, message)),
        Wanted::Text => (TEXT, message),
    };
    replace(response, is_head(context), kind, body);
}

fn is_head(context: &Context) -> bool {
    context.method() == Method::HEAD
}

/// Whether an error status comes without a word, as the router's own 404 and 405 do.
pub(crate) fn nothing_to_say(context: &Context, response: &Response) -> bool {
    let is_error = response.status().is_client_error() || response.status().is_server_error();
    if !is_error || response.body().size_hint().exact() != Some(0) {
        return false;
    }
    // To a HEAD, the headers alone tell of the body that a GET has.
    let headers = response.headers();
    !is_head(context)
        || match headers.get(CONTENT_LENGTH) {
            Some(length) => length == "0",
            None => !headers.contains_key(CONTENT_TYPE),
        }
}

/// Gives a response without a body the one that its client wants.
pub(crate) fn say_reason(context: &Context, response: &mut Response) {
    let status = response.status();
    let message = reason(status);
    let (kind, body) = match context.wanted() {
        Wanted::Json => (JSON, json!({ "message": message }).to_string()),
        Wanted::Html => (HTML, page::bare(status, message)),
        Wanted::Text => (TEXT, message.to_owned()),
    };
    replace(response, is_head(context), kind, body);
}

/// Whether a response is text about a client's mistake, as axum's extractors write it, where the
/// client wants JSON.
pub(crate) fn is_to_be_wrapped(context: &Context, response: &Response) -> bool {
    let headers = response.headers();
    let length = response.body().size_hint().exact();
    response.status().is_client_error()
        && headers.get(CONTENT_TYPE).is_some_and(|kind| kind == TEXT)
        && !headers.contains_key(CONTENT_ENCODING)
        && length.is_some_and(|length| length <= WRAPPED_BYTES_MAX)
        && context.wanted() == Wanted::Json
}

/// The text as JSON.
pub(crate) async fn wrap(mut response: Response, method: Method) -> Response {
    if method == Method::HEAD {
        // The text is gone, and with it the length of its JSON.
        relabel(response.headers_mut(), JSON);
        return response;
    }
    let (parts, body) = response.into_parts();
    let bytes = match body.collect().await {
        Ok(collected) => collected.to_bytes(),
        // The client would have seen its end come early.
        Err(_) => return Response::from_parts(parts, Body::empty()),
    };
    let message = String::from_utf8_lossy(&bytes);
    let mut response = Response::from_parts(parts, Body::empty());
    let body = json!({ "message": message }).to_string();
    replace(&mut response, false, JSON, body);
    response
}

const JSON: &str = "application/json";
const HTML: &str = "text/html; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

fn json(error: &Error, message: &str, shows_detail: bool) -> Value {
    let mut object = json!({ "message": message });
    if let Some(code) = error.code() {
        object["code"] = code.into();
    }
    if let Some(errors) = &error.0.errors
        && (shows_detail || error.is_exposed())
    {
        object["errors"] = errors.clone();
    }
    if shows_detail && error.status().is_server_error() {
        object["causes"] = error.causes().into();
        object["place"] = error.place().to_string().into();
    }
    object
}

fn text(error: &Error, mut message: String) -> String {
    if error.status().is_server_error() {
        for cause in error.causes() {
            message.push_str("\n  because ");
            message.push_str(&cause);
        }
        message.push_str("\n  at ");
        message.push_str(&error.place().to_string());
    }
    message.push('\n');
    message
}

/// The answer to a HEAD is that to a GET without its body.
fn replace(response: &mut Response, is_head: bool, kind: &'static str, body: String) {
    let headers = response.headers_mut();
    relabel(headers, kind);
    if is_head {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    *response.body_mut() = if is_head {
        Body::empty()
    } else {
        Body::from(body)
    };
}

fn relabel(headers: &mut HeaderMap, kind: &'static str) {
    // They speak of the body that was there before.
    for header in [CONTENT_LENGTH, CONTENT_ENCODING, ETAG] {
        headers.remove(header);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
}
