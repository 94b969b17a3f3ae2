//! One connection, from its first byte to its last.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use bytes::Bytes;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Limits;
use super::io::Io;
use super::listener::{Socket, Stream};
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
    heir: RefCell<Option<Heir>>,
    /// Whether connections go to the heir as soon as they are idle.
    leaving: Cell<bool>,
    /// Since when a drain goes on without an heir, by the thread's clock.
    alone_ms: Cell<u64>,
}

/// Takes connections that nothing is in flight on.
#[derive(Clone)]
pub(crate) struct Heir {
    /// Tells it from others.
    pub(crate) number: u64,
    /// Gives back what it does not take: from then on it takes nothing.
    pub(crate) take: Arc<dyn Fn(Detached) -> Result<(), Detached> + Send + Sync>,
}

/// A connection that has no driver: taken out of hyper without its client noticing, or come from
/// another process.
#[derive(Debug)]
pub(crate) struct Detached {
    socket: Socket,
    /// What was read of it and not yet served: the next driver reads this first.
    ahead: Bytes,
    /// It counts as open where it came from until another driver has it.
    open: Option<Open>,
}

impl Detached {
    /// A connection of another process.
    pub(crate) fn new(socket: Socket, ahead: Bytes) -> Self {
        Self {
            socket,
            ahead,
            open: None,
        }
    }

    /// What was read of it and not yet served.
    pub(crate) fn ahead(&self) -> &[u8] {
        &self.ahead
    }
}

impl AsFd for Detached {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
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
    pub(super) fn new(limits: &Limits, router: Router, thread: Arc<Thread>) -> Self {
        Self {
            thread,
            registry: Registry::default(),
            router,
            body_limit: service::body_limit(limits.body_limit),
            http1: http1_builder(limits),
            http2: limits.http2.then(|| http2_builder(limits)),
            scratch: RefCell::new(vec![0; SCRATCH_BYTES].into()),
            heir: RefCell::new(None),
            leaving: Cell::new(false),
            alone_ms: Cell::new(0),
        }
    }

    pub(super) fn has_heir(&self) -> bool {
        self.heir.borrow().is_some()
    }

    pub(super) fn set_heir(&self, heir: Heir) {
        self.heir.replace(Some(heir));
    }

    /// From now on connections go to the heir as soon as they are idle.
    pub(super) fn dismiss(&self) {
        self.thread.set_closing(false);
        self.leaving.set(true);
        self.registry.dismiss();
    }

    /// From now on connections end with their next response, because nobody takes them.
    pub(super) fn stand_alone(&self) {
        self.heir.replace(None);
        self.leaving.set(false);
        self.alone_ms.set(self.thread.clock_ms());
        self.thread.set_closing(true);
        self.thread.page().fallen_back_add(self.registry.keep());
    }

    /// The same, if it still is this one that was to take them.
    pub(super) fn give_up(&self, heir: u64) {
        let is_this = |known: &Heir| known.number == heir;
        if self.heir.borrow().as_ref().is_some_and(is_this) {
            self.stand_alone();
        }
    }

    /// Milliseconds (of the thread's clock) that a drain has gone on without an heir.
    pub(super) fn alone_for_ms(&self) -> u64 {
        self.thread.clock_ms().saturating_sub(self.alone_ms.get())
    }

    /// Serves an accepted connection as a task of this thread.
    pub(super) fn serve(self: &Rc<Self>, stream: Stream) {
        let shared = Shared::new(&self.thread);
        let io = Io::new(stream, Bytes::new(), Open::begin(Arc::clone(&shared)));
        tokio::task::spawn_local(Connection::new(Rc::clone(self), shared, io));
    }

    /// Serves a connection that had another driver, if `is_ours` still says so when all that can
    /// fail is done; not a byte of it is read before.
    pub(super) fn serve_on(
        self: &Rc<Self>,
        detached: Detached,
        is_ours: impl FnOnce() -> bool,
    ) -> io::Result<bool> {
        let stream = Stream::register(detached.socket)?;
        if !is_ours() {
            return Ok(false);
        }
        let shared = Shared::new(&self.thread);
        shared.begin_copied(detached.ahead.is_empty());
        let io = Io::new(stream, detached.ahead, Open::begin(Arc::clone(&shared)));
        tokio::task::spawn_local(Connection::new(Rc::clone(self), shared, io));
        Ok(true)
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
    fn new(common: Rc<Common>, shared: Arc<Shared>, io: Io) -> Self {
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
            self.close(io);
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
            State::Sniffing { io, .. } | State::Lingering { io, .. } => Some(io),
            State::Http2(_) | State::Done => None,
        }
    }

    /// Closes the socket, which sends what a shutdown would; unless another process may hold it
    /// too: one that stands still, or that has not read yet that it was taken over.
    fn close(&self, mut io: Io) {
        if self.shared.is_copied() {
            self.shared.release();
            let mut cx = Context::from_waker(Waker::noop());
            // Never pending for a socket; when it fails, the connection has ended.
            let _ = Pin::new(&mut io).poll_shutdown(&mut cx);
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
                if let Some(io) = self.out_of_hyper() {
                    self.give_away(io, cx);
                }
                true
            }
            State::Http1(connection) if self.shared.is_removable() => {
                Pin::new(&mut *connection).graceful_shutdown();
                match Pin::new(connection).poll(cx) {
                    Poll::Ready(Ok(())) => {
                        if let Some(io) = self.out_of_hyper() {
                            self.give_away(io, cx);
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
                if self.common.leaving.get() || self.shared.thread().is_closing() {
                    self.shared.thread().page().fallen_back_add(1);
                }
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
    /// something in the meantime: that is served first.
    fn give_away(&mut self, mut io: Io, cx: &mut Context<'_>) {
        let heir = self.common.heir.borrow().clone();
        if let Some(heir) = heir {
            let Some(refused) = detach(io).and_then(|detached| (heir.take)(detached).err()) else {
                return;
            };
            self.common.give_up(heir.number);
            let Some(attached) = attach(refused) else {
                return;
            };
            io = attached;
            self.shared.ask(Request::None);
        } else if !io.has_unread() {
            match self.common.read(&mut io, cx) {
                Poll::Ready(Some(bytes)) => io.unread(bytes),
                Poll::Ready(None) | Poll::Pending => return self.close(io),
            }
        }
        self.shared.begin_anew(!io.has_unread());
        // Not hyper at once: it would give an idle connection back only after its next request.
        self.state = State::Sniffing {
            io,
            seen: Bytes::new(),
        };
    }
}

/// Takes the socket out of the runtime. That fails only for a socket that is none.
fn detach(io: Io) -> Option<Detached> {
    let (stream, ahead, open) = io.into_parts();
    Some(Detached {
        socket: stream.deregister().ok()?,
        ahead,
        open: Some(open),
    })
}

/// The inverse, where the heir did not want it.
fn attach(detached: Detached) -> Option<Io> {
    let stream = Stream::register(detached.socket).ok()?;
    Some(Io::new(stream, detached.ahead, detached.open?))
}

impl Future for Connection {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.key.is_none() {
            let shared = Arc::clone(&this.shared);
            this.key = Some(this.common.registry.enter(shared, cx.waker().clone()));
            if this.common.leaving.get() {
                this.shared.ask(Request::LeaveSoon);
            }
        }
        if this.shared.asked() == Request::Drop
            && let Some(io) = this.out_of_hyper()
        {
            this.close(io);
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
