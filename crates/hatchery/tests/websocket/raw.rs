//! A client that says exactly what it is told to, right or wrong.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A handshake as it should be.
pub(crate) fn handshake(path: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
    )
}

/// A connection.
pub(crate) struct Raw(TcpStream);

/// What comes back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// With its code, if it has one.
    Close(Option<u16>),
    /// The connection was closed as it should be.
    End,
    /// The connection was reset.
    Reset,
}

impl Raw {
    pub(crate) fn connect(port: u16) -> Self {
        let stream =
            TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).expect("it listens");
        stream.set_nodelay(true).expect("a socket");
        let limit = Duration::from_secs(20);
        stream.set_read_timeout(Some(limit)).expect("a socket");
        Self(stream)
    }

    /// With the handshake done.
    pub(crate) fn open(port: u16, path: &str) -> Self {
        let mut raw = Self::connect(port);
        raw.send(handshake(path, "").as_bytes());
        let head = raw.head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(
            head.contains("\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
            "{head}"
        );
        raw
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        // The other end may have seen enough already.
        let _ = self.0.write_all(bytes);
    }

    pub(crate) fn text(&mut self, text: &str) {
        let length = u8::try_from(text.len()).ok().filter(|length| *length < 126);
        let length = length.expect("a short text");
        self.send(&[&[0x81, 0x80 | length, 0, 0, 0, 0], text.as_bytes()].concat());
    }

    /// A response's header.
    pub(crate) fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if !matches!(self.0.read(&mut byte), Ok(1)) {
                break;
            }
            head.push(byte[0]);
        }
        String::from_utf8(head).expect("a text")
    }

    /// The next frame. Servers mask none, and ours sends none in fragments.
    pub(crate) fn frame(&mut self) -> Frame {
        let mut head = [0; 2];
        let read = self.0.read_exact(&mut head);
        match read.as_ref().map_err(std::io::Error::kind) {
            Ok(()) => {}
            Err(std::io::ErrorKind::UnexpectedEof) => return Frame::End,
            Err(std::io::ErrorKind::ConnectionReset) => return Frame::Reset,
            Err(kind) => panic!("nothing comes: {kind}"),
        }
        assert_eq!(head[0] & 0xf0, 0x80);
        let length = match head[1] {
            126 => u64::from(u16::from_be_bytes(self.bytes())),
            127 => u64::from_be_bytes(self.bytes()),
            length => u64::from(length),
        };
        let mut payload = vec![0; usize::try_from(length).expect("a length")];
        self.0.read_exact(&mut payload).expect("a payload");
        match head[0] & 0x0f {
            1 => Frame::Text(String::from_utf8(payload).expect("a text")),
            2 => Frame::Binary(payload),
            8 => Frame::Close(
                payload
                    .get(..2)
                    .map(|code| u16::from(code[0]) << 8 | u16::from(code[1])),
            ),
            9 => Frame::Ping(payload),
            10 => Frame::Pong(payload),
            opcode => panic!("opcode {opcode}"),
        }
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes).expect("a length");
        bytes
    }
}
