//! The connection below a WebSocket: frames, the end, and who waits for what.
//!
//! Two look at it: the handler's [`WebSocket`](super::WebSocket) and the [session](super::session)
//! that drives it. Mostly both are polled by one task and read and write directly. Where the handler
//! reads in another task, or below something that has wakers of its own, it leaves its waker here
//! and the session reads for it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use futures_core::Stream as _;
use futures_sink::Sink as _;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error as WireError;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message as Frame};

use super::Message;
use super::close_code::{self, CloseCode};

/// Most that is read and thrown away of a socket that was closed for an error, in bytes.
const LINGER_BYTES: usize = 8 * 1024 * 1024;

/// A control frame has so much at most, and two bytes of it are the code.
const REASON_MAX: usize = 123;

pub(super) type Transport = WebSocketStream<TokioIo<Upgraded>>;

/// A connection, for all who look at it. No code of others runs under the lock.
#[derive(Debug)]
pub(super) struct Shared(Mutex<Wire>);

#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they have nothing to do with each other"
)]
pub(super) struct Wire {
    transport: Transport,
    phase: Phase,
    /// Read, and not taken by the handler yet.
    waiting: Option<Message>,
    /// Whether something is written that may not be with the kernel yet.
    unflushed: bool,
    /// Whether anything has come since this was taken.
    heard: bool,
    /// Whether reading has found nothing in this turn of the session.
    dry: bool,
    /// The session's.
    driver: Waker,
    /// Who waits for a message, elsewhere.
    reader: Option<Waker>,
    /// Who waits until all is written, elsewhere.
    writer: Option<Waker>,
    /// Why it has ended, or is about to.
    code: Option<CloseCode>,
    /// What a drain wants.
    order: Order,
    /// Whether the handler's side is still there.
    held: bool,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// One side has said that this is the end; the other has not answered yet.
    Closing,
    /// The other side has broken the protocol. It was told; closing with unread bytes would reset
    /// the connection, and it might not read why.
    Lingering {
        left_bytes: usize,
    },
    /// No byte goes over it any more.
    Over,
}

/// What a drain wants of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Order {
    Stay,
    /// Close it politely.
    Leave,
    /// Its time is over.
    Drop,
}

impl Shared {
    pub(super) fn new(transport: Transport) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Wire {
            transport,
            phase: Phase::Open,
            waiting: None,
            unflushed: false,
            heard: false,
            dry: false,
            driver: Waker::noop().clone(),
            reader: None,
            writer: None,
            code: None,
            order: Order::Stay,
            held: true,
        })))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Wire> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a drain wants of it, from any thread.
    pub(super) fn ask(&self, order: Order) {
        let mut wire = self.lock();
        wire.order = wire.order.max(order);
        wire.driver.wake_by_ref();
    }
}

/// The handler's side.
impl Wire {
    /// The next message; `None` when no more will come.
    pub(super) fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        let is_driver = cx.waker().will_wake(&self.driver);
        if let Some(message) = self.waiting.take() {
            if !is_driver {
                self.driver.wake_by_ref();
            }
            return Poll::Ready(Some(message));
        }
        if self.phase != Phase::Open {
            return Poll::Ready(None);
        }
        if is_driver {
            return self.poll_read(cx);
        }
        self.reader = Some(cx.waker().clone());
        self.driver.wake_by_ref();
        Poll::Pending
    }

    /// Waits until all that was sent is with the kernel.
    pub(super) fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        if self.phase != Phase::Open {
            return Poll::Ready(Err(Closed));
        }
        let flushed = self.poll_flush(cx);
        if flushed.is_pending() && !cx.waker().will_wake(&self.driver) {
            self.writer = Some(cx.waker().clone());
            self.driver.wake_by_ref();
        }
        match ready!(flushed) {
            Phase::Open => Poll::Ready(Ok(())),
            _ => Poll::Ready(Err(Closed)),
        }
    }

    /// Sends a message, once [`poll_sent`](Self::poll_sent) says that there is room.
    pub(super) fn start_send(&mut self, message: Message) -> Result<(), Closed> {
        if self.phase != Phase::Open {
            return Err(Closed);
        }
        self.write(message.into_frame());
        match self.phase {
            Phase::Open => Ok(()),
            _ => Err(Closed),
        }
    }

    /// The handler's side is gone.
    pub(super) fn let_go(&mut self) {
        self.held = false;
        self.waiting = None;
        self.driver.wake_by_ref();
    }

    pub(super) fn code(&self) -> Option<CloseCode> {
        self.code
    }

    /// Says that this is the end. What was sent before still arrives.
    pub(super) fn close(&mut self, code: CloseCode, reason: &str) {
        if self.phase != Phase::Open {
            return;
        }
        let reason = &reason[..reason.floor_char_boundary(REASON_MAX)];
        let frame = CloseFrame {
            code: close_code::sendable(code).into(),
            reason: reason.into(),
        };
        self.code = Some(code);
        self.write(Frame::Close(Some(frame)));
        if self.phase == Phase::Open {
            self.enter(Phase::Closing);
        }
        self.driver.wake_by_ref();
    }
}

