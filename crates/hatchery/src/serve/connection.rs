//! One connection, from its first byte to its last.

use std::cell::RefCell;
use std::fmt;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use bytes::Bytes;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Limits;
use super::io::Io;
use super::listener::Stream;
use super::registry::Registry;
use super::service::{self, Service};
use super::sniff::{self, Protocol};
use super::state::{Open, Phase, Request, Shared, Thread};

/// Bytes read at once where this crate reads itself: a connection's beginning, what is thrown away.
const SCRATCH_BYTES: usize = 16 * 1024;

/// Most that is read and thrown away of a connection whose last response is sent, in bytes.
const LINGER_BYTES: usize = 8 * 1024 * 1024;

/// hyper's own limit, for which its parser needs no heap.
const HYPER_MAX_HEADERS: u32 = 100;

/// Most requests of one HTTP/2 connection at a time.
const HTTP2_STREAMS_MAX: u32 = 256;

/// What all connections of one thread share.
pub(super) struct Common {
    pub(super) thread: Arc<Thread>,
    pub(super) registry: Registry,
    router: Router,
    body_limit: Option<DefaultBodyLimit>,
    http1: http1::Builder,
    http2: Option<http2::Builder<Local>>,
    scratch: RefCell<Box<[u8]>>,
    /// Where connections go that are taken out of hyper; without one they are closed.
    heir: Option<Heir>,
}

/// Takes a connection that nothing is in flight on.
pub(crate) type Heir = Box<dyn Fn(Detached)>;

/// A connection that has no driver: just accepted, or taken out of hyper without its client
/// noticing.
#[derive(Debug)]
pub(crate) struct Detached {
    stream: Stream,
    /// What was read of it and not yet served: the next driver reads this first.
    ahead: Bytes,
}

impl From<Stream> for Detached {
    fn from(stream: Stream) -> Self {
        Self {
            stream,
            ahead: Bytes::new(),
        }
    }
}

impl fmt::Debug for Common {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Common")
            .field("thread", &self.thread)
            .finish_non_exhaustive()
    }
}

impl Common {
    pub(super) fn new(
        limits: &Limits,
        router: Router,
        thread: Arc<Thread>,
        heir: Option<Heir>,
    ) -> Self {
        Self {
            thread,
            registry: Registry::default(),
            router,
            body_limit: service::body_limit(limits.body_limit),
            http1: http1_builder(limits),
            http2: limits.http2.then(|| http2_builder(limits)),
            scratch: RefCell::new(vec![0; SCRATCH_BYTES].into()),
            heir,
        }
    }

    pub(super) fn has_heir(&self) -> bool {
        self.heir.is_some()
    }

    /// Serves a connection as a task of this thread.
    pub(super) fn serve(self: &Rc<Self>, connection: impl Into<Detached>) {
        tokio::task::spawn_local(Connection::new(Rc::clone(self), connection.into()));
    }

    /// Reads what has come into the scratch space: `None` at the end of the stream.
    fn read(&self, io: &mut Io, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut scratch = self.scratch.borrow_mut();
        let mut buffer = ReadBuf::new(&mut scratch);
        match ready!(Pin::new(io).poll_read(cx, &mut buffer)) {
            Ok(()) if !buffer.filled().is_empty() => {
                Poll::Ready(Some(Bytes::copy_from_slice(buffer.filled())))
            }
            // A broken connection needs no other treatment than one that the client closed.
            Ok(()) | Err(_) => Poll::Ready(None),
        }
    }
}

fn http1_builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    // Time-outs are the sweep's. hyper's would cost a timer for each request.
    builder.header_read_timeout(None);
    builder.max_buf_size(usize::try_from(limits.max_header_bytes).unwrap_or(usize::MAX));
    if limits.max_headers != HYPER_MAX_HEADERS {
        builder.max_headers(usize::try_from(limits.max_headers).unwrap_or(usize::MAX));
    }
    // `writev` stays on: copying bodies behind their headers saves 4 % of the instructions of a tiny
    // response, costs a third more for 64 KiB, and leaves a buffer of the largest response behind.
    // `pipeline_flush` stays off: it holds a response back while part of the next request is
    // there, and a client may wait for the one before it sends the rest of the other.
    builder
}

