//! Steady load from clients that never retry, and an account of every request that failed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::client::{Connection, Failure, FailureKind, Request, Response, Target, ask};
use super::{REQUEST_LIMIT, wait_until};

/// Longest life of a load, whatever the test does.
const LOAD_LIMIT: Duration = Duration::from_mins(4);

/// Most failures that are kept in detail.
const FAILURES_MAX: usize = 1000;

/// Which clients there are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Threads that open a connection for each request.
    pub(crate) fresh: usize,
    /// Threads that keep their connection until the server's `Connection: close`.
    pub(crate) keep_alive: usize,
    /// Between two requests of one thread.
    pub(crate) pause: Duration,
}

impl Plan {
    pub(crate) const BOTH: Self = Self {
        fresh: 3,
        keep_alive: 3,
        pause: Duration::from_millis(2),
    };

    pub(crate) const FRESH: Self = Self {
        fresh: 6,
        keep_alive: 0,
        ..Self::BOTH
    };

    pub(crate) const KEEP_ALIVE: Self = Self {
        fresh: 0,
        keep_alive: 6,
        ..Self::BOTH
    };

    /// How many requests there can be at a time.
    pub(crate) const fn clients(&self) -> usize {
        self.fresh + self.keep_alive
    }
}

/// A request that failed.
#[derive(Clone, Debug)]
pub(crate) struct Failed {
    pub(crate) failure: Failure,
    /// Whether its connection was to carry more than one request.
    pub(crate) keep_alive: bool,
    /// The process that gave the latest of the connection's answers that told, where there was one.
    pub(crate) served_by: Option<u32>,
    pub(crate) path: String,
    /// When it was sent and when it failed.
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.keep_alive {
            "keep-alive"
        } else {
            "fresh"
        };
        let took_ms = (self.ended - self.began).as_millis();
        write!(
            f,
            "{kind} {} after {took_ms} ms: {}",
            self.path, self.failure
        )?;
        match self.served_by {
            Some(pid) => write!(f, " (connection to {pid})"),
            None => Ok(()),
        }
    }
}

/// What became of all requests.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) answered: u64,
    /// Answers by process, where the answer tells.
    pub(crate) by_pid: BTreeMap<u32, u64>,
    pub(crate) failed: Vec<Failed>,
    /// Keep-alive connections that the server ended, as it said with its last answer.
    pub(crate) closed_with_notice: u64,
    /// Idle keep-alive connections that ended without such a notice: the process that served them.
    pub(crate) closed_without_notice: Vec<Option<u32>>,
    pub(crate) slowest: Duration,
}

/// Clients at work.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Tally>>,
}

impl Load {
    pub(crate) fn start(target: &Target, plan: Plan) -> Self {
        let mut load = Self {
            stop: Arc::default(),
            answered: Arc::default(),
            threads: Vec::new(),
        };
        for number in 0..plan.clients() {
            let mut client = Client {
                target: target.clone(),
                keep_alive: number >= plan.fresh,
                // So that the threads do not ask for the same things in step.
                turn: number * 7,
                connection: None,
                tally: Tally::default(),
                answered: Arc::clone(&load.answered),
            };
            let stop = Arc::clone(&load.stop);
            load.threads.push(thread::spawn(move || {
                let started = Instant::now();
                while !stop.load(Ordering::Relaxed) && started.elapsed() < LOAD_LIMIT {
                    client.turn();
                    thread::sleep(plan.pause);
                }
                client.tally
            }));
        }
        load.serve_more(20);
        load
    }

    /// Waits for this many more answers.
    #[track_caller]
    pub(crate) fn serve_more(&self, requests: u64) {
        let goal = self.answered.load(Ordering::Relaxed) + requests;
        wait_until("more answers under load", Duration::from_mins(1), || {
            self.answered.load(Ordering::Relaxed) >= goal
        });
    }

    /// Ends the load and adds up what every thread saw.
    pub(crate) fn finish(mut self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        let mut total = Tally::default();
        for thread in self.threads.drain(..) {
            total.add(thread.join().expect("a client does not panic"));
        }
        total
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.answered += other.answered;
        for (pid, count) in other.by_pid {
            *self.by_pid.entry(pid).or_default() += count;
        }
        self.failed.extend(other.failed);
        self.closed_with_notice += other.closed_with_notice;
        self.closed_without_notice
            .extend(other.closed_without_notice);
        self.slowest = self.slowest.max(other.slowest);
    }

    /// Every request was answered, and no connection ended without notice.
    #[track_caller]
    pub(crate) fn assert_flawless(&self) {
        assert!(self.failed.is_empty(), "{self}");
        assert!(self.closed_without_notice.is_empty(), "{self}");
        assert!(self.answered > 0, "nothing was asked");
    }

    /// Every request was answered, and every client has kept its first connection.
    #[track_caller]
    pub(crate) fn assert_unnoticed(&self) {
        self.assert_flawless();
        assert_eq!(self.closed_with_notice, 0, "{self}");
    }

