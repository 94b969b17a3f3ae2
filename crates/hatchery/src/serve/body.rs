//! Bodies that say when they end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;

use super::state::{InFlight, Shared};

/// The body of an HTTP/1.1 request. It says whether the client may still be sending: then the
/// connection is no idle one, and closing it at once could destroy the response on its way.
#[derive(Debug)]
pub(super) struct RequestBody {
    incoming: Incoming,
    shared: Arc<Shared>,
}

impl RequestBody {
    pub(super) fn new(incoming: Incoming, shared: Arc<Shared>) -> Self {
        shared.body_begun();
        Self { incoming, shared }
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.incoming).poll_frame(cx);
        self.shared.body_awaited(frame.is_pending());
        if matches!(frame, Poll::Ready(None)) || self.incoming.is_end_stream() {
            self.shared.body_done();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        self.shared.body_awaited(false);
        self.shared.body_dropped();
    }
}

/// A response's body; its request counts as in flight while it lives.
#[derive(Debug)]
pub(super) struct ResponseBody {
    body: Body,
    in_flight: InFlight,
}

impl ResponseBody {
    pub(super) fn new(body: Body, in_flight: InFlight) -> Self {
        Self { body, in_flight }
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        // Streams are the application's code.
        let _running = this.in_flight.run();
        Pin::new(&mut this.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
