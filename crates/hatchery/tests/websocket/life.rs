//! What a WebSocket's life is like.

use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use hatchery::testing::client::Request;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::raw::{Frame, Raw, handshake};
use crate::{block_on, pool};

pub(crate) type Client = WebSocketStream<TcpStream>;

/// A client that somebody else has written. `None`: there is nobody, or it does not want to.
pub(crate) async fn connect(port: u16, path: &str) -> Option<Client> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    stream.set_nodelay(true).ok()?;
    let request = format!("ws://127.0.0.1:{port}{path}").into_client_request();
    let (client, _) = client_async(request.ok()?, stream).await.ok()?;
    Some(client)
}

/// Texts and bytes come back, whatever their length.
pub(crate) fn messages() {
    let mut cluster = pool(1).start();
    block_on(async {
        let mut client = connect(cluster.port(), "/echo").await.expect("a handshake");
        for length in [0, 1, 125, 126, 1000, 20_000, 32 * 1024] {
            for message in [
                Message::text("x".repeat(length)),
                Message::binary(vec![7; length]),
            ] {
                client.send(message.clone()).await.expect("it is open");
                let answer = client.next().await.expect("an answer").expect("no error");
                assert_eq!(answer, message);
            }
        }
        let count = cluster.get("/count").text();
        assert_eq!(count, "1");
        // A hundred under way at once.
        for number in 0..100 {
            client
                .feed(Message::text(number.to_string()))
                .await
                .unwrap();
        }
        client.flush().await.unwrap();
        for number in 0..100 {
            let answer = client.next().await.unwrap().unwrap();
            assert_eq!(answer, Message::text(number.to_string()));
        }
        client.close(None).await.unwrap();
        assert!(matches!(
            client.next().await,
            Some(Ok(Message::Close(_))) | None
        ));
    });
    let place = cluster.cli_ok(&["routes", "--json"]).stdout;
    assert!(place.contains("application::echo"), "{place}");
    assert_eq!(cluster.get("/echo").status, 426);
    cluster.stop();
}

/// Options of the route count instead of the table's, and the handler has its context.
pub(crate) fn by_configuration() {
    let mut cluster = pool(1).start();
    let open = |more: &str| {
        let mut raw = Raw::connect(cluster.port());
        raw.send(handshake("/small", more).as_bytes());
        let head = raw.head();
        (raw, head)
    };
    let (mut raw, head) =
        open("Sec-WebSocket-Protocol: c, a, b\r\nOrigin: http://good.example\r\n");
    assert!(head.contains("\r\nsec-websocket-protocol: b\r\n"), "{head}");
    assert_eq!(raw.frame(), Frame::Text("b /small".to_owned()));
    raw.text("1234");
    assert_eq!(raw.frame(), Frame::Text("1234".to_owned()));
    raw.text("12345");
    assert_eq!(raw.frame(), Frame::Close(Some(1009)));
    let (mut raw, head) = open("Sec-WebSocket-Protocol: c\r\n");
    assert!(!head.contains("sec-websocket-protocol"), "{head}");
    assert_eq!(raw.frame(), Frame::Text("none /small".to_owned()));
    let (_, head) = open("Origin: http://localhost\r\n");
    assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
    // From code: it decides first.
    assert_eq!(cluster.get("/choosy").status, 426);
    let mut raw = Raw::connect(cluster.port());
    raw.send(handshake("/choosy", "").as_bytes());
    assert!(raw.head().starts_with("HTTP/1.1 401 "));
    let mut raw = Raw::connect(cluster.port());
    raw.send(handshake("/choosy", "Authorization: me\r\n").as_bytes());
    assert!(raw.head().starts_with("HTTP/1.1 101 "));
    raw.text("123456789");
    assert_eq!(raw.frame(), Frame::Close(Some(1009)));
    assert_eq!(raw.frame(), Frame::End);
    cluster.stop();
    assert!(
        !cluster.output().has(&["panicked"]),
        "{}",
        cluster.output().text()
    );
}

/// However a handler ends, its client hears why, and nobody else notices.
pub(crate) fn handlers_end() {
    let mut cluster = pool(1).start();
    let end = |how: &str| {
        let mut raw = Raw::open(cluster.port(), "/end");
        raw.text(how);
        raw
    };
    let before = cluster.worker(0);
    for (how, code) in [("panic", 1011), ("error", 1011), ("close", 4001)] {
        let mut raw = end(how);
        assert_eq!(raw.frame(), Frame::Close(Some(code)), "{how}");
        // The answer to it, upon which the server closes first.
        raw.send(&[
            0x88,
            0x82,
            0,
            0,
            0,
            0,
            (code >> 8) as u8,
            (code & 0xff) as u8,
        ]);
        assert_eq!(raw.frame(), Frame::End, "{how}");
    }
    // A client that has gone is no failure of the handler's.
    let mut gone = Raw::open(cluster.port(), "/busy");
    gone.send(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8]);
    assert_eq!(gone.frame(), Frame::Close(Some(1000)));
    cluster.wait_until(|_| cluster.get("/count").text() == "0");
    let mut raw = end("return");
    assert_eq!(raw.frame(), Frame::Text("last words".to_owned()));
    assert_eq!(raw.frame(), Frame::Close(Some(1000)));
    cluster.wait_until(|_| {
        cluster
            .output()
            .has(&["GET /end", "panicked: as it was told"])
    });
    assert_eq!(cluster.worker(0), before);
    cluster.stop();
    assert!(!cluster.output().has(&["the WebSocket is closed"]));
}

