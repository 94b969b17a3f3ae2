//! The handshake: an HTTP request that becomes a WebSocket (RFC 6455, section 4.2).

use std::fmt;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse as _, Response};
use http::header::{
    CONNECTION, HeaderName, HeaderValue, ORIGIN, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::WebSocket;
use super::handler::Outcome;
use super::session::Session;
use super::settings::{Options, Settings};
use crate::{Context, Error};

/// Bytes read at once.
const READ_BYTES: usize = 16 * 1024;

/// A request that can become a WebSocket: an extractor, for handlers that decide or choose
/// something first. Those that do not take a [`WebSocket`] itself.
///
/// ```
/// use hatchery::response::Response;
/// use hatchery::websocket::{Upgrade, WebSocket};
/// use hatchery::{Context, Error};
///
/// #[hatchery::get("/feed")]
/// async fn feed(upgrade: Upgrade, ctx: Context) -> Result<Response, Error> {
///     if ctx.header("authorization").is_none() {
///         return Err(Error::unauthorized("say who you are"));
///     }
///     let upgrade = upgrade.max_message(4096).protocols(&["feed.v2", "feed.v1"]);
///     Ok(upgrade.on(async move |mut socket: WebSocket| {
///         let _ = socket.send(format!("hello from {}", ctx.app().name())).await;
///     }))
/// }
/// ```
///
/// What is no handshake is refused with 400 or 426, a page of a foreign origin with 403, and
/// everything with 503 on a worker that drains: the next connection reaches another one.
pub struct Upgrade {
    context: Context,
    connection: OnUpgrade,
    accept: HeaderValue,
    /// What the client speaks, the best one first.
    offered: Vec<String>,
    protocol: Option<String>,
    settings: Settings,
}

impl Upgrade {
    /// The longest message that is read, in bytes; instead of `websocket.max_message`.
    #[must_use]
    pub fn max_message(mut self, bytes: u32) -> Self {
        self.settings.max_message = u64::from(bytes);
        self
    }

    /// The longest frame that is read, in bytes; instead of `websocket.max_frame`.
    #[must_use]
    pub fn max_frame(mut self, bytes: u32) -> Self {
        self.settings.max_frame = u64::from(bytes);
        self
    }

    /// What the handler speaks. The first one that the client speaks, too, is agreed upon; if there
    /// is none, nothing is, and clients that insist close the WebSocket.
    #[must_use]
    pub fn protocols<P: AsRef<str>>(mut self, known: &[P]) -> Self {
        let known = known.iter().map(AsRef::as_ref);
        self.protocol = known
            .map(str::to_owned)
            .find(|known| self.offered.contains(known));
        self
    }

    /// The answer that makes it a WebSocket, and what then speaks over it. What `handler` returns
    /// closes it: with 1000, an error (which is logged) with 1011, as a panic does.
    #[must_use = "it is the response"]
    pub fn on<F, Fut>(self, handler: F) -> Response
    where
        F: FnOnce(WebSocket) -> Fut + Send + 'static,
        Fut: Future<Output: Outcome> + Send + 'static,
    {
        let mut response = Response::default();
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, self.accept.clone());
        let protocol = self.protocol.as_deref();
        if let Some(Ok(protocol)) = protocol.map(HeaderValue::from_str) {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        tokio::spawn(self.run(handler));
        response
    }

    async fn run<F, Fut>(self, handler: F)
    where
        F: FnOnce(WebSocket) -> Fut + Send + 'static,
        Fut: Future<Output: Outcome> + Send + 'static,
    {
        // Else the client has gone meanwhile, or a middleware has answered something else.
        let Ok(upgraded) = self.connection.await else {
            return;
        };
        let limit = |bytes| Some(usize::try_from(bytes).unwrap_or(usize::MAX));
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BYTES)
            // A message goes out when it is sent.
            .write_buffer_size(0)
            .max_message_size(limit(self.settings.max_message))
            .max_frame_size(limit(self.settings.max_frame));
        let io = TokioIo::new(upgraded);
        let transport = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
        let mut session = Session::new(transport, self.context, &self.settings);
        let socket = WebSocket::new(session.shared().clone(), self.protocol);
        session.handle(move || {
            let handling = handler(socket);
            Box::pin(async move { handling.await.into_result() })
        });
        session.await;
    }
}

