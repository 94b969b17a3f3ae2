//! Listening sockets that the master owns and its workers inherit.
//!
//! The master keeps each listener open, so what waits in its queue survives the worker that was to
//! accept it. With `reuse_port` each worker slot has a socket and a queue of its own on the same
//! address, and [`steer()`] says which of them get new connections.
//!
//! Kernel traps:
//! - closing the last descriptor of a listener resets what waits in its queue, and so does
//!   [`shutdown`], which moreover hits all holders of the socket;
//! - in a `reuse_port` group sockets are numbered in the order of `listen()`; when one closes, the
//!   *last* takes its number. Close the last only, or steer again at once;
//! - `SO_REUSEPORT` lets any process of the same user join the group without an error, a second
//!   master for instance: ask [`in_use`] first;
//! - non-blocking mode belongs to the socket, not to the descriptor: all holders share it;
//! - options of a TCP listener are inherited by what it accepts, which saves setting them there;
//! - unix sockets know no groups: they are shared.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, Shutdown, SocketAddrUnix, SocketFlags, SocketType, ipproto, sockopt,
};

use crate::sockopt::get;

mod address;
mod steer;
mod unix;

pub use address::{Address, ParseAddressError};
pub use steer::{SLOTS_MAX, steer, unsteer};

/// A dead peer on an idle connection is noticed after 60 s + 3 × 10 s.
const KEEPALIVE_IDLE: Duration = Duration::from_mins(1);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 3;
/// A dead peer that has data outstanding is given up after this, instead of about 15 minutes. The
/// closed window of a living peer counts too, so it is longer than people pause a download by
/// accident, and than the time-outs of the HTTP layer.
const USER_TIMEOUT_MS: u32 = 120_000;

/// How to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many accepted-to-be connections the kernel keeps; it cuts this to `net.core.somaxconn`.
    pub backlog: i32,
    /// Lets further sockets of the same user listen on the same TCP address. No effect on unix
    /// sockets.
    pub reuse_port: bool,
    /// Access rights of a unix socket's file.
    pub unix_mode: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            backlog: 4096,
            reuse_port: false,
            unix_mode: 0o660,
        }
    }
}

/// What waits at a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Connections that wait to be accepted; 0 for unix sockets, which do not tell.
    pub waiting: u32,
    /// How many can wait; 0 for unix sockets.
    pub limit: u32,
    /// Whether it listens. It does not after [`shutdown`], by whomever.
    pub listening: bool,
}

/// Listens on `address`: non-blocking, close-on-exec.
///
/// TCP: `SO_REUSEADDR`, no Nagle delay, keep-alive probes (60 s, then 3 every 10 s) and a user
/// timeout of 120 s, all inherited by accepted connections; IPv6 sockets take IPv6 only. Port 0 takes
/// a free one, see [`local_address`].
///
/// Unix: the file appears under its name when the socket listens, with its final rights. A file of a
/// socket that nobody listens on is replaced. Paths may be longer than the kernel's 107 bytes.
///
/// `AddrInUse` when somebody listens there (for `reuse_port`: somebody without it, or another user)
/// or the path is something else than a socket; `AddrNotAvailable` when the machine does not have
/// the address; `PermissionDenied` for low ports and directories without the right.
pub fn bind(address: &Address, options: &Options) -> io::Result<OwnedFd> {
    let bound = match address {
        Address::Tcp(address) => bind_tcp(*address, options),
        Address::Unix(path) => unix::bind(path, options),
    };
    bound.map_err(|error| {
        io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
    })
}

