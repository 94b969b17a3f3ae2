//! Open-loop clients: every request has its time, whether or not the one before was answered soon,
//! so that a pool that stands still cannot slow down the questions. They never retry.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::client::{Connection, Failure, FailureKind, Request, Target};
use super::{REQUEST_LIMIT, wait_until};

/// Longest life of the clients, whatever the test does.
const LIFE_LIMIT: Duration = Duration::from_mins(30);

/// Most failures that are kept in detail.
const FAILURES_MAX: usize = 1000;

/// Longest body that is posted, in bytes of text.
const TEXT_MAX: usize = 3000;

/// Which clients there are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clients {
    /// Those that open a connection for each request.
    pub(crate) fresh: usize,
    /// Those that keep their connection and post several requests at a time.
    pub(crate) keep_alive: usize,
    /// Most requests that a keep-alive client sends without waiting for an answer.
    pub(crate) pipeline: usize,
    /// Between the times of two turns of one client.
    pub(crate) interval: Duration,
}

impl Clients {
    pub(crate) const BOTH: Self = Self {
        fresh: 4,
        keep_alive: 8,
        pipeline: 3,
        interval: Duration::from_millis(10),
    };
}

/// A connection that failed its client, and what was under way in it.
#[derive(Clone, Debug)]
pub(crate) struct Lost {
    failure: Failure,
    /// Requests that were sent and not answered.
    requests: u64,
    /// Those that the connection had answered before.
    answered: u64,
    took: Duration,
    is_fresh: bool,
}

/// What became of all requests.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) answered: u64,
    pub(crate) lost: Vec<Lost>,
    /// Connections that were opened to be kept.
    pub(crate) kept_opened: u64,
    /// Kept connections that the server ended, as its last answer said.
    pub(crate) closed_with_notice: u64,
    /// Kept connections that ended while they were idle, without notice.
    pub(crate) closed_without_notice: u64,
    /// The longest from a turn's time to its last answer.
    pub(crate) slowest: Duration,
}

/// Clients at work.
pub(crate) struct OpenLoop {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Account>>,
}

impl OpenLoop {
    pub(crate) fn start(target: &Target, clients: Clients) -> Self {
        let mut all = Self {
            stop: Arc::default(),
            answered: Arc::default(),
            threads: Vec::new(),
        };
        for number in 0..clients.fresh + clients.keep_alive {
            let mut client = Client {
                target: target.clone(),
                is_fresh: number < clients.fresh,
                pipeline: clients.pipeline.max(1),
                turn: number * 7,
                connection: None,
                account: Account::default(),
                total: Arc::clone(&all.answered),
            };
            let stop = Arc::clone(&all.stop);
            all.threads.push(thread::spawn(move || {
                let started = Instant::now();
                let mut at = started;
                while !stop.load(Ordering::Relaxed) && started.elapsed() < LIFE_LIMIT {
                    thread::sleep(at.saturating_duration_since(Instant::now()));
                    client.turn(at);
                    at += clients.interval;
                    // What it has missed for a whole second it does not make up for in one go.
                    let earliest = Instant::now().checked_sub(Duration::from_secs(1));
                    at = earliest.map_or(at, |earliest| at.max(earliest));
                }
                client.account
            }));
        }
        all.serve_more(50);
        all
    }

    /// Waits for this many more answers.
    #[track_caller]
    pub(crate) fn serve_more(&self, requests: u64) {
        let goal = self.answered.load(Ordering::Relaxed) + requests;
        wait_until("more answers under load", Duration::from_mins(1), || {
            self.answered.load(Ordering::Relaxed) >= goal
        });
    }

    /// Ends the clients and adds up what each of them saw.
    pub(crate) fn finish(mut self) -> Account {
        self.stop.store(true, Ordering::Relaxed);
        let mut total = Account::default();
        for thread in self.threads.drain(..) {
            total.add(thread.join().expect("a client does not panic"));
        }
        total
    }
}

impl Drop for OpenLoop {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Account {
    fn add(&mut self, other: Self) {
        self.answered += other.answered;
        self.lost.extend(other.lost);
        self.kept_opened += other.kept_opened;
        self.closed_with_notice += other.closed_with_notice;
        self.closed_without_notice += other.closed_without_notice;
        self.slowest = self.slowest.max(other.slowest);
    }

    /// Requests that got no answer.
    pub(crate) fn requests_lost(&self) -> u64 {
        self.lost.iter().map(|lost| lost.requests).sum()
    }

