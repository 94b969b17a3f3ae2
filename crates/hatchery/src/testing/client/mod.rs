//! An HTTP/1.1 client that never retries and tells failures apart.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Longest head that is read, bytes.
const HEAD_MAX: usize = 64 << 10;

/// Longest body that is read, bytes.
const BODY_MAX: usize = 16 << 20;

/// Where to connect to.
#[derive(Clone, Debug)]
pub enum Target {
    /// To an address and port.
    Tcp(SocketAddr),
    /// To a socket file.
    Unix(PathBuf),
}

/// How a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailureKind {
    /// There was no connection to be had.
    Connect,
    /// The connection was reset, or broke while the request was written.
    Reset,
    /// The connection ended before a byte of the answer.
    Eof,
    /// The connection ended in the middle of the answer.
    Short,
    /// No complete answer in time.
    Timeout,
    /// The answer is not HTTP.
    Malformed,
    /// The answer is not the expected one.
    Answer,
}

/// Why there is no answer.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Of which kind.
    pub kind: FailureKind,
    /// What the system or the answer says.
    pub detail: String,
}

impl Failure {
    /// A failure that a test found in the answer.
    pub fn new(kind: FailureKind, detail: impl fmt::Display) -> Self {
        let detail = detail.to_string();
        Self { kind, detail }
    }
}

impl std::error::Error for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.detail)
    }
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct Request {
    method: &'static str,
    /// With the query.
    pub path: String,
    headers: Vec<(&'static str, String)>,
    body: Option<Vec<u8>>,
}

impl Request {
    /// Without headers and body.
    #[must_use]
    pub fn new(method: &'static str, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            headers: Vec::new(),
            body: None,
        }
    }

    /// A GET.
    #[must_use]
    pub fn get(path: impl Into<String>) -> Self {
        Self::new("GET", path)
    }

    /// A POST with a body.
    #[must_use]
    pub fn post(path: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        let mut request = Self::new("POST", path);
        request.body = Some(body.into());
        request
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Asks for the connection to end with the answer.
    #[must_use]
    pub fn close(self) -> Self {
        self.header("connection", "close")
    }

    /// As it goes over the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut lines = vec![format!("{} {} HTTP/1.1", self.method, self.path)];
        lines.push("host: test".to_owned());
        lines.extend(
            self.headers
                .iter()
                .map(|(name, value)| format!("{name}: {value}")),
        );
        if let Some(body) = &self.body {
            lines.push(format!("content-length: {}", body.len()));
        }
        let mut bytes = (lines.join("\r\n") + "\r\n\r\n").into_bytes();
        bytes.extend(self.body.iter().flatten());
        bytes
    }
}

/// What was answered, complete.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    headers: Vec<(String, String)>,
    /// The body, without its chunks.
    pub body: Vec<u8>,
}

