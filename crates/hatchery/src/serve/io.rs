//! The socket as hyper sees it.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::listener::Stream;
use super::state::{Open, Shared};

/// A connection's socket, with what was read of it already.
///
/// It tells the sweep when bytes come, counts as an open connection while it lives (also after
/// an upgrade, wherever it is then), and lets nobody but the driver shut the socket down while it
/// is held.
#[derive(Debug)]
pub(super) struct Io {
    stream: Stream,
    /// Read before the socket is.
    ahead: Bytes,
    open: Open,
}

impl Io {
    pub(super) fn new(stream: Stream, ahead: Bytes, open: Open) -> Self {
        Self {
            stream,
            ahead,
            open,
        }
    }

    /// The other end's address. Unix sockets have none, and a connection that has ended.
    pub(super) fn peer(&self) -> Option<SocketAddr> {
        self.stream.peer()
    }

    /// Puts bytes before what is still to be read.
    pub(super) fn unread(&mut self, bytes: Bytes) {
        if self.ahead.is_empty() {
            self.ahead = bytes;
        } else if !bytes.is_empty() {
            self.ahead = [&bytes[..], &self.ahead[..]].concat().into();
        }
    }

    /// Whether bytes wait here that the socket has given already.
    pub(super) fn has_unread(&self) -> bool {
        !self.ahead.is_empty()
    }

    /// The socket, what was read of it, and what counts it as open here.
    pub(super) fn into_parts(self) -> (Stream, Bytes, Open) {
        (self.stream, self.ahead, self.open)
    }

    fn shared(&self) -> &Shared {
        self.open.shared()
    }

    fn wrote(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.shared().set_blocked(result.is_pending());
        if matches!(result, Poll::Ready(Ok(1..))) {
            self.shared().wrote();
        }
        result
    }
}

impl AsyncRead for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let length = self.ahead.len().min(buffer.remaining());
            buffer.put_slice(&self.ahead.split_to(length));
            self.shared().received();
            return Poll::Ready(Ok(()));
        }
        if self.shared().is_leaving() {
            // Another process reads on from here. The driver takes the connection out after this.
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.shared().received();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.wrote(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Sockets keep nothing back on this side of the kernel.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.shared().is_held() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
