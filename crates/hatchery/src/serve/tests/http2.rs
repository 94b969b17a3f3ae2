//! HTTP/2 by prior knowledge.

use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Bytes;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::TokioIo;

use super::*;

#[derive(Clone)]
struct Local;

impl<F: Future + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async {
            future.await;
        });
    }
}

type Sender = SendRequest<http_body_util::Either<Empty<Bytes>, Full<Bytes>>>;

fn within<F: Future>(future: F) -> F::Output {
    local(async { tokio::time::timeout(PATIENCE, future).await.unwrap() })
}

/// A client by prior knowledge, and a task whose end is the connection's.
async fn connect(running: &Running) -> (Sender, tokio::task::JoinHandle<hyper::Result<()>>) {
    let stream = tokio::net::TcpStream::connect(running.address)
        .await
        .unwrap();
    let (sender, connection) = http2::handshake(Local, TokioIo::new(stream)).await.unwrap();
    (sender, tokio::task::spawn_local(connection))
}

async fn get(sender: &mut Sender, path: &str) -> (u16, String) {
    let request = http::Request::get(format!("http://h{path}"));
    answer(
        sender,
        request
            .body(http_body_util::Either::Left(Empty::new()))
            .unwrap(),
    )
    .await
}

async fn answer(
    sender: &mut Sender,
    request: http::Request<http_body_util::Either<Empty<Bytes>, Full<Bytes>>>,
) -> (u16, String) {
    let response = sender.send_request(request).await.unwrap();
    assert!(!response.headers().contains_key("connection"));
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[test]
fn http2_is_served_by_prior_knowledge() {
    let running = start(limits(), router(&gate()));
    within(async {
        let (mut sender, _connection) = connect(&running).await;
        assert_eq!(
            get(&mut sender, "/hello").await,
            (200, "Hello, Hatchery".into())
        );
        let body = http_body_util::Either::Right(Full::from("there and back"));
        let request = http::Request::post("http://h/echo").body(body).unwrap();
        assert_eq!(
            answer(&mut sender, request).await,
            (200, "there and back".into())
        );
        assert_eq!(get(&mut sender, "/panic").await.0, 500);
        assert_eq!(get(&mut sender, "/hello").await.0, 200);
        assert_eq!(running.page.connections(), 1);
        assert_eq!(running.page.requests_total(), 4);
    });
    until("all counts go back to 0", || running.is_quiet());
}

#[test]
fn a_drain_tells_the_client_at_once_and_finishes_what_is_in_flight() {
    let gate = gate();
    let mut running = start(limits(), router(&gate));
    within(async {
        let (sender, connection) = connect(&running).await;
        let (mut idle, idle_connection) = connect(&running).await;
        assert_eq!(get(&mut idle, "/hello").await.0, 200);
        let mut slow = sender;
        let answer = tokio::task::spawn_local(async move { get(&mut slow, "/gate").await });
        while running.page.in_flight() != 1 {
            tokio::task::yield_now().await;
        }
        let limit = PATIENCE;
        running
            .orders
            .send(Order::Drain {
                limit,
                successor: true,
            })
            .await
            .ok()
            .unwrap();
        idle_connection.await.unwrap().unwrap();
        gate.add_permits(1);
        assert_eq!(answer.await.unwrap(), (200, "through".into()));
        connection.await.unwrap().unwrap();
    });
    assert_eq!(running.ended(), Ended::Drained);
    assert!(running.is_quiet());
}

#[test]
fn an_idle_http2_connection_is_sent_away_after_its_time() {
    let short = Duration::from_millis(60);
    let running = start(
        Limits {
            keep_alive_timeout: short,
            ..limits()
        },
        router(&gate()),
    );
    within(async {
        let (mut sender, connection) = connect(&running).await;
        assert_eq!(get(&mut sender, "/hello").await.0, 200);
        connection.await.unwrap().unwrap();
    });
    until("all counts go back to 0", || running.is_quiet());
}

#[test]
fn http2_can_be_switched_off() {
    let running = start(
        Limits {
            http2: false,
            ..limits()
        },
        router(&gate()),
    );
    let mut client = running.connect();
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    // hyper has no answer to a preface; it must not hang either.
    let mut rest = Vec::new();
    let _ = client.stream.read_to_end(&mut rest);
    assert!(!rest.starts_with(b"HTTP/1.1 200"));
    until("all counts go back to 0", || running.is_quiet());
}

fn big_router() -> Router {
    Router::new()
        .route("/big", axum::routing::get(async || vec![b'x'; 16 << 20]))
        .route("/hello", axum::routing::get(async || "Hello, Hatchery"))
}

/// hyper holds the whole response when the handler is done with it: the drain must not take that
/// for idleness.
#[test]
fn a_slow_reader_keeps_its_response_in_a_drain() {
    let limits = Limits {
        header_timeout: Duration::from_millis(300),
        ..limits()
    };
    let running = start(limits, big_router());
    let length = within(async {
        let (mut sender, _connection) = connect(&running).await;
        let request = http::Request::get("http://h/big")
            .body(http_body_util::Either::Left(Empty::new()))
            .unwrap();
        let response = sender.send_request(request).await.unwrap();
        running
            .orders
            .send(Order::Drain {
                limit: PATIENCE,
                successor: true,
            })
            .await
            .ok()
            .unwrap();
        // The client is busy for a while, and its window is full.
        tokio::time::sleep(Duration::from_secs(2)).await;
        response
            .into_body()
            .collect()
            .await
            .map(|b| b.to_bytes().len())
            .map_err(|e| e.to_string())
    });
    assert_eq!(length, Ok(16 << 20));
}

#[test]
fn a_slow_reader_keeps_its_response_without_a_drain() {
    let limits = Limits {
        header_timeout: Duration::from_millis(300),
        keep_alive_timeout: Duration::from_millis(300),
        ..limits()
    };
    let running = start(limits, big_router());
    let length = within(async {
        let (mut sender, _connection) = connect(&running).await;
        let request = http::Request::get("http://h/big")
            .body(http_body_util::Either::Left(Empty::new()))
            .unwrap();
        let response = sender.send_request(request).await.unwrap();
        // Reads on and on, but slowly: never silent for long.
        let mut body = response.into_body();
        let mut total = 0;
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => total += frame.data_ref().map_or(0, Bytes::len),
                Err(error) => return Err(error.to_string()),
            }
            tokio::time::sleep(Duration::from_millis(8)).await;
        }
        Ok(total)
    });
    assert_eq!(length, Ok(16 << 20));
}