impl<S: Sync> FromRequestParts<S> for Upgrade {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        Self::of(parts).map_err(|refusal| match refusal {
            Refusal::Error(error) => error.into_response(),
            // Nothing is wrong, so it is no error for the log.
            Refusal::Draining => (
                StatusCode::SERVICE_UNAVAILABLE,
                [(CONNECTION, "close"), (RETRY_AFTER, "0")],
                "this worker is about to end: connect again",
            )
                .into_response(),
        })
    }
}

/// Why a request does not become a WebSocket.
enum Refusal {
    Error(Error),
    /// Its client is to go elsewhere, and not to ask here again.
    Draining,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl Upgrade {
    fn of(parts: &mut Parts) -> Result<Self, Refusal> {
        let context = parts.extensions.get::<Context>().cloned().ok_or_else(|| {
            Error::internal("no context: a WebSocket needs a route that Hatchery serves")
        })?;
        let accept = accept(&parts.method, &parts.headers)?;
        let app = context.app();
        if app.shutdown().has_come() {
            return Err(Refusal::Draining);
        }
        let settings = &app.state().websockets.settings;
        let options = parts.extensions.get::<RouteOptions>();
        let options = options.map(|RouteOptions(options)| Arc::clone(options));
        let settings = match &options {
            Some(options) => options.over(settings),
            None => settings.clone(),
        };
        check_origin(&settings, &context)?;
        let connection = parts.extensions.remove::<OnUpgrade>().ok_or_else(|| {
            let text = "this connection cannot become a WebSocket";
            Error::new(StatusCode::UPGRADE_REQUIRED, text)
        })?;
        let this = Self {
            context: context.owning(),
            connection,
            accept,
            offered: offered(&parts.headers),
            protocol: None,
            settings,
        };
        Ok(match options {
            Some(options) => this.protocols(&options.protocols),
            None => this,
        })
    }
}

/// What `options` of a route says, on its way to the handshake.
#[derive(Clone, Debug)]
pub(crate) struct RouteOptions(pub(crate) Arc<Options>);

/// Checks that it is a handshake. Returns the answer to its key.
fn accept(method: &Method, headers: &HeaderMap) -> Result<HeaderValue, Error> {
    let is_asked =
        has_word(headers, CONNECTION, "upgrade") && has_word(headers, UPGRADE, "websocket");
    if method != Method::GET || !is_asked {
        return Err(upgrade_required(
            "this is a WebSocket: connect with `Connection: Upgrade` and `Upgrade: websocket`",
        ));
    }
    let only = |name: HeaderName| {
        let mut values = headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => Some(value.as_bytes()),
            _ => None,
        }
    };
    if only(SEC_WEBSOCKET_VERSION) != Some(b"13") {
        return Err(upgrade_required("only version 13 of WebSocket is spoken")
            .with_header(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13")));
    }
    let key = only(SEC_WEBSOCKET_KEY).filter(|key| is_key(key));
    let key = key.ok_or_else(|| {
        Error::bad_request("`Sec-WebSocket-Key` must be there once, and be 16 bytes in Base64")
    })?;
    HeaderValue::try_from(derive_accept_key(key)).map_err(Error::from)
}

#[track_caller]
fn upgrade_required(text: &str) -> Error {
    Error::new(StatusCode::UPGRADE_REQUIRED, text)
        .with_header(UPGRADE, HeaderValue::from_static("websocket"))
        .with_header(CONNECTION, HeaderValue::from_static("Upgrade"))
}

/// Whether one of a header's comma-separated words is this one.
fn has_word(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    let lines = headers.get_all(name).iter();
    lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .any(|one| one.trim().eq_ignore_ascii_case(word))
}

/// Whether it is Base64 of 16 bytes.
fn is_key(key: &[u8]) -> bool {
    let digit = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/".contains(byte);
    key.len() == 24 && key.ends_with(b"==") && key[..22].iter().all(digit)
}

/// What the client speaks, the best one first.
fn offered(headers: &HeaderMap) -> Vec<String> {
    let lines = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(|one| one.trim().to_owned())
        .collect()
}

fn check_origin(settings: &Settings, context: &Context) -> Result<(), Error> {
    let Some(origin) = context.headers().get(ORIGIN) else {
        return Ok(());
    };
    let origin = String::from_utf8_lossy(origin.as_bytes());
    if settings.origins.allow(&origin, context.host()) {
        return Ok(());
    }
    Err(Error::forbidden(format!(
        "pages of {origin} may not connect: `websocket.origins` says which ones may"
    )))
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgrade")
            .field("context", &self.context)
            .field("protocol", &self.protocol)
            .finish_non_exhaustive()
    }
}
