//! What comes in, as handlers by name get it.

use serde_json::map::Entry;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::request::Parts;
use http::{Method, StatusCode, Uri, header};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// What a request brings: its body, JSON or a form; with `GET` and `HEAD` (and where there is no
/// body) its query.
#[derive(Clone, Copy, Debug, Default)]
pub struct Event<T>(pub T);

/// What came in, before it has a type.
#[doc(hidden)]
#[derive(Clone, Debug)]
pub enum Input {
    /// The query of a request without a body.
    Query(Uri),
    Json(Bytes),
    Form(Bytes),
    /// Looked through already.
    Checked {
        value: Value,
        /// What it was before: fields are text.
        fields: Option<Box<Input>>,
    },
}

/// What the first argument of a handler is made of.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "a handler cannot take `{Self}` first",
    note = "the first argument is `Event<T>` with a `T` that is `serde::Deserialize`, or \
            `serde_json::Value`; extractors such as `Context` come after it"
)]
pub trait FromInput: Sized {
    fn from_input(input: Input) -> Result<Self, InputError>;
}

/// What came in is not what the handler takes.
#[doc(hidden)]
#[derive(Debug)]
pub struct InputError {
    status: StatusCode,
    text: String,
}

impl Input {
    /// What is in `body`, which has been read.
    pub(super) fn new(parts: &Parts, body: Bytes) -> Result<Self, InputError> {
        let is_read = parts.method == Method::GET || parts.method == Method::HEAD;
        if is_read || body.is_empty() {
            return Ok(Self::Query(parts.uri.clone()));
        }
        let kind = parts.headers.get(header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        let kind = kind.to_ascii_lowercase();
        match kind.as_str() {
            "application/x-www-form-urlencoded" => Ok(Self::Form(body)),
            "application/json" => Ok(Self::Json(body)),
            _ if kind.ends_with("+json") => Ok(Self::Json(body)),
            _ => Err(InputError {
                status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
                text: match kind.as_str() {
                    // A page elsewhere may send such a one without asking the browser.
                    "" => "a body without content-type: say whether it is JSON or a form".into(),
                    kind => format!("a body of type {kind} is neither JSON nor a form"),
                },
            }),
        }
    }

    /// Whether it is fields of text, and no JSON.
    #[cfg(feature = "validate")]
    pub(super) fn has_fields(&self) -> bool {
        matches!(self, Self::Query(_) | Self::Form(_))
    }

    /// As a type.
    fn read<T: DeserializeOwned>(self) -> Result<T, InputError> {
        let form = |bytes: &[u8]| {
            serde_urlencoded::from_bytes(bytes)
                .map_err(|error| InputError::bad(&format!("the fields are not as wanted: {error}")))
        };
        let json = |error: serde_json::Error| {
            let what = if error.is_data() {
                "what came in is not as wanted"
            } else {
                "the body is not JSON"
            };
            InputError::bad(&format!("{what}: {error}"))
        };
        match self {
            Self::Query(uri) => form(uri.query().unwrap_or_default().as_bytes()),
            Self::Form(body) => form(&body),
            Self::Json(body) => serde_json::from_slice(&body).map_err(json),
            Self::Checked {
                value,
                fields: None,
            } => serde_json::from_value(value).map_err(json),
            Self::Checked {
                value,
                fields: Some(fields),
            } => T::deserialize(&value).or_else(|_| fields.read()),
        }
    }

    /// Without a type. Fields of a form and of a query are strings; one that comes more than once
    /// is an array of them.
    pub(super) fn into_value(self) -> Result<Value, InputError> {
        match self {
            Self::Checked { value, .. } => return Ok(value),
            Self::Json(_) => return self.read(),
            Self::Query(_) | Self::Form(_) => {}
        }
        let pairs: Vec<(String, String)> = self.read()?;
        let mut fields = serde_json::Map::new();
        for (name, text) in pairs {
            match fields.entry(name) {
                Entry::Vacant(entry) => {
                    entry.insert(Value::String(text));
                }
                Entry::Occupied(mut entry) => match entry.get_mut() {
                    Value::Array(items) => items.push(Value::String(text)),
                    first => *first = Value::Array(vec![first.take(), Value::String(text)]),
                },
            }
        }
        Ok(Value::Object(fields))
    }
}

impl InputError {
    fn bad(text: &str) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            text: text.to_owned(),
        }
    }

    #[cfg(feature = "validate")]
    pub(super) fn into_error(self) -> crate::Error {
        crate::Error::new(self.status, self.text)
    }
}

impl IntoResponse for InputError {
    fn into_response(self) -> Response {
        (self.status, self.text).into_response()
    }
}

impl<T: DeserializeOwned> FromInput for Event<T> {
    fn from_input(input: Input) -> Result<Self, InputError> {
        input.read().map(Self)
    }
}

impl FromInput for Value {
    fn from_input(input: Input) -> Result<Self, InputError> {
        input.into_value()
    }
}
