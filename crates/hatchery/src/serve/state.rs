//! What a connection's parts, and a serving thread's connections, tell each other.
//!
//! All of it is written by the serving thread, except the count of open connections: a socket
//! that was upgraded may end on any thread. The atomics are there for that, and so that the I/O
//! stays `Send` as upgrades demand; relaxed loads and stores cost what plain ones do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use hatchery_sys::page::StatsPage;
use hatchery_sys::recorder::{Recorder, Ticket};
use http::{Method, Uri};
use tokio::sync::Notify;

use super::shed::Load;
use super::unread::Hold;

/// One serving thread, as its connections see it.
#[derive(Debug)]
pub(super) struct Thread {
    page: Arc<StatsPage>,
    recorder: Arc<Recorder>,
    /// Its number, from 0.
    index: usize,
    /// Milliseconds in which this thread's loop was turning.
    clock_ms: AtomicU64,
    open: AtomicUsize,
    load: Load,
    /// Those of the open ones that were upgraded.
    upgraded: AtomicUsize,
    /// Whether responses say that they are the last of their connection.
    closing: AtomicBool,
    /// The end has come for what is still open: it stays in the counts, for whoever reads them.
    cut: AtomicBool,
    /// Whether somebody waits in `fell`: most of the time nobody does, and a notification costs.
    watched: AtomicBool,
    fell: Notify,
}

impl Thread {
    pub(super) fn new(index: usize, page: Arc<StatsPage>, recorder: Arc<Recorder>) -> Arc<Self> {
        Arc::new(Self {
            page,
            recorder,
            index,
            clock_ms: AtomicU64::new(0),
            open: AtomicUsize::new(0),
            load: Load::default(),
            upgraded: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            watched: AtomicBool::new(false),
            fell: Notify::new(),
        })
    }

    pub(super) fn page(&self) -> &StatsPage {
        &self.page
    }

    pub(super) fn clock_ms(&self) -> u64 {
        self.clock_ms.load(Ordering::Relaxed)
    }

    /// Lets time pass. Time in which the loop did not turn must not be passed here: clients are
    /// not punished for what this process slept.
    pub(super) fn advance(&self, by_ms: u64) {
        self.clock_ms
            .store(self.clock_ms().saturating_add(by_ms), Ordering::Relaxed);
    }

    /// Connections that are open, upgraded ones included.
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// Requests in flight, and how many there may be.
    pub(super) fn load(&self) -> &Load {
        &self.load
    }

    /// Open connections that were upgraded.
    pub(super) fn upgraded(&self) -> u64 {
        self.upgraded.load(Ordering::Relaxed) as u64
    }

    /// Nobody waits any longer for what is open.
    pub(super) fn cut(&self) {
        self.cut.store(true, Ordering::Relaxed);
    }

    fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }

    /// From now on each HTTP/1.1 response is its connection's last, and says so; or not any more.
    pub(super) fn set_closing(&self, closing: bool) {
        self.closing.store(closing, Ordering::Relaxed);
    }

    /// Waits until there are fewer open connections than `limit`.
    pub(super) async fn below(&self, limit: usize) {
        // `SeqCst` on both sides: either the one that closes sees `watched`, or this sees that
        // it closed.
        self.watched.store(true, Ordering::SeqCst);
        while self.open.load(Ordering::SeqCst) >= limit {
            self.fell.notified().await;
        }
        self.watched.store(false, Ordering::SeqCst);
    }
}

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Phase {
    /// Nothing was received yet.
    New,
    /// A request's header is being received.
    Header,
    /// At least one request is in flight.
    Busy,
    /// Between two requests.
    Idle,
    /// HTTP/2: it was told to go away.
    Leaving,
    /// All is answered; what the client still sends is read and thrown away.
    Lingering,
}

impl Phase {
    const ALL: [Self; 6] = [
        Self::New,
        Self::Header,
        Self::Busy,
        Self::Idle,
        Self::Leaving,
        Self::Lingering,
    ];
}

/// What the thread's sweep wants of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Request {
    /// Nothing.
    None,
    /// Go if you are idle, politely.
    Leave,
    /// Go as soon as you are idle.
    LeaveSoon,
    /// Go now.
    Drop,
}

impl Request {
    const ALL: [Self; 4] = [Self::None, Self::Leave, Self::LeaveSoon, Self::Drop];
}

/// How far the request's body has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Reading {
    /// To its end, or there was none.
    Done,
    /// Somebody holds it.
    Open,
    /// It was dropped before its end: more of it may be under way.
    Cut,
}

/// One connection, as its I/O, its service, its driver and the sweep see it.
#[derive(Debug)]
pub(super) struct Shared {
    thread: Arc<Thread>,
    phase: AtomicU8,
    since_ms: AtomicU64,
    request: AtomicU8,
    in_flight: AtomicU32,
    served: AtomicBool,
    reading: AtomicU8,
    /// Since when a handler waits for the body; `u64::MAX`: none does.
    body_since_ms: AtomicU64,
    /// Whether the last write found the socket's buffer full.
    blocked: AtomicBool,
    /// Whether shutting down the I/O does nothing: the driver decides what becomes of the socket.
    held: AtomicBool,
    http2: AtomicBool,
    /// Whether another process may hold a copy of the socket.
    copied: AtomicBool,
    upgraded: AtomicBool,
    /// Who may read, while nothing was read.
    hold: Hold,
}

