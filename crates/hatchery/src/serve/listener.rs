//! Listening and connected sockets, of whatever family.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::net::{AddressFamily, sockopt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// A listening socket that is registered with the thread's runtime. Dropping it takes it out of
/// the runtime's epoll set before it is closed: other processes hold the same socket, so that
/// closing alone would leave its events behind.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// Registers a listening socket with the runtime that this is called in.
    pub(super) fn register(socket: OwnedFd) -> io::Result<Self> {
        match Waiting::new(socket)? {
            Waiting::Tcp(listener) => {
                // Accepted sockets inherit it, which saves a system call for each. Without it,
                // small responses on keep-alive connections can take 40 ms.
                if !sockopt::tcp_nodelay(&listener)? {
                    sockopt::set_tcp_nodelay(&listener, true)?;
                }
                TcpListener::from_std(listener).map(Self::Tcp)
            }
            Waiting::Unix(listener) => UnixListener::from_std(listener).map(Self::Unix),
        }
    }

    pub(super) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        match self {
            Self::Tcp(listener) => listener
                .poll_accept(cx)
                .map_ok(|(stream, _)| Stream::Tcp(stream)),
            Self::Unix(listener) => listener
                .poll_accept(cx)
                .map_ok(|(stream, _)| Stream::Unix(stream)),
        }
    }

    /// Takes the socket out of the runtime; what waits in it can still be accepted.
    pub(super) fn deregister(self) -> io::Result<Waiting> {
        match self {
            Self::Tcp(listener) => listener.into_std().map(Waiting::Tcp),
            Self::Unix(listener) => listener.into_std().map(Waiting::Unix),
        }
    }
}

/// A listening socket that is only emptied, not waited for. The runtime would not do for that: it
/// accepts when it has been told that something waits, which may be a turn of its loop too late.
#[derive(Debug)]
pub(super) enum Waiting {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

impl Waiting {
    pub(super) fn new(socket: OwnedFd) -> io::Result<Self> {
        // The flag is the socket's, not the descriptor's: it is as every holder wants it.
        rustix::io::ioctl_fionbio(&socket, true)?;
        if is_unix(&socket)? {
            Ok(Self::Unix(socket.into()))
        } else {
            Ok(Self::Tcp(socket.into()))
        }
    }

    /// The next connection in the queue; `WouldBlock` when there is none.
    pub(super) fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                TcpStream::from_std(stream).map(Stream::Tcp)
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nonblocking(true)?;
                UnixStream::from_std(stream).map(Stream::Unix)
            }
        }
    }
}

fn is_unix(socket: &OwnedFd) -> io::Result<bool> {
    match rustix::net::getsockname(socket)?.address_family() {
        AddressFamily::INET | AddressFamily::INET6 => Ok(false),
        AddressFamily::UNIX => Ok(true),
        family => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("a socket of address family {}", family.as_raw()),
        )),
    }
}

/// A connected socket that no runtime watches.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

impl Socket {
    /// A connected socket that another process has accepted.
    pub(crate) fn new(socket: OwnedFd) -> io::Result<Self> {
        if is_unix(&socket)? {
            Ok(Self::Unix(socket.into()))
        } else {
            Ok(Self::Tcp(socket.into()))
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Unix(socket) => socket.as_fd(),
        }
    }
}

impl Stream {
    /// Registers a socket with the runtime that this is called in. Reads nothing.
    pub(super) fn register(socket: Socket) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        match socket {
            Socket::Tcp(socket) => TcpStream::from_std(socket).map(Self::Tcp),
            Socket::Unix(socket) => UnixStream::from_std(socket).map(Self::Unix),
        }
    }

    pub(super) fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::Tcp(stream) => stream.as_raw_fd(),
            Self::Unix(stream) => stream.as_raw_fd(),
        }
    }

    /// The other end's address, if it has one.
    pub(super) fn peer(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.peer_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    /// Takes the socket out of the runtime.
    pub(super) fn deregister(self) -> io::Result<Socket> {
        match self {
            Self::Tcp(stream) => stream.into_std().map(Socket::Tcp),
            Self::Unix(stream) => stream.into_std().map(Socket::Unix),
        }
    }
}

/// A connected socket.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Calls the same method on whichever stream it is.
macro_rules! each {
    ($self:expr, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Tcp($stream) => $call,
            Stream::Unix($stream) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}