    /// Connections that ended without notice, with or without a request in them.
    pub(crate) fn connections_lost(&self) -> u64 {
        self.lost.len() as u64 + self.closed_without_notice
    }

    /// Whatever failed, failed as the death of the process that had the connection makes it fail.
    #[track_caller]
    pub(crate) fn assert_only_cut(&self) {
        for lost in &self.lost {
            let cut = matches!(
                lost.failure.kind,
                FailureKind::Reset | FailureKind::Eof | FailureKind::Short
            );
            assert!(cut, "{lost}: {self}");
        }
        assert!(self.answered > 0, "nothing was asked");
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} answered, {} lost in {} connections, {} kept connections opened, {} closed with \
             and {} without notice, slowest {:?}",
            self.answered,
            self.requests_lost(),
            self.lost.len(),
            self.kept_opened,
            self.closed_with_notice,
            self.closed_without_notice,
            self.slowest
        )?;
        for lost in self.lost.iter().take(20) {
            write!(f, "\n  {lost}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_fresh { "fresh" } else { "kept" };
        write!(
            f,
            "{kind}: {} requests after {} answers, {:?}: {}",
            self.requests, self.answered, self.took, self.failure
        )
    }
}

/// One thread's client.
struct Client {
    target: Target,
    is_fresh: bool,
    pipeline: usize,
    turn: usize,
    /// The kept connection, and how many answers it gave.
    connection: Option<(Connection, u64)>,
    account: Account,
    total: Arc<AtomicU64>,
}

impl Client {
    /// Sends what is due at `at` and books what becomes of it.
    fn turn(&mut self, at: Instant) {
        self.turn += 1;
        let count = if self.is_fresh {
            1
        } else {
            1 + self.turn % self.pipeline
        };
        let bodies: Vec<String> = (0..count).map(|index| self.body(index)).collect();
        if !self.is_fresh {
            self.drop_closed();
        }
        let mut answered = 0;
        let result = self.ask(&bodies, &mut answered);
        self.account.answered += answered;
        self.total.fetch_add(answered, Ordering::Relaxed);
        match result {
            Ok(()) => self.account.slowest = self.account.slowest.max(at.elapsed()),
            Err(failure) => {
                let before = self.connection.take().map_or(0, |(_, before)| before);
                if self.account.lost.len() < FAILURES_MAX {
                    self.account.lost.push(Lost {
                        failure,
                        requests: count as u64 - answered,
                        answered: before,
                        took: at.elapsed(),
                        is_fresh: self.is_fresh,
                    });
                }
            }
        }
        if self.is_fresh {
            self.connection = None;
        }
    }

    fn body(&self, index: usize) -> String {
        let text = "x".repeat((self.turn * 37 + index * 11) % TEXT_MAX);
        format!(
            r#"{{"index":{index},"text":"{text}","turn":{}}}"#,
            self.turn
        )
    }

    /// Gives up a connection that ended while it was idle.
    fn drop_closed(&mut self) {
        if let Some((connection, _)) = &mut self.connection
            && connection.is_closed()
        {
            self.account.closed_without_notice += 1;
            self.connection = None;
        }
    }

    /// Posts all bodies in one go, and reads the answers.
    fn ask(&mut self, bodies: &[String], answered: &mut u64) -> Result<(), Failure> {
        if self.connection.is_none() {
            let connection = Connection::open(&self.target, REQUEST_LIMIT)?;
            self.connection = Some((connection, 0));
            self.account.kept_opened += u64::from(!self.is_fresh);
        }
        let (connection, before) = self.connection.as_mut().expect("it was just opened");
        let mut bytes = Vec::new();
        for body in bodies {
            bytes.extend(Request::post("/echo", body.clone()).to_bytes());
        }
        connection.send_bytes(&bytes)?;
        for (body, index) in bodies.iter().zip(1..) {
            let response = connection.receive(REQUEST_LIMIT)?;
            if response.status != 200 || response.body != body.as_bytes() {
                let detail = format!("{} {}", response.status, response.text());
                return Err(Failure::new(FailureKind::Answer, detail));
            }
            *answered += 1;
            *before += 1;
            if response.closes() {
                if !self.is_fresh {
                    self.account.closed_with_notice += 1;
                }
                self.connection = None;
                return if index == bodies.len() {
                    Ok(())
                } else {
                    // The rest was sent before the notice came: a client may send it again, and
                    // this one does, on its next connection.
                    self.ask(&bodies[index..], answered)
                };
            }
        }
        Ok(())
    }
}