/// The session's side.
impl Wire {
    /// A turn of the session begins.
    pub(super) fn begin_turn(&mut self, waker: &Waker) {
        if !self.driver.will_wake(waker) {
            self.driver.clone_from(waker);
        }
        self.dry = false;
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    pub(super) fn order(&self) -> Order {
        self.order
    }

    /// Whether the handler's side is still there.
    pub(super) fn is_held(&self) -> bool {
        self.held
    }

    /// Whether anything has come since this was asked last.
    pub(super) fn take_heard(&mut self) -> bool {
        std::mem::take(&mut self.heard)
    }

    /// Whether it is the handler that does not read, and not the other end that is silent.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.is_some()
    }

    pub(super) fn ping(&mut self) {
        if self.phase == Phase::Open {
            self.write(Frame::Ping(bytes::Bytes::new()));
        }
    }

    /// Reads and writes as far as it goes: for who waits elsewhere, for pings and pongs, and for
    /// the end.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) {
        if self.poll_flush(cx).is_ready()
            && let Some(writer) = self.writer.take()
        {
            writer.wake();
        }
        if self.phase == Phase::Open && self.waiting.is_none() && !self.dry {
            // One message ahead, so that pongs and the end are seen while the handler is busy.
            if let Poll::Ready(Some(message)) = self.poll_read(cx) {
                // Without the handler's side nobody would take it.
                self.waiting = self.held.then_some(message);
                if let Some(reader) = self.reader.take() {
                    reader.wake();
                }
            }
        }
        if self.phase == Phase::Closing {
            let _ = self.poll_read(cx);
        }
        if let Phase::Lingering { left_bytes } = self.phase {
            self.linger(left_bytes, cx);
        }
    }

    /// Ends it, whatever is under way.
    pub(super) fn finish(&mut self, cx: &mut Context<'_>) {
        if self.phase != Phase::Over {
            self.enter(Phase::Over);
            self.code.get_or_insert(close_code::ABNORMAL);
            // Never pending for a socket; when it fails, it has ended. The handler may go on for a
            // while, and the other end need not wait for that.
            let _ = Pin::new(self.transport.get_mut()).poll_shutdown(cx);
        }
    }

    /// Reads until there is a message. `None`: there will be none.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        loop {
            let Poll::Ready(read) = Pin::new(&mut self.transport).poll_next(cx) else {
                self.dry = true;
                return Poll::Pending;
            };
            self.heard = true;
            let is_open = self.phase == Phase::Open;
            match read {
                Some(Ok(Frame::Text(text))) if is_open => {
                    return Poll::Ready(Some(Message::Text(text)));
                }
                Some(Ok(Frame::Binary(bytes))) if is_open => {
                    return Poll::Ready(Some(Message::Binary(bytes)));
                }
                Some(Ok(Frame::Close(frame))) => {
                    if is_open {
                        let code = frame.map_or(close_code::NO_STATUS, |frame| frame.code.into());
                        self.code = Some(code);
                        self.enter(Phase::Closing);
                    }
                }
                // Pings are answered by the next read. What comes after the end counts for nothing.
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    self.fail(&error, cx);
                    return Poll::Ready(None);
                }
                None => {
                    self.finish(cx);
                    return Poll::Ready(None);
                }
            }
        }
    }

    /// Has what is written go out.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Phase> {
        if self.unflushed && self.phase != Phase::Over {
            if ready!(Pin::new(&mut self.transport).poll_flush(cx)).is_err() {
                self.finish(cx);
            }
            self.unflushed = false;
        }
        Poll::Ready(self.phase)
    }

    fn write(&mut self, frame: Frame) {
        self.unflushed = true;
        if Pin::new(&mut self.transport).start_send(frame).is_err() {
            self.finish(&mut Context::from_waker(Waker::noop()));
        }
    }

    /// Reading has failed.
    fn fail(&mut self, error: &WireError, cx: &mut Context<'_>) {
        let code = match error {
            WireError::Utf8(_) => close_code::INVALID_PAYLOAD,
            WireError::Capacity(_) => close_code::TOO_LARGE,
            WireError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
                return self.finish(cx);
            }
            WireError::Protocol(_) => close_code::PROTOCOL_ERROR,
            _ => return self.finish(cx),
        };
        self.close(code, &error.to_string());
        if self.phase == Phase::Closing {
            self.enter(Phase::Lingering {
                left_bytes: LINGER_BYTES,
            });
        }
    }

    /// Waits until the other side has read why, or closes.
    fn linger(&mut self, mut left_bytes: usize, cx: &mut Context<'_>) {
        let Poll::Ready(Phase::Lingering { .. }) = self.poll_flush(cx) else {
            return;
        };
        let io = self.transport.get_mut();
        // Again and again it does nothing.
        let _ = Pin::new(&mut *io).poll_shutdown(cx);
        let mut scratch = [0; 4096];
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut *io).poll_read(cx, &mut buffer) {
                Poll::Pending => break,
                Poll::Ready(Ok(())) if (1..left_bytes).contains(&buffer.filled().len()) => {
                    left_bytes -= buffer.filled().len();
                }
                Poll::Ready(_) => return self.finish(cx),
            }
        }
        self.phase = Phase::Lingering { left_bytes };
    }

    /// Everybody who waits is to look.
    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        for waker in [self.reader.take(), self.writer.take()]
            .into_iter()
            .flatten()
        {
            waker.wake();
        }
    }
}

/// The WebSocket is closed: nothing can be sent any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the WebSocket is closed")
    }
}

impl std::error::Error for Closed {}