/// Who does not answer pings is gone; who does, stays.
pub(crate) fn who_does_not_answer() {
    let mut cluster = pool(1)
        .set("websocket.ping_interval", "200ms")
        .set("websocket.ping_timeout", "500ms")
        .start();
    let mut silent = Raw::open(cluster.port(), "/echo");
    let mut polite = Raw::open(cluster.port(), "/echo");
    let began = Instant::now();
    assert_eq!(silent.frame(), Frame::Ping(Vec::new()));
    while began.elapsed() < Duration::from_millis(1500) {
        assert_eq!(polite.frame(), Frame::Ping(Vec::new()));
        polite.send(&[0x8a, 0x80, 0, 0, 0, 0]);
    }
    while let Frame::Ping(_) = silent.frame() {}
    polite.text("a");
    while polite.frame() != Frame::Text("a".to_owned()) {}
    cluster.wait_until(|_| cluster.get("/count").text() == "1");
    cluster.stop();
}

/// A handler that does something else for longer than pings take is no reason to close.
pub(crate) fn busy_handlers() {
    let mut cluster = pool(1)
        .set("websocket.ping_interval", "100ms")
        .set("websocket.ping_timeout", "300ms")
        .start();
    block_on(async {
        let mut client = connect(cluster.port(), "/busy").await.expect("a handshake");
        for text in ["a", "b"] {
            client.send(Message::text(text)).await.unwrap();
        }
        for text in ["a", "b"] {
            let answer = loop {
                match client.next().await.unwrap().unwrap() {
                    Message::Ping(_) => {}
                    other => break other,
                }
            };
            assert_eq!(answer, Message::text(text));
        }
    });
    cluster.stop();
}

/// What splits streams works, in tasks of their own, after the handler has returned.
pub(crate) fn halves_in_tasks() {
    let mut cluster = pool(1).start();
    block_on(async {
        let mut client = connect(cluster.port(), "/halves")
            .await
            .expect("a handshake");
        let payload = "x".repeat(30_000);
        // More than the socket's buffers hold: the writer has to wait for the reader of all.
        for _ in 0..200 {
            client.feed(Message::text(payload.clone())).await.unwrap();
            client.flush().await.unwrap();
            let answer = client.next().await.unwrap().unwrap();
            assert_eq!(answer.len(), payload.len());
        }
        client.close(None).await.unwrap();
        while client.next().await.is_some() {}
    });
    cluster.wait_until(|_| cluster.get("/count").text() == "0");
    cluster.stop();
}

/// `any` is for services that know themselves who asks.
pub(crate) fn origins() {
    let mut cluster = pool(1).set("websocket.origins", "any").start();
    let mut raw = Raw::connect(cluster.port());
    raw.send(handshake("/echo", "Origin: http://elsewhere.example\r\n").as_bytes());
    assert!(raw.head().starts_with("HTTP/1.1 101 "));
    let hello = cluster.ask(&Request::get("/hello").header("origin", "http://elsewhere.example"));
    assert_eq!(hello.status, 200);
    drop(raw);
    cluster.stop();
}

/// What is wrong in the configuration is found before anything is started, with its place.
pub(crate) fn what_is_wrong() {
    let said = |config: &str| {
        let ended = pool(1).config(config).run(Duration::from_secs(20));
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        ended.stderr
    };
    let route = |kind: &str, handler: &str, options: &str| {
        said(&format!(
            "[[routes]]\ntype = '{kind}'\nroute = '/x'\nhandler = '{handler}'\noptions = {options}"
        ))
    };
    let text = route("websocket", "application.plain", "{}");
    assert!(
        text.contains("`application.plain` takes no WebSocket"),
        "{text}"
    );
    let text = route("websocket", "application.smal", "{}");
    assert!(text.contains("did you mean `application.small`?"), "{text}");
    let text = route("websocket", "application.small", "{ max_frame = '0B' }");
    assert!(
        text.contains("options.max_frame: must be 1B to 4GiB"),
        "{text}"
    );
    let text = route("websocket", "application.small", "{ max_fram = '1B' }");
    assert!(text.contains("did you mean"), "{text}");
    let text = said("[[routes]]\ntype = 'http'\nroute = '/x'\nhandler = 'application.small'");
    assert!(text.contains("write `type = \"websocket\"`"), "{text}");
    let text = said("[websocket]\nping_timeout = '0s'");
    assert!(
        text.contains("websocket.ping_timeout: must be longer than 0s"),
        "{text}"
    );
    let text = said("[websocket]\norigins = ['example.com']");
    assert!(text.contains("`example.com` is no origin"), "{text}");
    let text = said("[websocket]\nmax_mesage = '1MiB'");
    assert!(text.contains("did you mean `max_message`?"), "{text}");
}
