//! One request: into the router, and its response out of it.

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::extract::DefaultBodyLimit;
use axum::response::Response;
use http::header::{CONNECTION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;

use super::body::{RequestBody, ResponseBody};
use super::endpoint::{Endpoint, Running};
use super::shed;
use super::state::{InFlight, Shared};

/// What extractors of axum read at most when nothing else is said, in bytes.
const AXUM_BODY_LIMIT: u64 = 2 * 1024 * 1024;

/// A connection's way into the application.
#[derive(Debug)]
pub(super) struct Service {
    /// In a cell because the router's `call` wants `&mut`, though it changes nothing.
    endpoint: RefCell<Endpoint>,
    body_limit: Option<DefaultBodyLimit>,
    /// The other end, where it has an address and somebody can ask for it.
    peer: Option<SocketAddr>,
    shared: Arc<Shared>,
}

/// The limit to put on each request with a body; none when it is axum's own.
pub(crate) fn body_limit(bytes: u64) -> Option<DefaultBodyLimit> {
    let limit = usize::try_from(bytes).unwrap_or(usize::MAX);
    (bytes != AXUM_BODY_LIMIT).then(|| DefaultBodyLimit::max(limit))
}

impl Service {
    pub(super) fn new(
        endpoint: Endpoint,
        body_limit: Option<DefaultBodyLimit>,
        peer: Option<SocketAddr>,
        shared: Arc<Shared>,
    ) -> Self {
        Self {
            endpoint: RefCell::new(endpoint),
            body_limit,
            peer,
            shared,
        }
    }

    fn body(&self, incoming: Incoming) -> Body {
        if incoming.is_end_stream() {
            // Most requests have none; this one needs no box.
            Body::empty()
        } else if self.shared.is_http2() {
            Body::new(incoming)
        } else {
            Body::new(RequestBody::new(incoming, Arc::clone(&self.shared)))
        }
    }
}

impl hyper::service::Service<Request<Incoming>> for Service {
    type Response = http::Response<ResponseBody>;
    type Error = Infallible;
    type Future = Serving;

    fn call(&self, request: Request<Incoming>) -> Serving {
        let in_flight = InFlight::begin(&self.shared, request.method(), request.uri());
        let is_connect = request.method() == Method::CONNECT;
        let has_body = !request.body().is_end_stream();
        let mut request = request.map(|incoming| self.body(incoming));
        if self.shared.thread().load().is_excessive() {
            self.shared.thread().page().refused_add(1);
            return Serving {
                route: Route::Refused,
                in_flight: Some(in_flight),
                is_connect,
            };
        }
        if let (true, Some(limit)) = (has_body, self.body_limit) {
            limit.apply(&mut request);
        }
        // Handlers run in the future, but layers and plain services may do work in `call`.
        let call = AssertUnwindSafe(|| self.endpoint.borrow_mut().call(request, self.peer));
        let running = in_flight.run();
        let route = catch_unwind(call).map_or(Route::Panicked, Route::Runs);
        drop(running);
        Serving {
            route,
            in_flight: Some(in_flight),
            is_connect,
        }
    }
}

/// The future of one response.
pub(super) struct Serving {
    route: Route,
    in_flight: Option<InFlight>,
    is_connect: bool,
}

/// Where a response comes from.
#[expect(clippy::large_enum_variant, reason = "nearly all are the large one")]
enum Route {
    /// The application.
    Runs(Running),
    /// The application's code panicked, or this is over.
    Panicked,
    /// It was one request too many.
    Refused,
}

impl Future for Serving {
    type Output = Result<http::Response<ResponseBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let running = this.in_flight.as_ref().map(InFlight::run);
        let polled = poll_route(&mut this.route, cx);
        drop(running);
        let mut response = ready!(polled);
        // A future that is polled after its end is hyper's mistake; it gets no answer.
        let Some(in_flight) = this.in_flight.take() else {
            return Poll::Pending;
        };
        let shared = in_flight.shared();
        let status = response.status();
        let is_upgrade =
            status == StatusCode::SWITCHING_PROTOCOLS || (this.is_connect && status.is_success());
        if is_upgrade {
            shared.upgrade();
        } else if shared.thread().is_closing() && !shared.is_http2() {
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Poll::Ready(Ok(response.map(|body| ResponseBody::new(body, in_flight))))
    }
}

/// A panic is answered 500. The panic hook has written its message to stderr by then.
fn poll_route(route: &mut Route, cx: &mut Context<'_>) -> Poll<Response> {
    let future = match route {
        Route::Runs(future) => future,
        Route::Panicked => return Poll::Ready(internal_server_error()),
        Route::Refused => return Poll::Ready(shed::refusal()),
    };
    if let Ok(poll) = catch_unwind(AssertUnwindSafe(|| Pin::new(future).poll(cx))) {
        return poll;
    }
    // What the handler held is in an unknown state: drop it now, and let a panic in one of its
    // destructors not take the connection with it.
    let rest = std::mem::replace(route, Route::Panicked);
    let _ = catch_unwind(AssertUnwindSafe(|| drop(rest)));
    Poll::Ready(internal_server_error())
}

fn internal_server_error() -> Response {
    let mut response = Response::new(Body::from("Internal Server Error"));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    let text = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, text);
    response
}