fn http2_builder(limits: &Limits) -> http2::Builder<Local> {
    let mut builder = http2::Builder::new(Local);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .max_header_list_size(u32::try_from(limits.max_header_bytes).unwrap_or(u32::MAX))
        // Finds dead peers while requests are open; idle connections are the sweep's.
        .keep_alive_interval(limits.keep_alive_timeout)
        .keep_alive_timeout(limits.header_timeout);
    builder
}

/// Runs the streams of HTTP/2 connections on the thread that they came to.
#[derive(Clone, Copy, Debug)]
struct Local;

impl<F: Future + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async {
            future.await;
        });
    }
}

/// The driver of one connection. It is spawned as a task of its own, and nothing else polls it.
pub(super) struct Connection {
    common: Rc<Common>,
    shared: Arc<Shared>,
    state: State,
    /// The place in the registry; there is one from the first poll on.
    key: Option<usize>,
}

type Http1 = http1::UpgradeableConnection<TokioIo<Io>, Service>;
type Http2 = http2::Connection<TokioIo<Io>, Service, Local>;

#[expect(
    clippy::large_enum_variant,
    reason = "nearly all connections are of the large one"
)]
enum State {
    /// Too little was read to know the protocol.
    Sniffing {
        io: Io,
        seen: Bytes,
    },
    Http1(Http1),
    Http2(Pin<Box<Http2>>),
    /// The last response is sent and said so; the client may not have read it yet. Closing with
    /// unread bytes would reset the connection, and the response might be lost with it.
    Lingering {
        io: Io,
        left_bytes: usize,
    },
    Done,
}

impl Connection {
    fn new(common: Rc<Common>, Detached { stream, ahead }: Detached) -> Self {
        let shared = Shared::new(&common.thread);
        let io = Io::new(stream, ahead, Open::begin(Arc::clone(&shared)));
        Self {
            common,
            shared,
            state: State::Sniffing {
                io,
                seen: Bytes::new(),
            },
            key: None,
        }
    }

