//! `/ws`, and what its clients see of a reload. The rest of WebSockets is tested in `hatchery`.

use std::time::Duration;

use hatchery::testing::client::Connection;

use crate::support::{SOON, showcase};

/// A WebSocket to `/ws`.
fn open(pool: &hatchery::testing::Cluster) -> Connection {
    let mut client = Connection::open(&pool.target(), SOON).unwrap();
    let key = "dGhlIHNhbXBsZSBub25jZQ==";
    let request = format!(
        "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    );
    client.send_bytes(request.as_bytes()).unwrap();
    let head = client.receive_bytes(12, SOON).unwrap();
    assert_eq!(head, b"HTTP/1.1 101");
    let mut rest = Vec::new();
    while !rest.ends_with(b"\r\n\r\n") {
        rest.extend(client.receive_bytes(1, SOON).unwrap());
    }
    client
}

/// `a`, there and back.
fn echo(client: &mut Connection) {
    client.send_bytes(&[0x81, 0x81, 0, 0, 0, 0, b'a']).unwrap();
    assert_eq!(client.receive_bytes(3, SOON).unwrap(), [0x81, 1, b'a']);
}

#[test]
fn a_reload_closes_websockets_with_1012() {
    let mut pool = showcase()
        .workers(2)
        .set("websocket.ws_drain", "1s")
        .start();
    let mut clients: Vec<_> = (0..8).map(|_| open(&pool)).collect();
    clients.iter_mut().for_each(echo);
    pool.reload();
    for client in &mut clients {
        let head = client.receive_bytes(4, Duration::from_secs(10)).unwrap();
        assert_eq!(head[0], 0x88);
        assert_eq!(u16::from_be_bytes([head[2], head[3]]), 1012);
    }
    echo(&mut open(&pool));
    pool.stop();
}
