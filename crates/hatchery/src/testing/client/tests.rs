//! The client tells failures apart: against a scripted server.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use super::{Connection, Failure, FailureKind, Request, Response, Target};
use crate::testing::{free_port, wait_until};

const LIMIT: Duration = Duration::from_secs(5);

/// Reads one request, answers with `bytes` and ends the connection, with a reset if so asked.
fn answered(bytes: &'static [u8], reset: bool) -> Result<Response, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = Target::Tcp(listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
        stream.write_all(bytes).unwrap();
        if reset {
            let linger = Some(Duration::ZERO);
            rustix::net::sockopt::set_socket_linger(stream.as_fd(), linger).unwrap();
        }
    });
    let mut connection = Connection::open(&target, LIMIT).unwrap();
    let result = connection.request(&Request::get("/"), LIMIT);
    server.join().unwrap();
    result
}

#[test]
fn the_client_reads_answers() {
    let plain = answered(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", false).unwrap();
    assert_eq!((plain.status, plain.text().as_str()), (200, "hi"));
    assert!(!plain.closes());

    let continued =
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
    let continued = answered(continued, false).unwrap();
    assert_eq!(continued.status, 204);
    assert!(continued.closes());

    let chunked =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n1\r\n!\r\n0\r\n\r\n";
    assert_eq!(answered(chunked, false).unwrap().text(), "hi!");
}

#[test]
fn the_client_tells_failures_apart() {
    let cases: [(&[u8], bool, FailureKind); 7] = [
        (b"", false, FailureKind::Eof),
        (b"", true, FailureKind::Reset),
        (b"HTTP/1.1 200 O", false, FailureKind::Short),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n",
            false,
            FailureKind::Short,
        ),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhi",
            false,
            FailureKind::Short,
        ),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nh",
            false,
            FailureKind::Short,
        ),
        (b"SSH-2.0-x\r\n\r\n", false, FailureKind::Malformed),
    ];
    for (bytes, reset, kind) in cases {
        let failure = answered(bytes, reset).unwrap_err();
        assert_eq!(failure.kind, kind, "{}: {failure}", bytes.escape_ascii());
    }
    let nobody = Target::Tcp(([127, 0, 0, 1], free_port()).into());
    let failure = Connection::open(&nobody, LIMIT).err().unwrap();
    assert_eq!(failure.kind, FailureKind::Connect);
}

#[test]
fn a_slow_answer_is_a_time_out_and_a_closed_connection_is_seen() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = Target::Tcp(listener.local_addr().unwrap());
    let mut connection = Connection::open(&target, LIMIT).unwrap();
    let (stream, _) = listener.accept().unwrap();
    let failure = connection
        .request(&Request::get("/"), Duration::from_millis(50))
        .unwrap_err();
    assert_eq!(failure.kind, FailureKind::Timeout);
    assert!(!connection.is_closed());
    drop(stream);
    wait_until("the end is seen", LIMIT, || connection.is_closed());
}