/// What the sweep sees of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) phase: Phase,
    /// How long it has been in it.
    pub(super) age_ms: u64,
    /// How long a handler has waited for the request's body; 0 when none does.
    pub(super) body_age_ms: u64,
    pub(super) is_http2: bool,
    /// The socket takes no more bytes.
    pub(super) is_blocked: bool,
}

impl Shared {
    pub(super) fn new(thread: &Arc<Thread>) -> Arc<Self> {
        Arc::new(Self {
            thread: Arc::clone(thread),
            phase: AtomicU8::new(Phase::New as u8),
            since_ms: AtomicU64::new(thread.clock_ms()),
            request: AtomicU8::new(Request::None as u8),
            in_flight: AtomicU32::new(0),
            served: AtomicBool::new(false),
            reading: AtomicU8::new(Reading::Done as u8),
            body_since_ms: AtomicU64::new(u64::MAX),
            blocked: AtomicBool::new(false),
            held: AtomicBool::new(true),
            http2: AtomicBool::new(false),
            copied: AtomicBool::new(false),
            hold: Hold::default(),
            upgraded: AtomicBool::new(false),
        })
    }

    pub(super) fn thread(&self) -> &Thread {
        &self.thread
    }

    pub(super) fn phase(&self) -> Phase {
        Phase::ALL[usize::from(self.phase.load(Ordering::Relaxed))]
    }

    /// Milliseconds (of the thread's clock) since the phase began.
    pub(super) fn age_ms(&self) -> u64 {
        self.thread
            .clock_ms()
            .saturating_sub(self.since_ms.load(Ordering::Relaxed))
    }

    /// What decides whether it may stay.
    pub(super) fn seen(&self) -> Seen {
        Seen {
            phase: self.phase(),
            age_ms: self.age_ms(),
            body_age_ms: self.body_age_ms(),
            is_http2: self.is_http2(),
            is_blocked: self.is_blocked(),
        }
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
        self.since_ms
            .store(self.thread.clock_ms(), Ordering::Relaxed);
    }

    /// Bytes have come from the client.
    pub(super) fn received(&self) {
        // In HTTP/2 they need not be of a request.
        if matches!(self.phase(), Phase::New | Phase::Idle) && !self.is_http2() {
            self.enter(Phase::Header);
        }
    }

    /// Asks something of the driver; the caller wakes it.
    pub(super) fn ask(&self, request: Request) {
        self.request.store(request as u8, Ordering::Relaxed);
    }

    pub(super) fn asked(&self) -> Request {
        Request::ALL[usize::from(self.request.load(Ordering::Relaxed))]
    }

    /// Whether hyper can be made to give this connection back: nothing is in flight, the last
    /// response is written, and at least one request was served (before that, hyper would answer
    /// what it has begun to read instead of giving it back).
    pub(super) fn is_removable(&self) -> bool {
        matches!(self.phase(), Phase::Idle | Phase::Header)
            && self.in_flight.load(Ordering::Relaxed) == 0
            && self.served.load(Ordering::Relaxed)
            && !self.blocked.load(Ordering::Relaxed)
            && self.reading.load(Ordering::Relaxed) != Reading::Open as u8
            // What comes now is another protocol's, and its user's to read.
            && !self.upgraded.load(Ordering::Relaxed)
    }

    /// Whether it leaves now: asked to, and able to.
    pub(super) fn is_leaving(&self) -> bool {
        self.asked() == Request::LeaveSoon && self.is_removable()
    }

    /// A second driver begins with what the first has left: `is_idle` says that it was nothing.
    pub(super) fn begin_anew(&self, is_idle: bool) {
        self.served.store(false, Ordering::Relaxed);
        self.enter(if is_idle { Phase::Idle } else { Phase::New });
    }

    /// The same, for a connection that was on its way between processes.
    pub(super) fn begin_copied(&self, is_idle: bool) {
        self.copied.store(true, Ordering::Relaxed);
        self.begin_anew(is_idle);
    }

    /// Counts a connection that is taken away as open here, until somebody else has it.
    pub(super) fn hold_open(&self) -> Open {
        Open::begin(Self::new(&self.thread))
    }

    pub(super) fn hold(&self) -> &Hold {
        &self.hold
    }

    pub(super) fn is_copied(&self) -> bool {
        self.copied.load(Ordering::Relaxed)
    }

    pub(super) fn set_blocked(&self, blocked: bool) {
        if self.blocked.load(Ordering::Relaxed) != blocked {
            self.blocked.store(blocked, Ordering::Relaxed);
        }
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.load(Ordering::Relaxed)
    }

