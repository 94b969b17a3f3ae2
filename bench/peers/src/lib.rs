//! What the peers share: arguments, the listening socket and the answers' shapes.
//!
//! Every peer is started as `peer-NAME PORT WORKERS` and serves `GET /hello`, `GET /framework`,
//! `GET /json`, `GET /users/{id}` and `POST /echo` on 127.0.0.1 until SIGTERM ends it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use serde::Serialize;
use socket2::{Domain, Protocol, Socket, Type};

/// The body of `GET /hello` and `GET /framework`, the same as the showcase's.
pub const HELLO: &str = "Hello, Hatchery";

/// Length of the accept queue, the same as Hatchery's default.
const BACKLOG: i32 = 4096;

/// The body of `GET /json`.
#[derive(Debug, Serialize)]
pub struct Message {
    /// Always "Hello, World!".
    pub message: &'static str,
}

/// The one message of `GET /json`.
pub const MESSAGE: Message = Message {
    message: "Hello, World!",
};

/// The body of `GET /users/{id}`.
#[derive(Debug, Serialize)]
pub struct User<'a> {
    /// The path's last segment.
    pub id: &'a str,
}

/// What the command line asks for.
#[derive(Clone, Copy, Debug)]
pub struct Arguments {
    /// Port on 127.0.0.1.
    pub port: u16,
    /// Threads that serve.
    pub workers: usize,
}

impl Arguments {
    /// Reads the command line.
    ///
    /// # Panics
    ///
    /// Panics when it is not `PORT WORKERS`.
    #[must_use]
    pub fn from_env() -> Self {
        let mut words = std::env::args().skip(1);
        let mut number = |name: &str| -> u16 {
            let word = words.next().unwrap_or_default();
            word.parse()
                .unwrap_or_else(|_| panic!("usage: peer PORT WORKERS ({name}: {word:?})"))
        };
        Self {
            port: number("PORT"),
            workers: usize::from(number("WORKERS")),
        }
    }
}

/// Makes the listening socket. Accepted sockets inherit `TCP_NODELAY` from it, as they do in
/// Hatchery, so that no server pays a system call a connection that another one saves.
///
/// # Errors
///
/// What the system answers, for example that the port is in use.
pub fn listen(port: u16) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
