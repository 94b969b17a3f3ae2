//! What handlers by name return, as a response.

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderValue, header};
use serde::Serialize;

use crate::Error;

/// A handler's return value.
#[doc(hidden)]
#[derive(Debug)]
pub enum Reply {
    /// Anything but a string.
    Json(Bytes),
    Text(String),
    /// A response of the handler's own, or an error's.
    Response(Response),
}

/// What a handler may return: a value that can be serialised, a response, or a `Result` of either.
/// `M` tells them apart.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`",
    note = "it returns what is `serde::Serialize`, or `hatchery::response::Response`, or a `Result` \
            of either whose error is a response, as `hatchery::Error` is"
)]
pub trait IntoReply<M> {
    fn into_reply(self) -> Reply;
}

/// Markers of [`IntoReply`].
#[doc(hidden)]
#[derive(Debug)]
pub enum Plain {}
#[doc(hidden)]
#[derive(Debug)]
pub enum Fallible {}
#[doc(hidden)]
#[derive(Debug)]
pub enum Made {}

impl<T: Serialize> IntoReply<Plain> for T {
    fn into_reply(self) -> Reply {
        let bytes = match serde_json::to_vec(&self) {
            Ok(bytes) => bytes,
            Err(error) => return Reply::internal(error),
        };
        if bytes.first() != Some(&b'"') {
            return Reply::Json(bytes.into());
        }
        match serde_json::from_slice(&bytes) {
            Ok(text) => Reply::Text(text),
            Err(error) => Reply::internal(error),
        }
    }
}

impl IntoReply<Made> for Response {
    fn into_reply(self) -> Reply {
        Reply::Response(self)
    }
}

impl<T, E, M> IntoReply<(Fallible, M)> for Result<T, E>
where
    T: IntoReply<M>,
    E: IntoResponse,
{
    fn into_reply(self) -> Reply {
        match self {
            Ok(value) => value.into_reply(),
            Err(error) => Reply::Response(error.into_response()),
        }
    }
}

impl Reply {
    fn internal(error: serde_json::Error) -> Self {
        let what = Error::internal("the handler's return value is not JSON");
        Self::Response(what.with_source(error).into_response())
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        match self {
            Self::Json(bytes) => {
                let json = HeaderValue::from_static("application/json");
                ([(header::CONTENT_TYPE, json)], bytes).into_response()
            }
            Self::Text(text) => text.into_response(),
            Self::Response(response) => response,
        }
    }
}
