//! The outermost layer: makes a request's context, and sees its response out.

use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context as Turn, Poll, ready};

use axum::extract::Request;
use axum::response::Response;
use http::HeaderValue;
use http::header::{HeaderName, SET_COOKIE};

use super::Context;
use crate::Application;
use crate::error::{self, Raised};
use crate::events::ErrorOrigin;
use crate::middleware::{Answering, Next};

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The way into an application: everything that it serves comes through here. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    app: Application,
    next: Next,
}

impl Entry {
    /// Into the middleware and the routes after it.
    pub(crate) fn new(app: Application, next: Next) -> Self {
        Self { app, next }
    }

    /// Answers one request. `peer` is the other end of its connection, if that has an address.
    pub(crate) fn call(&self, mut request: Request, peer: Option<SocketAddr>) -> Entering {
        let context = Context::new(self.app.clone(), &request, peer);
        self.app.state().events.request(&context);
        request.extensions_mut().insert(context.clone());
        let answer = Answer::Comes(self.next.answer(request));
        Entering { context, answer }
    }
}

/// The future of one response; it never fails.
pub(crate) struct Entering {
    context: Context,
    answer: Answer,
}

#[expect(
    clippy::large_enum_variant,
    reason = "a box for each request costs more"
)]
enum Answer {
    Comes(Answering),
    /// An error's text becomes what the client wants, or a session is saved.
    Rewritten(Pin<Box<dyn Future<Output = Response> + Send>>),
}

impl Future for Entering {
    type Output = Response;

    fn poll(mut self: Pin<&mut Self>, turn: &mut Turn<'_>) -> Poll<Response> {
        let this = &mut *self;
        let Ok(mut response) = match &mut this.answer {
            Answer::Comes(answer) => ready!(Pin::new(answer).poll(turn)),
            Answer::Rewritten(response) => Ok(ready!(response.as_mut().poll(turn))),
        };
        #[cfg(feature = "session")]
        if let Some(saving) = crate::session::leave(&this.context, &mut response) {
            this.answer = Answer::Rewritten(saving);
            return self.poll(turn);
        }
        let status = response.status();
        if status.is_client_error() || status.is_server_error() {
            if error::is_to_be_wrapped(&this.context, &response)
                && response.extensions().get::<Raised>().is_none()
            {
                let mut rewritten = Box::pin(error::wrap(response, this.context.method().clone()));
                let Poll::Ready(wrapped) = rewritten.as_mut().poll(turn) else {
                    this.answer = Answer::Rewritten(rewritten);
                    return Poll::Pending;
                };
                response = wrapped;
            }
            explain(&this.context, &mut response);
        }
        see_out(&this.context, &mut response);
        Poll::Ready(response)
    }
}

/// Gives an error the body that its client wants, and reports it.
fn explain(context: &Context, response: &mut Response) {
    if let Some(Raised(error)) = response.extensions_mut().remove() {
        context
            .app()
            .report(&error, &ErrorOrigin::Request, Some(context));
        error::answer(context, &error, response);
    } else if error::nothing_to_say(context, response) {
        error::say_reason(context, response);
    }
}

/// What every response carries.
fn see_out(context: &Context, response: &mut Response) {
    let state = context.app().state();
    if let Some(extras) = context.data.extras.get() {
        for cookie in extras.cookies.changed() {
            if let Ok(value) = HeaderValue::try_from(cookie) {
                response.headers_mut().append(SET_COOKIE, value);
            }
        }
    }
    let id = if state.request_id_header {
        Some(context.request_id())
    } else {
        context.used_request_id()
    };
    if let Some(id) = id
        && let Ok(value) = HeaderValue::try_from(id)
    {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    state.events.response(context, response.status());
}
