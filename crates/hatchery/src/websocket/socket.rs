//! A WebSocket as its handler sees it.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use futures_sink::Sink;

use super::Message;
use super::close_code::CloseCode;
use super::wire::{Closed, Shared};

/// An open WebSocket. Dropping it closes it with 1000, after what was sent.
///
/// Pings are answered and sent, and its end is seen to, also while the handler does something else.
/// It is a `Stream` of messages and a `Sink` for them, too: what splits those works on it, and its
/// halves may go to tasks of their own.
pub struct WebSocket {
    shared: Arc<Shared>,
    protocol: Option<String>,
}

impl WebSocket {
    pub(super) fn new(shared: Arc<Shared>, protocol: Option<String>) -> Self {
        Self { shared, protocol }
    }

    /// The next message; `None` when no more will come: the other end has closed or is gone, or
    /// this worker is replaced. Nothing is lost when this is dropped before it is ready.
    pub async fn recv(&mut self) -> Option<Message> {
        std::future::poll_fn(|cx| self.shared.lock().poll_recv(cx)).await
    }

    /// Sends a message, and waits until the kernel has it. A message whose sending is dropped may
    /// still be sent.
    ///
    /// # Errors
    ///
    /// The WebSocket is closed.
    pub async fn send(&mut self, message: impl Into<Message>) -> Result<(), Closed> {
        let mut message = Some(message.into());
        std::future::poll_fn(|cx| {
            let mut wire = self.shared.lock();
            if message.is_some() {
                ready!(wire.poll_sent(cx))?;
            }
            if let Some(message) = message.take() {
                wire.start_send(message)?;
            }
            wire.poll_sent(cx)
        })
        .await
    }

    /// Closes it with one of the [codes](super::close_code) and at most 123 bytes of text, after what
    /// was sent; does nothing when it is closed already.
    pub fn close(&mut self, code: CloseCode, reason: &str) {
        self.shared.lock().close(code, reason);
    }

    /// Why it has ended or is about to, whoever wanted it. `None`: it is open.
    pub fn close_code(&self) -> Option<CloseCode> {
        self.shared.lock().code()
    }

    /// The protocol that both ends have agreed upon, if there was something to choose from.
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }
}

impl Stream for WebSocket {
    type Item = Message;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.shared.lock().poll_recv(cx)
    }
}

impl Sink<Message> for WebSocket {
    type Error = Closed;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        self.shared.lock().poll_sent(cx)
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), Closed> {
        self.shared.lock().start_send(message)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        self.shared.lock().poll_sent(cx)
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        self.shared.lock().close(super::close_code::NORMAL, "");
        Poll::Ready(Ok(()))
    }
}

impl Drop for WebSocket {
    fn drop(&mut self) {
        self.shared.lock().let_go();
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket")
            .field("protocol", &self.protocol)
            .finish_non_exhaustive()
    }
}
