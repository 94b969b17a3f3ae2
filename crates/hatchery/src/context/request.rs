//! What a request says of itself and of who asks.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use http::header::{HOST, HeaderName};
use http::{HeaderMap, Method, Uri};

use super::Context;
use super::layer::REQUEST_ID;
use crate::serve::Limits;

/// Longest id of a request that is taken over from the client.
const ID_BYTES_MAX: usize = 128;

/// Which headers are believed: none, unless a proxy writes them.
#[derive(Debug, Default)]
pub(crate) struct Trust {
    proxy: bool,
    max_ips_count: usize,
    ip_headers: Vec<HeaderName>,
    host_headers: Vec<HeaderName>,
    protocol_headers: Vec<HeaderName>,
}

impl Trust {
    pub(crate) fn new(limits: Limits) -> Self {
        let names =
            |names: Vec<String>| names.iter().filter_map(|name| name.parse().ok()).collect();
        Self {
            proxy: limits.proxy,
            max_ips_count: limits.max_ips_count,
            ip_headers: names(limits.ip_headers),
            host_headers: names(limits.host_headers),
            protocol_headers: names(limits.protocol_headers),
        }
    }
}

impl Context {
    /// The request's method.
    pub fn method(&self) -> &Method {
        &self.data.method
    }

    /// What the request asks for, path and query.
    pub fn uri(&self) -> &Uri {
        &self.data.uri
    }

    /// The path that the request asks for.
    pub fn path(&self) -> &str {
        self.data.uri.path()
    }

    /// The request's headers, as the client has sent them.
    pub fn headers(&self) -> &HeaderMap {
        &self.data.headers
    }

    /// One header as text; `None` when it is not there, or not text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.data.headers.get(name)?.to_str().ok()
    }

    /// The other end of the connection: the last proxy, if there are any. Unix sockets have none.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.data.peer
    }

    /// Who asks, and the proxies in between, the client first: what the first present header of
    /// `http.ip_headers` says, and of that the last `http.max_ips_count`. Empty unless `http.proxy`
    /// is set: anybody can write such headers.
    pub fn ips(&self) -> Vec<IpAddr> {
        let trust = self.trust();
        // A proxy may add a line of its own below the one that the client wrote.
        let texts = self.all_forwarded(&trust.ip_headers);
        let all: Vec<_> = texts.flat_map(|text| text.split(',')).collect();
        let keep = match trust.max_ips_count {
            0 => all.len(),
            count => count,
        };
        let kept = &all[all.len().saturating_sub(keep)..];
        kept.iter().filter_map(|text| ip(text.trim())).collect()
    }

    /// The address of who asks: the first of [`ips`](Self::ips), else the connection's.
    pub fn ip(&self) -> Option<IpAddr> {
        let forwarded = if self.trust().proxy {
            self.ips().first().copied()
        } else {
            None
        };
        forwarded.or_else(|| Some(self.data.peer?.ip().to_canonical()))
    }

    /// The host that the client has asked, with its port if it was named.
    pub fn host(&self) -> Option<&str> {
        let forwarded = self.forwarded(&self.trust().host_headers).map(first);
        let host = forwarded.or_else(|| self.data.headers.get(HOST)?.to_str().ok());
        // HTTP/2 has it in the address.
        host.or_else(|| self.data.uri.authority().map(http::uri::Authority::as_str))
    }

    /// `http`, or what a proxy says that it was asked by.
    pub fn protocol(&self) -> &str {
        let forwarded = self.forwarded(&self.trust().protocol_headers);
        forwarded.map_or("http", first)
    }

    fn trust(&self) -> &super::Trust {
        &self.app().state().trust
    }

    /// All lines of the first of these headers that is there, if headers are believed.
    fn all_forwarded<'c>(&'c self, names: &[HeaderName]) -> impl Iterator<Item = &'c str> {
        let headers = self.headers();
        let believed = self.trust().proxy;
        let there = names
            .iter()
            .find(|name| believed && headers.contains_key(*name));
        let lines = there.map(|name| headers.get_all(name).into_iter());
        lines
            .into_iter()
            .flatten()
            .filter_map(|line| line.to_str().ok())
    }

    /// The first of these headers that is there, if headers are believed.
    fn forwarded(&self, names: &[HeaderName]) -> Option<&str> {
        if !self.trust().proxy {
            return None;
        }
        let values = names.iter().filter_map(|name| self.data.headers.get(name));
        values
            .filter_map(|value| value.to_str().ok())
            .find(|value| !value.trim().is_empty())
    }
}

fn first(list: &str) -> &str {
    list.split(',').next().unwrap_or(list).trim()
}

/// An address as proxies write it: with a port, in brackets.
fn ip(text: &str) -> Option<IpAddr> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse().ok();
    let address = address.or_else(|| text.parse().ok().map(|socket: SocketAddr| socket.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

/// The id that a request came with, else a new one.
pub(super) fn id(headers: &HeaderMap) -> String {
    let given = headers.get(&REQUEST_ID).and_then(|id| id.to_str().ok());
    match given {
        Some(id) if is_plain(id) => id.to_owned(),
        _ => new_id(),
    }
}

/// Whether an id can stand in a log line and in a header.
fn is_plain(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(&byte);
    (1..=ID_BYTES_MAX).contains(&id.len()) && id.bytes().all(plain)
}

/// One that no other request of any process has. It is no secret.
fn new_id() -> String {
    static PROCESS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let half = |which: u64| {
        let mut hasher = PROCESS.build_hasher();
        hasher.write_u64(count);
        hasher.write_u64(which);
        hasher.finish()
    };
    format!("{:016x}{:016x}", half(0), half(1))
}
