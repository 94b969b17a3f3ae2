//! Pools whose workers are replaced while WebSockets are open.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::life::{Client, connect};
use crate::raw::{Frame, Raw, handshake};
use crate::{block_on, pool};

/// How a connection ended: the code of its close frame, `None` without one.
async fn end_of(client: &mut Client) -> Option<u16> {
    loop {
        match client.next().await {
            Some(Ok(Message::Close(Some(CloseFrame { code, .. })))) => {
                // Until the server has closed: anything else would be no clean end.
                while let Some(rest) = client.next().await {
                    rest.expect("a clean end");
                }
                return Some(code.into());
            }
            Some(Ok(Message::Close(None)) | Err(_)) | None => return None,
            Some(Ok(_)) => {}
        }
    }
}

/// The instance that serves it.
async fn instance(client: &mut Client) -> u64 {
    let first = client.next().await.expect("a text").expect("no error");
    first.to_text().expect("a text").parse().expect("a number")
}

/// In a reload everybody is told with 1012, not all at once and within `ws_drain`.
pub(crate) fn everybody_is_told() {
    const CLIENTS: usize = 40;
    let cluster = pool(2).start();
    let port = cluster.port();
    block_on(async {
        let mut clients = Vec::new();
        let mut before = BTreeSet::new();
        for _ in 0..CLIENTS {
            let mut client = connect(port, "/whoami").await.expect("a handshake");
            before.insert(instance(&mut client).await);
            clients.push(client);
        }
        assert_eq!(before.len(), 2);
        let reload = std::thread::spawn(move || {
            cluster.reload();
            cluster
        });
        let ends = clients.into_iter().map(|mut client| {
            tokio::spawn(async move {
                let code = end_of(&mut client).await;
                (code, Instant::now())
            })
        });
        let mut times = Vec::new();
        for end in ends.collect::<Vec<_>>() {
            let (code, at) = end.await.unwrap();
            assert_eq!(code, Some(1012));
            times.push(at);
        }
        times.sort();
        let spread = times[CLIENTS - 1] - times[0];
        assert!(spread > Duration::from_millis(500), "{spread:?}");
        let mut client = connect(port, "/whoami").await.expect("a handshake");
        assert!(!before.contains(&instance(&mut client).await));
        client.close(None).await.unwrap();
        let mut cluster = reload.join().unwrap();
        cluster.wait_until(|status| status.workers.len() == 2);
        let cut = cluster.losses();
        cluster.stop();
        assert!(
            !cluster.output().has(&["connections cut"]),
            "{cut}: {}",
            cluster.output().text()
        );
    });
}

/// Clients that send and wait for the answer, through two reloads: what they send on an open
/// connection is answered, unless this connection was closed with 1012 before.
pub(crate) fn nothing_is_lost() {
    const CLIENTS: u64 = 8;
    let cluster = pool(2).set("websocket.ws_drain", "1s").start();
    let port = cluster.port();
    let is_over = Arc::new(AtomicBool::new(false));
    let reconnects = Arc::new(AtomicU64::new(0));
    block_on(async {
        let clients = (0..CLIENTS).map(|_| {
            let (is_over, reconnects) = (Arc::clone(&is_over), Arc::clone(&reconnects));
            tokio::spawn(async move {
                let mut number = 0_u64;
                'connections: loop {
                    // A worker that is about to end may refuse: then the next try reaches another.
                    let Some(mut client) = connect(port, "/echo").await else {
                        continue;
                    };
                    reconnects.fetch_add(1, Ordering::Relaxed);
                    while !is_over.load(Ordering::Relaxed) {
                        let text = number.to_string();
                        let sent = client.send(Message::text(text.as_str())).await;
                        if sent.is_ok()
                            && let Some(Ok(answer)) = client.next().await
                            && !answer.is_close()
                        {
                            assert_eq!(answer, Message::text(text));
                            number += 1;
                            tokio::time::sleep(Duration::from_millis(2)).await;
                            continue;
                        }
                        // It was closed, politely: the same number is sent again on the next one.
                        continue 'connections;
                    }
                    client.close(None).await.unwrap();
                    return number;
                }
            })
        });
        let clients: Vec<_> = clients.collect();
        let told = Arc::clone(&is_over);
        let reloads = std::thread::spawn(move || {
            cluster.reload();
            cluster.reload();
            told.store(true, Ordering::Relaxed);
            cluster
        });
        for client in clients {
            assert!(client.await.unwrap() > 50);
        }
        reloads.join().unwrap().stop();
    });
    let connections = reconnects.load(Ordering::Relaxed);
    assert!(connections > CLIENTS, "{connections}");
}

/// A client that answers nothing does not hold a worker for longer than `ws_drain`.
pub(crate) fn the_silent_do_not_hold_it() {
    let mut cluster = pool(1)
        .set("websocket.ws_drain", "1s")
        .set("websocket.ping_interval", "0s")
        .start();
    let mut silent = Raw::open(cluster.port(), "/echo");
    let old = cluster.worker(0);
    cluster.reload();
    assert_eq!(silent.frame(), Frame::Close(Some(1012)));
    assert_eq!(silent.frame(), Frame::End);
    let began = Instant::now();
    cluster.wait_until(|_| !old.is_alive());
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
    cluster.stop();
    assert!(
        !cluster.output().has(&["connections cut"]),
        "{}",
        cluster.output().text()
    );
}

/// While a worker drains it takes no new ones.
pub(crate) fn a_draining_worker_takes_none() {
    let mut cluster = pool(1).set("websocket.ws_drain", "1s").start();
    let mut open = Raw::open(cluster.port(), "/echo");
    let mut late = Raw::connect(cluster.port());
    let request = handshake("/echo", "");
    late.send(&request.as_bytes()[..40]);
    cluster.wait_until(|status| status.workers[0].connections == 2);
    let stop = std::thread::spawn(move || {
        cluster.stop();
        cluster
    });
    assert_eq!(open.frame(), Frame::Close(Some(1012)));
    late.send(&request.as_bytes()[40..]);
    let head = late.head();
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert!(head.contains("\r\nconnection: close\r\n"), "{head}");
    assert!(head.contains("\r\nretry-after: 0\r\n"), "{head}");
    let cluster = stop.join().expect("it stops");
    assert!(
        !cluster.output().has(&["ERROR"]),
        "{}",
        cluster.output().text()
    );
}