fn bind_tcp(address: SocketAddr, options: &Options) -> io::Result<OwnedFd> {
    let fd = tcp_socket(address)?;
    sockopt::set_socket_reuseport(&fd, options.reuse_port)?;
    rustix::net::bind(&fd, &address)?;
    sockopt::set_tcp_nodelay(&fd, true)?;
    sockopt::set_socket_keepalive(&fd, true)?;
    sockopt::set_tcp_keepidle(&fd, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(&fd, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(&fd, KEEPALIVE_PROBES)?;
    sockopt::set_tcp_user_timeout(&fd, USER_TIMEOUT_MS)?;
    rustix::net::listen(&fd, options.backlog)?;
    Ok(fd)
}

/// A TCP socket that can take over the address of connections that are closing.
fn tcp_socket(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = match address.ip() {
        IpAddr::V4(_) => AddressFamily::INET,
        IpAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let fd = rustix::net::socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    sockopt::set_socket_reuseaddr(&fd, true)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&fd, true)?;
    }
    Ok(fd)
}

/// Whether somebody listens on `address` already, even with `reuse_port`.
///
/// It is a look, not a claim: it can be different a moment later. Port 0 never is in use.
pub fn in_use(address: &Address) -> io::Result<bool> {
    match address {
        Address::Unix(path) => unix::in_use(path),
        Address::Tcp(address) => match rustix::net::bind(tcp_socket(*address)?, address) {
            Ok(()) => Ok(false),
            Err(Errno::ADDRINUSE) => Ok(true),
            Err(error) => Err(error.into()),
        },
    }
}

/// The address that a socket is bound to, with the port it was given.
///
/// `Unsupported` for sockets without a name, abstract unix names, families other than these, and
/// unix sockets that [`bind`] gave a path of more than about 85 bytes, as the kernel does not know
/// that path.
pub fn local_address(fd: impl AsFd) -> io::Result<Address> {
    let name = rustix::net::getsockname(fd)?;
    if let Ok(address) = SocketAddr::try_from(name.clone()) {
        return Ok(Address::Tcp(address));
    }
    SocketAddrUnix::try_from(name)
        .ok()
        .and_then(|name| unix::path_of(&name))
        .map(Address::Unix)
        .ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::Unsupported,
                "the socket has no name that can be told",
            )
        })
}

/// Whether further sockets can listen beside this one (`reuse_port`).
pub fn is_grouped(fd: impl AsFd) -> io::Result<bool> {
    Ok(sockopt::socket_reuseport(fd)?)
}

/// Connects to the unix socket at `path`, of any length, without waiting: non-blocking,
/// close-on-exec.
///
/// `NotFound` or `ConnectionRefused` when nobody listens there, `WouldBlock` when whoever does has
/// no time.
pub fn connect_unix(path: &Path) -> io::Result<OwnedFd> {
    unix::connect(path)
}

/// What waits at a listener; cheap (one system call), and a worker cannot falsify it.
pub fn queue(fd: impl AsFd) -> io::Result<Queue> {
    const STATE_LISTEN: u8 = 10;
    let fd = fd.as_fd();
    if sockopt::socket_domain(fd)? == AddressFamily::UNIX {
        let listening = sockopt::socket_acceptconn(fd)?;
        return Ok(Queue {
            waiting: 0,
            limit: 0,
            listening,
        });
    }
    let info: libc::tcp_info = get(fd, libc::IPPROTO_TCP, libc::TCP_INFO)?;
    // For a listener these two fields have another meaning than for a connection.
    Ok(match info.tcpi_state {
        STATE_LISTEN => Queue {
            waiting: info.tcpi_unacked,
            limit: info.tcpi_sacked,
            listening: true,
        },
        _ => Queue {
            waiting: 0,
            limit: 0,
            listening: false,
        },
    })
}

/// Listens again on a TCP socket that was shut down, or changes the backlog of one that listens.
///
/// In a `reuse_port` group it comes last now. A socket that was bound to port 0 has lost its port
/// by the shutdown and gets another; a unix socket that was shut down cannot be revived.
pub fn relisten(fd: impl AsFd, backlog: i32) -> io::Result<()> {
    Ok(rustix::net::listen(fd, backlog)?)
}

/// Stops listening, for all processes that hold the socket; what waits in its queue is reset.
pub fn shutdown(fd: impl AsFd) -> io::Result<()> {
    Ok(rustix::net::shutdown(fd, Shutdown::Both)?)
}