    /// Moves on as far as it goes without waiting.
    fn advance(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            self.state = match &mut self.state {
                State::Sniffing { io, seen } => {
                    let Some(bytes) = ready!(self.common.read(io, cx)) else {
                        return Poll::Ready(());
                    };
                    *seen = joined(seen, bytes);
                    self.begin()
                }
                State::Http1(connection) => {
                    let ended = ready!(Pin::new(connection).poll(cx));
                    self.end_http1(ended.is_ok(), cx)
                }
                State::Http2(connection) => {
                    // How an HTTP/2 connection ended is of interest to its client only.
                    let _ = ready!(connection.as_mut().poll(cx));
                    State::Done
                }
                State::Lingering { io, left_bytes } => {
                    match ready!(self.common.read(io, cx)) {
                        Some(bytes) if bytes.len() < *left_bytes => *left_bytes -= bytes.len(),
                        _ => return Poll::Ready(()),
                    }
                    continue;
                }
                State::Done => return Poll::Ready(()),
            };
        }
    }

    /// Out of `Sniffing`, if enough was seen.
    fn begin(&mut self) -> State {
        match mem::replace(&mut self.state, State::Done) {
            State::Sniffing { mut io, seen } => match sniff::protocol(&seen) {
                None => State::Sniffing { io, seen },
                Some(protocol) => {
                    io.unread(seen);
                    match (protocol, &self.common.http2) {
                        (Protocol::Http2, Some(builder)) => {
                            self.shared.set_http2();
                            let io = TokioIo::new(io);
                            State::Http2(Box::pin(builder.serve_connection(io, self.service())))
                        }
                        // Without HTTP/2, hyper answers the preface as a bad request.
                        (Protocol::Http1 | Protocol::Http2, _) => self.http1(io),
                    }
                }
            },
            other => other,
        }
    }

    fn http1(&self, io: Io) -> State {
        let io = TokioIo::new(io);
        State::Http1(
            self.common
                .http1
                .serve_connection(io, self.service())
                .with_upgrades(),
        )
    }

    fn service(&self) -> Service {
        let shared = Arc::clone(&self.shared);
        Service::new(self.common.router.clone(), self.common.body_limit, shared)
    }

    /// What becomes of a connection that hyper is done with. The socket is not shut down yet.
    fn end_http1(&mut self, ended_well: bool, cx: &mut Context<'_>) -> State {
        // No I/O is left after an upgrade: the socket is with whoever upgraded it.
        let Some(mut io) = self.out_of_hyper() else {
            return State::Done;
        };
        if !ended_well || !(self.shared.is_cut() || io.has_unread()) {
            // Closing sends what a shutdown would.
            return State::Done;
        }
        self.shared.release();
        self.shared.enter(Phase::Lingering);
        // Never pending for a socket; when it fails, reading will too.
        let _ = Pin::new(&mut io).poll_shutdown(cx);
        State::Lingering {
            io,
            left_bytes: LINGER_BYTES,
        }
    }

    /// The I/O of an HTTP/1.1 connection that has ended, with all that was read and not served.
    fn out_of_hyper(&mut self) -> Option<Io> {
        match mem::replace(&mut self.state, State::Done) {
            State::Http1(connection) => {
                let parts = connection.into_parts()?;
                let mut io = parts.io.into_inner();
                io.unread(parts.read_buf);
                Some(io)
            }
            _ => None,
        }
    }

    /// Goes, if nothing is in flight. Returns whether the state has changed.
    ///
    /// hyper gives an idle connection back when it is told to shut down gracefully, and its
    /// shutting down the socket does nothing while the I/O is held. Told while a request is in
    /// flight, it would answer that with `Connection: close`; hence the conditions.
    fn leave(&mut self, cx: &mut Context<'_>) -> bool {
        match &mut self.state {
            State::Sniffing { io, seen } => {
                io.unread(mem::take(seen));
                if let State::Sniffing { io, .. } = mem::replace(&mut self.state, State::Done) {
                    self.give_away(io, cx, |_, io| State::Sniffing {
                        io,
                        seen: Bytes::new(),
                    });
                }
                true
            }
            State::Http1(connection) if self.shared.is_removable() => {
                Pin::new(&mut *connection).graceful_shutdown();
                match Pin::new(connection).poll(cx) {
                    Poll::Ready(Ok(())) => {
                        if let Some(io) = self.out_of_hyper() {
                            self.give_away(io, cx, Self::http1);
                        }
                        true
                    }
                    Poll::Ready(Err(_)) => {
                        self.state = State::Done;
                        true
                    }
                    // Not as idle as it seemed: hyper will close it when it is.
                    Poll::Pending => false,
                }
            }
            State::Http2(connection) => {
                connection.as_mut().graceful_shutdown();
                self.shared.ask(Request::None);
                if self.shared.phase() == Phase::Idle {
                    self.shared.enter(Phase::Leaving);
                }
                true
            }
            State::Http1(_) | State::Lingering { .. } | State::Done => false,
        }
    }

    /// Gives an idle connection to the heir. Without one it is closed, unless the client has sent
    /// something in the meantime: that is served first (`again`).
    fn give_away(
        &mut self,
        mut io: Io,
        cx: &mut Context<'_>,
        again: impl FnOnce(&Self, Io) -> State,
    ) {
        if let Some(heir) = &self.common.heir {
            let (stream, ahead) = io.into_parts();
            heir(Detached { stream, ahead });
            return;
        }
        if !io.has_unread() {
            match self.common.read(&mut io, cx) {
                Poll::Ready(Some(bytes)) => io.unread(bytes),
                Poll::Ready(None) | Poll::Pending => return,
            }
        }
        self.shared.begin_anew();
        self.state = again(self, io);
    }
}

impl Future for Connection {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.key.is_none() {
            let shared = Arc::clone(&this.shared);
            this.key = Some(this.common.registry.enter(shared, cx.waker().clone()));
        }
        if this.shared.asked() == Request::Drop {
            this.state = State::Done;
        }
        loop {
            if this.advance(cx).is_ready() {
                return Poll::Ready(());
            }
            match this.shared.asked() {
                Request::None | Request::Drop => return Poll::Pending,
                // Only when it was idle already: a client that has just sent is served on.
                Request::Leave => this.shared.ask(Request::None),
                Request::LeaveSoon => {}
            }
            if !this.leave(cx) {
                return Poll::Pending;
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.common.registry.leave(key);
        }
    }
}

fn joined(first: &Bytes, second: Bytes) -> Bytes {
    if first.is_empty() {
        second
    } else {
        [&first[..], &second[..]].concat().into()
    }
}