    /// Requests failed only as so many deaths make them: at most one a client and death, with a
    /// connection that was there and ended. Whose connection it was is not known where connections
    /// pass from one process to another.
    #[track_caller]
    pub(crate) fn assert_only_cut_by_deaths(&self, deaths: usize, plan: Plan) {
        let most = deaths * plan.clients();
        assert!(self.failed.len() <= most, "more than {most} failed: {self}");
        for failed in &self.failed {
            let cut = matches!(
                failed.failure.kind,
                FailureKind::Reset | FailureKind::Eof | FailureKind::Short
            );
            assert!(cut, "{failed}: {self}");
        }
        let most = deaths * plan.keep_alive;
        assert!(self.closed_without_notice.len() <= most, "{self}");
        assert!(self.answered > 0, "nothing was asked");
    }

    /// Requests failed only as the death of one of `victims` makes them: at most one a client and
    /// death, with a connection that was there and ended, and never on a connection that another
    /// process served.
    #[track_caller]
    pub(crate) fn assert_only_cut_by(&self, victims: &[u32], plan: Plan) {
        self.assert_only_cut_by_deaths(victims.len(), plan);
        for failed in &self.failed {
            let theirs = failed.served_by.is_none_or(|pid| victims.contains(&pid));
            assert!(theirs, "{failed} (of {victims:?}): {self}");
        }
        for pid in self.closed_without_notice.iter().flatten() {
            assert!(victims.contains(pid), "{pid} closed without notice: {self}");
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} answered, {} failed, {} closed with and {} without notice, slowest {:?}",
            self.answered,
            self.failed.len(),
            self.closed_with_notice,
            self.closed_without_notice.len(),
            self.slowest
        )?;
        for failed in self.failed.iter().take(20) {
            write!(f, "\n  {failed}")?;
        }
        Ok(())
    }
}

/// One thread's client.
struct Client {
    target: Target,
    keep_alive: bool,
    turn: usize,
    connection: Option<(Connection, Option<u32>)>,
    tally: Tally,
    answered: Arc<AtomicU64>,
}

impl Client {
    /// Makes one request and books what became of it.
    fn turn(&mut self) {
        self.turn += 1;
        let began = Instant::now();
        let (request, body) = if self.keep_alive {
            self.drop_closed();
            self.next_request()
        } else {
            let (request, body) = self.next_request();
            // Either side may be the one that ends the connection.
            let closes = self.turn.is_multiple_of(2);
            (if closes { request.close() } else { request }, body)
        };
        let served_by = self.connection.as_ref().and_then(|(_, pid)| *pid);
        let result = self.ask(&request).and_then(|response| {
            check(&response, body.as_deref())?;
            Ok(response)
        });
        match result {
            Ok(response) => self.book_answer(&response, began),
            Err(failure) => {
                self.connection = None;
                if self.tally.failed.len() < FAILURES_MAX {
                    self.tally.failed.push(Failed {
                        failure,
                        keep_alive: self.keep_alive,
                        served_by,
                        path: request.path,
                        began,
                        ended: Instant::now(),
                    });
                }
            }
        }
    }

    /// Gives up a connection that the server ended while it was idle.
    fn drop_closed(&mut self) {
        if let Some((connection, pid)) = &mut self.connection
            && connection.is_closed()
        {
            self.tally.closed_without_notice.push(*pid);
            self.connection = None;
        }
    }

    /// The first request of a connection asks who serves it; then reading and writing take turns.
    fn next_request(&self) -> (Request, Option<String>) {
        match self.turn % 4 {
            _ if self.keep_alive && self.connection.is_none() => (Request::get("/whoami"), None),
            0 => (Request::get("/hello"), None),
            1 => (Request::get("/whoami"), None),
            turn => {
                let text = "x".repeat(self.turn % 40 * 50);
                let body = format!(r#"{{"text":"{text}","turn":{turn}}}"#);
                (Request::post("/echo", body.clone()), Some(body))
            }
        }
    }

    fn ask(&mut self, request: &Request) -> Result<Response, Failure> {
        if !self.keep_alive {
            return ask(&self.target, request, REQUEST_LIMIT);
        }
        if self.connection.is_none() {
            let connection = Connection::open(&self.target, REQUEST_LIMIT)?;
            self.connection = Some((connection, None));
        }
        let (connection, _) = self.connection.as_mut().expect("it was just opened");
        connection.request(request, REQUEST_LIMIT)
    }

    fn book_answer(&mut self, response: &Response, began: Instant) {
        self.answered.fetch_add(1, Ordering::Relaxed);
        self.tally.answered += 1;
        self.tally.slowest = self.tally.slowest.max(began.elapsed());
        let pid = response.json()["pid"].as_u64();
        let pid = pid.and_then(|pid| u32::try_from(pid).ok());
        if let Some(pid) = pid {
            *self.tally.by_pid.entry(pid).or_default() += 1;
        }
        if let Some((_, served_by)) = &mut self.connection {
            *served_by = pid.or(*served_by);
        }
        if self.keep_alive && response.closes() {
            self.tally.closed_with_notice += 1;
            self.connection = None;
        }
    }
}

fn check(response: &Response, body: Option<&str>) -> Result<(), Failure> {
    let right = body.is_none_or(|body| body.as_bytes() == response.body);
    if response.status == 200 && right && !response.body.is_empty() {
        return Ok(());
    }
    let detail = format!("{} {}", response.status, response.text());
    Err(Failure::new(FailureKind::Answer, detail))
}