    /// The socket took bytes: the client still reads what it was answered.
    pub(super) fn wrote(&self) {
        if matches!(self.phase(), Phase::Idle | Phase::Leaving) {
            self.since_ms
                .store(self.thread.clock_ms(), Ordering::Relaxed);
        }
    }

    /// Somebody waits for more of the request's body, or does not any more.
    pub(super) fn body_awaited(&self, awaited: bool) {
        let since = match (awaited, self.body_since_ms.load(Ordering::Relaxed)) {
            (false, _) => u64::MAX,
            (true, u64::MAX) => self.thread.clock_ms(),
            (true, since) => since,
        };
        self.body_since_ms.store(since, Ordering::Relaxed);
    }

    /// Milliseconds for which somebody has waited for the request's body; 0 when nobody does.
    pub(super) fn body_age_ms(&self) -> u64 {
        self.thread
            .clock_ms()
            .saturating_sub(self.body_since_ms.load(Ordering::Relaxed))
    }

    pub(super) fn is_held(&self) -> bool {
        self.held.load(Ordering::Relaxed)
    }

    /// From now on a shutdown of the I/O reaches the socket.
    pub(super) fn release(&self) {
        self.held.store(false, Ordering::Relaxed);
    }

    /// It speaks another protocol after this response: the socket is its user's.
    pub(super) fn upgrade(&self) {
        self.release();
        // An HTTP/2 stream that is upgraded is none of a connection's own.
        if !self.is_http2() && !self.upgraded.swap(true, Ordering::Relaxed) {
            self.thread.upgraded.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn is_http2(&self) -> bool {
        self.http2.load(Ordering::Relaxed)
    }

    /// It is an HTTP/2 connection, without a request so far.
    pub(super) fn set_http2(&self) {
        self.http2.store(true, Ordering::Relaxed);
        self.release();
        self.enter(Phase::Idle);
    }

    pub(super) fn body_begun(&self) {
        self.reading.store(Reading::Open as u8, Ordering::Relaxed);
    }

    pub(super) fn body_done(&self) {
        self.reading.store(Reading::Done as u8, Ordering::Relaxed);
    }

    /// The request's body was dropped, at its end or before.
    pub(super) fn body_dropped(&self) {
        if self.reading.load(Ordering::Relaxed) == Reading::Open as u8 {
            self.reading.store(Reading::Cut as u8, Ordering::Relaxed);
        }
    }

    /// Whether the client may still be sending a body that nobody reads.
    pub(super) fn is_cut(&self) -> bool {
        self.reading.load(Ordering::Relaxed) != Reading::Done as u8
    }
}

/// A request that is being served: from its header's end until its response's body is written
/// to hyper or dropped.
#[derive(Debug)]
pub(super) struct InFlight {
    shared: Arc<Shared>,
    ticket: Ticket,
}

impl InFlight {
    pub(super) fn begin(shared: &Arc<Shared>, method: &Method, uri: &Uri) -> Self {
        shared.in_flight.fetch_add(1, Ordering::Relaxed);
        shared.enter(Phase::Busy);
        shared.served.store(true, Ordering::Relaxed);
        shared.body_done();
        let thread = &shared.thread;
        thread.page.requests_add(1);
        thread.page.in_flight_add(1);
        thread.load.begin();
        Self {
            shared: Arc::clone(shared),
            ticket: thread.recorder.begin(method.as_str(), uri.path()),
        }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Its code has the thread while the result lives: should that be for ever, this is on record.
    pub(super) fn run(&self) -> Running<'_> {
        let thread = &*self.shared.thread;
        thread
            .recorder
            .set_running(thread.index, Some(&self.ticket));
        Running(thread)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let shared = &self.shared;
        if shared.thread.is_cut() {
            return;
        }
        shared.thread.recorder.end(&self.ticket);
        shared.thread.page.in_flight_sub(1);
        shared.thread.load.end();
        if shared.in_flight.fetch_sub(1, Ordering::Relaxed) == 1 {
            shared.enter(Phase::Idle);
        }
    }
}

/// A request's code has its thread.
pub(super) struct Running<'a>(&'a Thread);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.recorder.set_running(self.0.index, None);
    }
}

/// An open connection: from accept until its socket is closed or given away.
#[derive(Debug)]
pub(super) struct Open(Arc<Shared>);

impl Open {
    pub(super) fn begin(shared: Arc<Shared>) -> Self {
        shared.thread.open.fetch_add(1, Ordering::Relaxed);
        shared.thread.page().connections_add(1);
        Self(shared)
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.0
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let thread = &self.0.thread;
        if thread.is_cut() {
            return;
        }
        if !self.0.hold.is_taken() {
            thread.page().connections_sub(1);
        }
        if self.0.upgraded.load(Ordering::Relaxed) {
            thread.upgraded.fetch_sub(1, Ordering::Relaxed);
        }
        thread.open.fetch_sub(1, Ordering::SeqCst);
        if thread.watched.load(Ordering::SeqCst) {
            thread.fell.notify_one();
        }
    }
}
