//! One connection, from its first byte to its last.

use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWrite;

use super::common::{Common, Detached, Local};
use super::io::Io;
use super::listener::Stream;
use super::service::Service;
use super::sniff::{self, Protocol};
use super::state::{Phase, Request, Shared};
use super::unread::Ticket;

/// Most that is read and thrown away of a connection whose last response is sent, in bytes.
const LINGER_BYTES: usize = 8 * 1024 * 1024;

/// The driver of one connection. It is spawned as a task of its own, and nothing else polls it.
pub(super) struct Connection {
    common: Rc<Common>,
    shared: Arc<Shared>,
    state: State,
    /// The place in the registry; there is one from the first poll on.
    key: Option<usize>,
    /// Until something is read: with it the connection can be taken away while the thread hangs.
    ticket: Option<Ticket>,
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
    pub(super) fn new(
        common: Rc<Common>,
        shared: Arc<Shared>,
        io: Io,
        ticket: Option<Ticket>,
    ) -> Self {
        Self {
            common,
            shared,
            state: State::Sniffing {
                io,
                seen: Bytes::new(),
            },
            key: None,
            ticket,
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
                            let service = self.service(&io);
                            let io = TokioIo::new(io);
                            State::Http2(Box::pin(builder.serve_connection(io, service)))
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
        let service = self.service(&io);
        State::Http1(
            self.common
                .http1
                .serve_connection(TokioIo::new(io), service)
                .with_upgrades(),
        )
    }

    fn service(&self, io: &Io) -> Service {
        let endpoint = self.common.endpoint.clone();
        let peer = endpoint.wants_peer().then(|| io.peer()).flatten();
        let shared = Arc::clone(&self.shared);
        Service::new(endpoint, self.common.body_limit, peer, shared)
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
        if this.ticket.as_ref().is_some_and(|ticket| !ticket.take_up()) {
            // Another worker serves it: no byte, and no shutdown, comes from here any more.
            return Poll::Ready(());
        }
        let end = this.drive(cx);
        if this.is_unread() {
            this.ticket.as_ref().inspect(|ticket| ticket.lay_down());
        } else {
            this.ticket = None;
        }
        end
    }
}

impl Connection {
    /// Whether nothing was read of it, and nothing is under way.
    fn is_unread(&self) -> bool {
        match &self.state {
            State::Sniffing { io, seen } => seen.is_empty() && !io.has_unread(),
            _ => false,
        }
    }

    fn drive(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let this = self;
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
        // Before the socket, which the list knows by its number only.
        self.ticket = None;
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
