//! A serving thread on real sockets, and a client that never retries.

mod drain;
mod handover;
mod http1;
mod http2;
mod limits;
mod record;
mod rescue;
mod shed;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Path;
use axum::routing::{get, post};
use hatchery_sys::page::StatsPage;
use hatchery_sys::recorder::Recorder;
use tokio::runtime::LocalOptions;
use tokio::sync::{Semaphore, mpsc, watch};

use super::{Arrivals, Ended, Limits, Order, Server, Setup, Unread};
use crate::{MemoryPressure, PressureLevel};

/// Longer than anything here takes, shorter than a person's patience.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for a condition.
fn until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A serving thread.
struct Running {
    address: SocketAddr,
    page: Arc<StatsPage>,
    pressure: watch::Sender<PressureLevel>,
    recorder: Arc<Recorder>,
    orders: mpsc::Sender<Order>,
    arrivals: Arc<Arrivals>,
    unread: Arc<Unread>,
    thread: Option<JoinHandle<Ended>>,
}

/// What handlers of [`router`] wait for.
fn gate() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(0))
}

/// `/hello`, `/panic`, `/echo` and `/gate`, which waits for a permit.
fn router(gate: &Arc<Semaphore>) -> Router {
    let gate = Arc::clone(gate);
    Router::new()
        .route("/hello", get(async || "Hello, Hatchery"))
        .route("/users/{id}", get(async |Path(id): Path<String>| id))
        .route("/panic", get(panicking))
        .route("/echo", post(async |body: String| body))
        .route("/ignore", post(async || "ignored"))
        .route(
            "/gate",
            get(async move || {
                gate.acquire().await.unwrap().forget();
                "through"
            }),
        )
}

async fn panicking() -> &'static str {
    panic!("a handler's panic, which a test wants")
}

fn limits() -> Limits {
    Limits::default()
}

fn listener() -> (OwnedFd, SocketAddr) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener.into(), address)
}

fn start(limits: Limits, router: Router) -> Running {
    let (listener, address) = listener();
    start_on(listener, address, limits, router, Duration::ZERO)
}

/// A thread that keeps idle connections while it drains.
fn start_patient(limits: Limits, router: Router) -> Running {
    let (listener, address) = listener();
    start_on(listener, address, limits, router, Duration::from_hours(1))
}

fn start_on(
    listener: OwnedFd,
    address: SocketAddr,
    limits: Limits,
    router: Router,
    idle_grace: Duration,
) -> Running {
    let (page, _fd) = StatsPage::create().unwrap();
    let page = Arc::new(page);
    let recorder = recorder();
    let (orders, inbox) = mpsc::channel(8);
    let (pressure, is_pressed) = MemoryPressure::new();
    let counted = Arc::clone(&page);
    let recording = Arc::clone(&recorder);
    let arrivals = Arc::new(Arrivals::default());
    let unread = Arc::new(Unread::default());
    let shared = (Arc::clone(&arrivals), Arc::clone(&unread));
    let serve = move || {
        let setup = Setup {
            index: 3,
            listeners: vec![listener],
            endpoint: router.into(),
            limits,
            page: counted,
            recorder: recording,
            heartbeat: Duration::from_millis(5),
            idle_grace,
            pressure: is_pressed,
            arrivals: shared.0,
            unread: shared.1,
            orders: inbox,
        };
        local(async { Server::new(setup).unwrap().run().await })
    };
    Running {
        address,
        page,
        pressure,
        recorder,
        orders,
        arrivals,
        unread,
        thread: Some(std::thread::spawn(serve)),
    }
}

fn recorder() -> Arc<Recorder> {
    Arc::new(Recorder::create().unwrap().0)
}

fn local<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .unwrap()
        .block_on(future)
}

impl Running {
    fn connect(&self) -> Client<TcpStream> {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client::new(stream)
    }

    fn drain(&self, successor: bool) {
        self.drain_within(PATIENCE, successor);
    }

    fn drain_within(&self, limit: Duration, successor: bool) {
        self.order(Order::Drain { limit, successor });
    }

    fn order(&self, order: Order) {
        self.orders.blocking_send(order).ok().unwrap();
    }

    fn ended(&mut self) -> Ended {
        self.thread.take().unwrap().join().unwrap()
    }

    fn is_quiet(&self) -> bool {
        self.page.in_flight() == 0 && self.page.connections() == 0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            let limit = Duration::ZERO;
            let _ = self.orders.blocking_send(Order::Drain {
                limit,
                successor: true,
            });
            let _ = thread.join();
        }
    }
}

/// A client of one connection.
struct Client<S> {
    stream: BufReader<S>,
}

#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    /// Whether it says that it is the connection's last.
    close: bool,
    body: String,
}

impl<S: Read + Write> Client<S> {
    fn new(stream: S) -> Self {
        Self {
            stream: BufReader::new(stream),
        }
    }

    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    fn send_get(&mut self, path: &str) {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
    }

    fn get(&mut self, path: &str) -> Answer {
        self.send_get(path);
        self.answer()
    }

    fn post(&mut self, path: &str, body: &str) -> Answer {
        let length = body.len();
        self.send(format!(
            "POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
        self.answer()
    }

    fn answer(&mut self) -> Answer {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        let status = line
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status line: {line:?}"));
        let (mut close, mut length) = (false, 0);
        loop {
            line.clear();
            self.stream.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                break;
            };
            match name.to_ascii_lowercase().as_str() {
                "connection" => close = value == "close",
                "content-length" => length = value.parse().unwrap(),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).unwrap();
        Answer {
            status,
            close,
            body: String::from_utf8(body).unwrap(),
        }
    }

    /// Whether the server closes the connection without another byte.
    fn is_closed(&mut self) -> bool {
        matches!(self.stream.read(&mut [0; 1]), Ok(0))
    }
}

fn ok(body: &str) -> Answer {
    Answer {
        status: 200,
        close: false,
        body: body.into(),
    }
}

fn last(body: &str) -> Answer {
    Answer {
        close: true,
        ..ok(body)
    }
}
