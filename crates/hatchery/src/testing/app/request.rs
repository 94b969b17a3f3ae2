//! A request of a test.

use std::fmt::Display;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use axum::Form;
use axum::response::IntoResponse as _;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, COOKIE, HeaderName};
use http::request::Builder;
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde::Serialize;
use tokio::sync::oneshot;

use super::host::{Ask, Door};
use super::response::TestResponse;

/// A request without a method yet: see [`TestApp::http_request`](super::TestApp::http_request).
#[must_use = "nothing is asked yet"]
#[derive(Clone, Debug)]
pub struct HttpRequest(Door);

impl HttpRequest {
    pub(super) fn new(door: Door) -> Self {
        Self(door)
    }

    /// A GET of `path`, which may have a query.
    pub fn get(self, path: impl AsRef<str>) -> TestRequest {
        self.method(Method::GET, path)
    }

    /// A HEAD.
    pub fn head(self, path: impl AsRef<str>) -> TestRequest {
        self.method(Method::HEAD, path)
    }

    /// A POST.
    pub fn post(self, path: impl AsRef<str>) -> TestRequest {
        self.method(Method::POST, path)
    }

    /// A PUT.
    pub fn put(self, path: impl AsRef<str>) -> TestRequest {
        self.method(Method::PUT, path)
    }

    /// A PATCH.
    pub fn patch(self, path: impl AsRef<str>) -> TestRequest {
        self.method(Method::PATCH, path)
    }

    /// A DELETE.
    pub fn delete(self, path: impl AsRef<str>) -> TestRequest {
        self.method(Method::DELETE, path)
    }

    /// An OPTIONS.
    pub fn options(self, path: impl AsRef<str>) -> TestRequest {
        self.method(Method::OPTIONS, path)
    }

    /// Any method.
    pub fn method(self, method: Method, path: impl AsRef<str>) -> TestRequest {
        let path = path.as_ref();
        TestRequest {
            door: self.0,
            title: format!("{method} {path}"),
            request: Request::builder().method(method).uri(path),
            body: Bytes::new(),
            peer: None,
        }
    }
}

/// A request of a test. What is wrong with it is told by [`send`](Self::send), with a panic.
#[must_use = "nothing is asked yet"]
#[derive(Debug)]
pub struct TestRequest {
    door: Door,
    title: String,
    request: Builder,
    body: Bytes,
    peer: Option<SocketAddr>,
}

impl TestRequest {
    /// Adds a header.
    pub fn header<K, V>(mut self, name: K, value: V) -> Self
    where
        K: TryInto<HeaderName>,
        K::Error: Into<http::Error>,
        V: TryInto<HeaderValue>,
        V::Error: Into<http::Error>,
    {
        self.request = self.request.header(name, value);
        self
    }

    /// Adds a cookie.
    pub fn cookie(self, name: &str, value: impl Display) -> Self {
        self.header(COOKIE, format!("{name}={value}"))
    }

    /// A body of JSON.
    #[track_caller]
    pub fn json<T: Serialize + ?Sized>(self, value: &T) -> Self {
        let body = serde_json::to_vec(value).expect("it can be written as JSON");
        self.header(CONTENT_TYPE, "application/json").body(body)
    }

    /// A body as a form sends it.
    #[track_caller]
    pub fn form<T: Serialize>(self, value: &T) -> Self {
        let body = form_text(value);
        self.header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body)
    }

    /// A body as it is.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// The other end of the connection, for what looks at it.
    pub fn peer(mut self, address: SocketAddr) -> Self {
        self.peer = Some(address);
        self
    }

    /// Asks, and waits for the whole answer. Panics where there is none: a request that cannot be
    /// made, a body that breaks off, no end in time.
    pub async fn send(self) -> TestResponse {
        let Self {
            door,
            title,
            request,
            body,
            peer,
        } = self;
        let request = request.body(body);
        let request = request.unwrap_or_else(|error| panic!("{title}: {error}"));
        let (tell, told) = oneshot::channel();
        let ask = Ask {
            request,
            peer,
            tell,
        };
        assert!(door.send(ask).is_ok(), "{title}: the application is closed");
        match told.await {
            Ok(Ok(response)) => TestResponse::new(title, response),
            Ok(Err(reason)) => panic!("{title}: {reason}"),
            // As it is served: the worker lives on.
            Err(_) => {
                let mut response = http::Response::new(Bytes::from("Internal Server Error"));
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                TestResponse::new(title, response)
            }
        }
    }
}

/// What a form's body is, with axum's own encoder.
#[track_caller]
fn form_text<T: Serialize>(value: &T) -> Bytes {
    let response = Form(value).into_response();
    let is_good = response.status() == StatusCode::OK;
    let body = pin!(response.into_body().collect());
    let Poll::Ready(Ok(body)) = body.poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("a form's body is there at once");
    };
    let body = body.to_bytes();
    assert!(is_good, "{}", body.escape_ascii());
    body
}
