//! The control socket: one JSON request a line, answered when it is true.
//!
//! Everything is bounded: clients, line lengths, what waits to be written. A client that does not
//! read its answers loses its connection; the loop never waits for one.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use hatchery_ipc::control::{LINE_MAX, Request, Response};
use hatchery_sys::inherit::Inherited;
use hatchery_sys::{packet, peer};
use serde::{Deserialize, Serialize};

use crate::error::{Context as _, Error, ErrorCode};
use crate::socket_path;
use crate::state::{self, Bag, Fd};

/// Most clients at once; a further one waits in the socket's backlog.
const CLIENTS_MAX: usize = 64;

/// Most descriptors that a client's request brings.
const FDS_MAX: usize = 4;

/// Most bytes that wait for one client.
const PENDING_MAX: usize = 1 << 20;

/// The listening side and everyone connected to it.
#[derive(Debug)]
pub(crate) struct Control {
    listener: UnixListener,
    /// By number; a number is never used twice, so an answer cannot reach somebody else.
    clients: BTreeMap<u64, Client>,
    next_client: u64,
}

#[derive(Debug)]
struct Client {
    stream: UnixStream,
    input: Vec<u8>,
    /// What came beside the input.
    fds: Vec<OwnedFd>,
    output: Vec<u8>,
}

/// The [`Control`] for the next image: whoever waits for an answer gets it from that one.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SavedControl {
    pub(crate) listener: Fd,
    pub(crate) clients: Vec<(u64, SavedClient)>,
    next_client: u64,
}

/// A client for the next image.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SavedClient {
    pub(crate) stream: Fd,
    #[serde(with = "state::bytes")]
    input: Vec<u8>,
    #[serde(with = "state::bytes")]
    pub(crate) output: Vec<u8>,
}

/// What became of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Connection {
    /// All is written.
    Idle,
    /// Something waits until the client reads.
    Pending,
    /// It is gone.
    Closed,
}

impl Control {
    /// Binds the socket, mode 0600. The caller holds the run directory's lock, so a file that is
    /// there already is a dead master's.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let open = || -> io::Result<UnixListener> {
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let listener = socket_path::bind_private(path)?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        let listener = open().context(ErrorCode::RunDir, || {
            format!("cannot open {}", path.display())
        })?;
        Ok(Self {
            listener,
            clients: BTreeMap::new(),
            next_client: 0,
        })
    }

    pub(crate) fn save<'a>(&'a self, bag: &mut Bag<'a>) -> SavedControl {
        let Self {
            listener,
            clients,
            next_client,
        } = self;
        let mut save = |client: &'a Client| {
            let Client {
                stream,
                input,
                // An orphan asks again.
                fds: _,
                output,
            } = client;
            SavedClient {
                stream: bag.put(stream.as_fd()),
                input: input.clone(),
                output: output.clone(),
            }
        };
        let clients = clients.iter().map(|(key, client)| (*key, save(client)));
        SavedControl {
            clients: clients.collect(),
            listener: bag.put(listener.as_fd()),
            next_client: *next_client,
        }
    }

    pub(crate) fn restore(saved: SavedControl, inherited: &mut Inherited) -> io::Result<Self> {
        let mut clients = BTreeMap::new();
        for (key, client) in saved.clients {
            let SavedClient {
                stream,
                input,
                output,
            } = client;
            let client = Client {
                stream: inherited.take(stream.number())?.into(),
                input,
                fds: Vec::new(),
                output,
            };
            clients.insert(key, client);
        }
        Ok(Self {
            listener: inherited.take(saved.listener.number())?.into(),
            clients,
            next_client: saved.next_client,
        })
    }

    pub(crate) fn listener(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    /// Accepts one client, if there is one and room for it. Somebody else's process is turned away
    /// (root may always ask).
    pub(crate) fn accept(&mut self) -> Option<u64> {
        while self.clients.len() < CLIENTS_MAX {
            let (stream, _) = self.listener.accept().ok()?;
            let uid = peer::credentials(stream.as_fd()).map(|peer| peer.uid);
            if !uid.is_ok_and(|uid| uid == 0 || uid == peer::effective_uid()) {
                continue;
            }
            if stream.set_nonblocking(true).is_ok() {
                let client = Client {
                    stream,
                    input: Vec::new(),
                    fds: Vec::new(),
                    output: Vec::new(),
                };
                let key = self.next_client;
                self.next_client += 1;
                self.clients.insert(key, client);
                return Some(key);
            }
        }
        None
    }

    /// Whether nobody more is accepted.
    pub(crate) fn is_full(&self) -> bool {
        self.clients.len() >= CLIENTS_MAX
    }

    /// What epoll watches.
    pub(crate) fn client(&self, key: u64) -> Option<BorrowedFd<'_>> {
        self.clients.get(&key).map(|client| client.stream.as_fd())
    }

    /// Reads what a client sent; every complete line is a request or an error. `None`: it is gone.
    pub(crate) fn read(&mut self, key: u64) -> Option<Vec<Result<Request, hatchery_ipc::Error>>> {
        let client = self.clients.get_mut(&key)?;
        let mut chunk = [0; 4096];
        match packet::receive(&client.stream, &mut chunk, true) {
            Ok(Some(packet)) => {
                client.input.extend(&chunk[..packet.len]);
                client.fds.extend(packet.fds);
                client.fds.truncate(FDS_MAX);
            }
            Err(error) if is_transient(&error) => {}
            Ok(None) | Err(_) => return None,
        }
        let mut requests = Vec::new();
        while let Some(end) = client.input.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = client.input.drain(..=end).collect();
            let line = line.trim_ascii();
            if !line.is_empty() {
                requests.push(Request::parse(line));
            }
        }
        if client.input.len() > LINE_MAX {
            requests.push(Request::parse(&client.input));
            client.input.clear();
        }
        Some(requests)
    }

    /// The descriptors that a client has sent, in their order.
    pub(crate) fn take_fds(&mut self, key: u64) -> Vec<OwnedFd> {
        let client = self.clients.get_mut(&key);
        client.map_or_else(Vec::new, |client| std::mem::take(&mut client.fds))
    }

    /// Everyone connected.
    pub(crate) fn keys(&self) -> Vec<u64> {
        self.clients.keys().copied().collect()
    }

    /// Queues an answer and writes what can be written.
    pub(crate) fn answer(&mut self, key: u64, response: &Response) -> Connection {
        let Some(client) = self.clients.get_mut(&key) else {
            return Connection::Closed;
        };
        let line = response.to_line();
        if client.output.len() + line.len() > PENDING_MAX {
            return Connection::Closed;
        }
        client.output.extend(line);
        self.flush(key)
    }

    /// Writes what can be written.
    pub(crate) fn flush(&mut self, key: u64) -> Connection {
        let Some(client) = self.clients.get_mut(&key) else {
            return Connection::Closed;
        };
        while !client.output.is_empty() {
            match client.stream.write(&client.output) {
                Ok(n) => drop(client.output.drain(..n)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_transient(&error) => return Connection::Pending,
                Err(_) => return Connection::Closed,
            }
        }
        Connection::Idle
    }

    /// How many bytes wait for a client; `None` when it is gone.
    pub(crate) fn pending(&self, key: u64) -> Option<usize> {
        self.clients.get(&key).map(|client| client.output.len())
    }

    /// Forgets a client and closes its connection.
    pub(crate) fn close(&mut self, key: u64) {
        self.clients.remove(&key);
    }
}

fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
