//! What the connections of one serving thread share, and connections without a driver.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::extract::DefaultBodyLimit;
use bytes::Bytes;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioTimer;
use tokio::io::{AsyncRead, ReadBuf};

use super::Limits;
use super::connection::Connection;
use super::endpoint::Endpoint;
use super::io::Io;
use super::listener::{Socket, Stream};
use super::registry::Registry;
use super::service;
use super::state::{Open, Shared, Thread};
use super::unread::Unread;

/// Bytes read at once where this crate reads itself: a connection's beginning, what is thrown away.
const SCRATCH_BYTES: usize = 16 * 1024;

/// hyper's own limit, for which its parser needs no heap.
const HYPER_MAX_HEADERS: u32 = 100;

/// Most requests of one HTTP/2 connection at a time.
const HTTP2_STREAMS_MAX: u32 = 256;

/// What all connections of one thread share.
pub(super) struct Common {
    pub(super) thread: Arc<Thread>,
    pub(super) registry: Registry,
    pub(super) endpoint: Endpoint,
    pub(super) body_limit: Option<DefaultBodyLimit>,
    pub(super) http1: http1::Builder,
    pub(super) http2: Option<http2::Builder<Local>>,
    scratch: RefCell<Box<[u8]>>,
    /// What can be taken from this thread when it hangs.
    unread: Arc<Unread>,
    /// Where connections go that are taken out of hyper; without one they are closed.
    pub(super) heir: RefCell<Option<Heir>>,
    /// Whether connections go to the heir as soon as they are idle.
    pub(super) leaving: Cell<bool>,
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
    pub(super) socket: Socket,
    /// What was read of it and not yet served: the next driver reads this first.
    pub(super) ahead: Bytes,
    /// It counts as open where it came from until another driver has it.
    pub(super) open: Option<Open>,
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
    pub(super) fn new(
        limits: &Limits,
        endpoint: Endpoint,
        thread: Arc<Thread>,
        unread: Arc<Unread>,
    ) -> Self {
        Self {
            thread,
            registry: Registry::default(),
            endpoint,
            body_limit: service::body_limit(limits.body_limit),
            http1: http1_builder(limits),
            http2: limits.http2.then(|| http2_builder(limits)),
            scratch: RefCell::new(vec![0; SCRATCH_BYTES].into()),
            unread,
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
        self.drive(shared, stream, Bytes::new());
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
        self.drive(shared, stream, detached.ahead);
        Ok(true)
    }

    fn drive(self: &Rc<Self>, shared: Arc<Shared>, stream: Stream, ahead: Bytes) {
        let ticket = ahead
            .is_empty()
            .then(|| self.unread.enter(stream.as_raw_fd(), &shared));
        let io = Io::new(stream, ahead, Open::begin(Arc::clone(&shared)));
        let connection = Connection::new(Rc::clone(self), shared, io, ticket);
        tokio::task::spawn_local(connection);
    }

    /// Reads what has come into the scratch space: `None` at the end of the stream.
    pub(super) fn read(&self, io: &mut Io, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
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
pub(super) struct Local;

impl<F: Future + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async {
            future.await;
        });
    }
}
