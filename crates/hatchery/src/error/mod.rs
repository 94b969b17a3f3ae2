//! Errors of handlers, and what clients and logs see of them.

mod answer;
mod page;
mod wanted;

use std::error::Error as StdError;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

use axum::extract::rejection::{
    BytesRejection, FormRejection, JsonRejection, PathRejection, QueryRejection,
};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, IntoHeaderName};
use http::{HeaderMap, HeaderValue, StatusCode};

pub(crate) use answer::{answer, is_to_be_wrapped, nothing_to_say, say_reason, wrap};
pub(crate) use wanted::Wanted;

use crate::events::ErrorOrigin;
use crate::{BoxError, Context};

/// Why a request cannot be answered as it wants: a status, and what is behind it.
///
/// A handler returns `Result<_, hatchery::Error>`; `?` makes one of any error, with the status 500.
/// The client gets JSON, HTML or text, whichever it prefers. It sees the message of a 4xx; of a 5xx
/// only in the environments `local` and `unittest`. The log has all of it, causes and place too,
/// 4xx as warnings, 5xx as errors, and `error` listeners hear of it.
///
/// ```
/// use hatchery::Error;
/// use hatchery::extract::Path;
///
/// async fn show(Path(id): Path<String>) -> Result<String, Error> {
///     let id: u32 = id.parse().map_err(|_| Error::bad_request("the id is no number"))?;
///     let text = std::fs::read_to_string(format!("posts/{id}.txt"))?;
///     Ok(text)
/// }
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    status: StatusCode,
    /// What was said of it here; otherwise its source speaks.
    message: Option<String>,
    code: Option<String>,
    expose: Option<bool>,
    headers: HeaderMap,
    errors: Option<serde_json::Value>,
    source: Option<BoxError>,
    place: &'static Location<'static>,
}

impl Error {
    /// With a status and a message: what has happened, and what to do.
    #[track_caller]
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self::made(status, Some(message.into()), None)
    }

    /// Of an error in a box, with the status 500.
    #[track_caller]
    pub fn from_boxed(error: BoxError) -> Self {
        let status = status_of(&*error);
        Self::made(status, None, Some(error))
    }

    #[track_caller]
    fn made(status: StatusCode, message: Option<String>, source: Option<BoxError>) -> Self {
        Self(Box::new(Inner {
            status,
            message,
            code: None,
            expose: None,
            headers: HeaderMap::new(),
            errors: None,
            source,
            place: Location::caller(),
        }))
    }

    /// 400: the request makes no sense.
    #[track_caller]
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 401: who asks must say who they are.
    #[track_caller]
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, message)
    }

    /// 403: who asks may not have it.
    #[track_caller]
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    /// 404: there is no such thing.
    #[track_caller]
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// 500: it is our own fault.
    #[track_caller]
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    /// The same with another status.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.0.status = status;
        self
    }

    /// The same with a code that clients can compare: `code` in JSON.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.0.code = Some(code.into());
        self
    }

    /// The same with a header for the response.
    #[must_use]
    pub fn with_header(mut self, name: impl IntoHeaderName, value: HeaderValue) -> Self {
        self.0.headers.append(name, value);
        self
    }

    /// The same with details for the client, say what is wrong with which field: `errors` in JSON,
    /// shown where the message is.
    #[must_use]
    pub fn with_errors(mut self, errors: serde_json::Value) -> Self {
        self.0.errors = Some(errors);
        self
    }

    /// The same with another error as its cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Whether clients see the message in every environment, whatever the status.
    #[must_use]
    pub fn expose(mut self, expose: bool) -> Self {
        self.0.expose = Some(expose);
        self
    }

    /// The status of the response.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The code that clients can compare.
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// The cause.
    pub fn source(&self) -> Option<&(dyn StdError + Send + Sync + 'static)> {
        self.0.source.as_deref()
    }

    /// Where it was made: the line of the `?`, or of the constructor.
    pub fn place(&self) -> &'static Location<'static> {
        self.0.place
    }

    /// Whether clients see the message.
    pub(crate) fn is_exposed(&self) -> bool {
        let expose = self.0.expose;
        expose.unwrap_or_else(|| self.0.status.is_client_error())
    }

    /// Its causes, the nearest first; what stands in as the message is none of them.
    pub(crate) fn causes(&self) -> Vec<String> {
        let mut next = self.source().map(|source| source as &dyn StdError);
        if self.0.message.is_none() {
            next = next.and_then(StdError::source);
        }
        std::iter::successors(next, |error: &&dyn StdError| StdError::source(*error))
            .map(ToString::to_string)
            .collect()
    }

    /// What a client may read.
    fn message_for_client(&self, shows_detail: bool) -> String {
        if shows_detail || self.is_exposed() {
            self.to_string()
        } else {
            reason(self.0.status).to_owned()
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.0.message, &self.0.source) {
            (Some(message), _) => f.write_str(message),
            (None, Some(source)) => source.fmt(f),
            (None, None) => f.write_str(reason(self.0.status)),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {self}", self.0.status.as_u16())?;
        for cause in self.causes() {
            write!(f, ": {cause}")?;
        }
        write!(f, " ({})", self.0.place)
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for Error {
    #[track_caller]
    fn from(error: E) -> Self {
        let status = status_of(&error);
        Self::made(status, None, Some(Box::new(error)))
    }
}

/// What axum's extractors refuse is the client's fault; of all others nothing is known.
fn status_of(error: &(dyn StdError + 'static)) -> StatusCode {
    macro_rules! rejections {
        ($($rejection:ty),+) => {
            $(if let Some(rejection) = error.downcast_ref::<$rejection>() {
                return rejection.status();
            })+
        };
    }
    rejections!(
        JsonRejection,
        FormRejection,
        QueryRejection,
        PathRejection,
        BytesRejection
    );
    StatusCode::INTERNAL_SERVER_ERROR
}

/// What the standard calls a status.
fn reason(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or("Error")
}

/// A response's error, on its way out to who knows what the client wants.
#[derive(Clone)]
pub(crate) struct Raised(pub(crate) Arc<Error>);

impl IntoResponse for Error {
    /// Text that says no more than any client may read. On its way out through the framework it
    /// becomes what this client wants.
    fn into_response(self) -> Response {
        let mut response = (self.0.status, self.message_for_client(false)).into_response();
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, text);
        response.headers_mut().extend(self.0.headers.clone());
        response.extensions_mut().insert(Raised(Arc::new(self)));
        response
    }
}

/// Writes an error to the log: what the client did wrong as a warning.
pub(crate) fn log(error: &Error, origin: &ErrorOrigin, context: Option<&Context>) {
    let mut line = error.to_string();
    for cause in error.causes() {
        // Many errors repeat their cause's text in their own.
        if !line.contains(&cause) {
            line = format!("{line}: {cause}");
        }
    }
    let status = error.status();
    if *origin == ErrorOrigin::Request {
        line = format!("{line} ({}, {})", status.as_u16(), error.place());
    }
    match context.map(Context::logger) {
        Some(logger) if status.is_client_error() => logger.warn(line),
        Some(logger) => logger.error(line),
        None => tracing::error!("{line}"),
    }
}

#[cfg(test)]
mod tests;