impl Response {
    /// A header's value; names are lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null when it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Whether the server ends the connection with this answer.
    pub fn closes(&self) -> bool {
        self.header("connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    /// Bytes that were read beyond the last answer.
    ahead: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub fn open(target: &Target, limit: Duration) -> Result<Self, Failure> {
        let stream = match target {
            Target::Tcp(address) => TcpStream::connect_timeout(address, limit).and_then(|stream| {
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }),
            Target::Unix(path) => UnixStream::connect(path).map(Stream::Unix),
        };
        let stream = stream.map_err(|error| Failure::new(FailureKind::Connect, error))?;
        let ahead = Vec::new();
        Ok(Self { stream, ahead })
    }

    /// Asks and waits for the whole answer.
    pub fn request(&mut self, request: &Request, limit: Duration) -> Result<Response, Failure> {
        self.send(request)?;
        self.receive(limit)
    }

    /// Asks, and does not wait.
    pub fn send(&mut self, request: &Request) -> Result<(), Failure> {
        self.send_bytes(&request.to_bytes())
    }

    /// Writes these bytes, whatever they are.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.stream.set_nonblocking(false).map_err(failure)?;
        self.stream
            .set_timeout(Duration::from_secs(20))
            .map_err(failure)?;
        self.stream.write_all(bytes).map_err(failure)
    }

    /// Waits for the whole answer to what was sent.
    pub fn receive(&mut self, limit: Duration) -> Result<Response, Failure> {
        let deadline = Instant::now() + limit;
        loop {
            let response = self.receive_one(deadline)?;
            if response.status >= 200 {
                return Ok(response);
            }
        }
    }

    fn receive_one(&mut self, deadline: Instant) -> Result<Response, Failure> {
        let head_len = loop {
            if let Some(at) = find(&self.ahead, b"\r\n\r\n") {
                break at + 4;
            }
            if self.ahead.len() > HEAD_MAX {
                return Err(Failure::new(FailureKind::Malformed, "endless head"));
            }
            self.read_more(deadline)?;
        };
        let head: Vec<u8> = self.ahead.drain(..head_len).collect();
        let (status, headers) = parse_head(&head)
            .ok_or_else(|| Failure::new(FailureKind::Malformed, head.escape_ascii()))?;
        let mut response = Response {
            status,
            headers,
            body: Vec::new(),
        };
        response.body = match (
            response.header("content-length"),
            response.header("transfer-encoding"),
        ) {
            _ if matches!(status, 100..200 | 204 | 304) => Vec::new(),
            (Some(length), None) => {
                let length = length.parse().ok().filter(|&length| length <= BODY_MAX);
                let length =
                    length.ok_or_else(|| Failure::new(FailureKind::Malformed, "its length"))?;
                self.take(length, deadline)?
            }
            (None, Some("chunked")) => self.take_chunks(deadline)?,
            _ => return Err(Failure::new(FailureKind::Malformed, "a body of no length")),
        };
        Ok(response)
    }

    fn take(&mut self, length: usize, deadline: Instant) -> Result<Vec<u8>, Failure> {
        while self.ahead.len() < length {
            self.read_more(deadline).map_err(in_the_middle)?;
        }
        Ok(self.ahead.drain(..length).collect())
    }

    fn take_chunks(&mut self, deadline: Instant) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        loop {
            let line_len = loop {
                if let Some(at) = find(&self.ahead, b"\r\n") {
                    break at;
                }
                self.read_more(deadline).map_err(in_the_middle)?;
            };
            let line = String::from_utf8_lossy(&self.ahead[..line_len]).into_owned();
            let length = usize::from_str_radix(&line, 16)
                .ok()
                .filter(|length| body.len() + length <= BODY_MAX)
                .ok_or_else(|| Failure::new(FailureKind::Malformed, &line))?;
            self.ahead.drain(..line_len + 2);
            body.extend(self.take(length, deadline)?);
            self.take(2, deadline)?;
            if length == 0 {
                return Ok(body);
            }
        }
    }

    /// Reads raw bytes until there are `length`.
    pub fn receive_bytes(&mut self, length: usize, limit: Duration) -> Result<Vec<u8>, Failure> {
        self.take(length, Instant::now() + limit)
    }

    /// Whether the server has ended the connection while nothing was asked.
    pub fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        let read = self
            .stream
            .set_nonblocking(true)
            .and_then(|()| self.stream.read(&mut byte));
        match read {
            Ok(0) => true,
            Ok(_) => {
                self.ahead.push(byte[0]);
                false
            }
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        }
    }

    fn read_more(&mut self, deadline: Instant) -> Result<(), Failure> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Failure::new(FailureKind::Timeout, "no answer in time"));
        }
        self.stream.set_nonblocking(false).map_err(failure)?;
        self.stream.set_timeout(left).map_err(failure)?;
        let mut buffer = [0; 16 << 10];
        match self.stream.read(&mut buffer).map_err(failure)? {
            0 if self.ahead.is_empty() => Err(Failure::new(FailureKind::Eof, "no byte came")),
            0 => Err(Failure::new(FailureKind::Short, "end in the middle")),
            count => {
                self.ahead.extend(&buffer[..count]);
                Ok(())
            }
        }
    }
}

/// One request on a connection of its own.
pub fn ask(target: &Target, request: &Request, limit: Duration) -> Result<Response, Failure> {
    Connection::open(target, limit)?.request(request, limit)
}

/// In a body, an end before the first of its bytes is still one in the middle of the answer.
fn in_the_middle(mut failure: Failure) -> Failure {
    if failure.kind == FailureKind::Eof {
        failure.kind = FailureKind::Short;
    }
    failure
}

fn failure(error: io::Error) -> Failure {
    let kind = match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => FailureKind::Timeout,
        _ => FailureKind::Reset,
    };
    Failure::new(kind, error)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn parse_head(head: &[u8]) -> Option<(u16, Vec<(String, String)>)> {
    let mut lines = str::from_utf8(head).ok()?.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?;
    let headers = lines
        .take_while(|line| !line.is_empty())
        .map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        })
        .collect::<Option<_>>()?;
    Some((status.parse().ok()?, headers))
}

impl Stream {
    fn set_nonblocking(&self, on: bool) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_nonblocking(on),
            Self::Unix(stream) => stream.set_nonblocking(on),
        }
    }

    /// Limits the next read and the next write.
    fn set_timeout(&self, limit: Duration) -> io::Result<()> {
        let limit = Some(limit);
        match self {
            Self::Tcp(stream) => stream
                .set_read_timeout(limit)
                .and_then(|()| stream.set_write_timeout(limit)),
            Self::Unix(stream) => stream
                .set_read_timeout(limit)
                .and_then(|()| stream.set_write_timeout(limit)),
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
