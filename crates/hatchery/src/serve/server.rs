//! The loop of one serving thread: accept, tick, sweep, drain.

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hatchery_sys::clock::monotonic_ms;
use hatchery_sys::page::StatsPage;
use hatchery_sys::recorder::Recorder;
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior};

use super::Limits;
use super::arrivals::{Arrival, Arrivals};
use super::common::{Common, Heir};
use super::endpoint::Endpoint;
use super::listener::{Listener, Waiting};
use super::shed::Shedder;
use super::state::Thread;
use super::unread::Unread;
use super::verdict::{Patience, millis};
use crate::complain::complain;
use crate::pressure::{MemoryPressure, PressureLevel};

/// Most connections accepted before others have their turn.
const BATCH: usize = 32;

/// Most connections accepted from a queue that is emptied: more than a listener's longest queue.
const REST_MAX: usize = 16 * 1024;

/// How long nothing is accepted after the system refused (no descriptors, no memory).
const PAUSE: Duration = Duration::from_millis(50);

/// Longer than any drain.
const NEVER: Duration = Duration::MAX;

/// How often a draining thread looks whom it can close.
const DRAIN_BEAT: Duration = Duration::from_millis(25);

/// What a serving thread needs.
pub(crate) struct Setup {
    /// The thread's number, from 0.
    pub(crate) index: usize,
    /// Its own descriptors of the listeners.
    pub(crate) listeners: Vec<OwnedFd>,
    pub(crate) endpoint: Endpoint,
    pub(crate) limits: Limits,
    /// Where it ticks and counts.
    pub(crate) page: Arc<StatsPage>,
    /// Where it writes what it is doing.
    pub(crate) recorder: Arc<Recorder>,
    /// How often it ticks.
    pub(crate) heartbeat: Duration,
    /// How long idle connections are kept while draining.
    pub(crate) idle_grace: Duration,
    /// Whether it is to shed.
    pub(crate) pressure: MemoryPressure,
    /// Connections that this process is to serve on; its serving threads share them.
    pub(crate) arrivals: Arc<Arrivals>,
    /// Connections that can be taken from its serving threads.
    pub(crate) unread: Arc<Unread>,
    /// What it is told from outside.
    pub(crate) orders: mpsc::Receiver<Order>,
}

/// What a serving thread is told.
pub(crate) enum Order {
    /// Finish what you have.
    Drain {
        /// When to give up.
        limit: Duration,
        /// Whether somebody else serves the listeners' queues. If not, they are emptied first.
        successor: bool,
    },
    /// Accept all that waits in this listener, then close it.
    Adopt {
        listener: OwnedFd,
        /// Gets the number of connections.
        done: Box<dyn FnOnce(u32) + Send>,
    },
    /// Accept from these listeners from now on.
    Serve { listeners: Vec<OwnedFd> },
    /// Give idle connections to this one when you drain, or if you do already.
    HandOver(Heir),
    /// The heir of that number takes no more.
    GiveUp(u64),
}

/// How a drain has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// No connection is left.
    Drained,
    /// Its time was over, and so many connections are left.
    Cut(usize),
}

/// One serving thread.
pub(crate) struct Server {
    common: Rc<Common>,
    thread: Arc<Thread>,
    index: usize,
    listeners: Vec<Listener>,
    /// The listener that is asked first in the next turn.
    first: usize,
    connections_max: usize,
    patience: Patience,
    idle_grace: Duration,
    pressure: MemoryPressure,
    shedder: Shedder,
    arrivals: Arc<Arrivals>,
    orders: Option<mpsc::Receiver<Order>>,
    beat: Interval,
    /// When the loop ticked last, by the machine's clock.
    ticked_ms: u64,
    /// Until when nothing is accepted.
    paused_until: Option<Instant>,
    /// Whether the system refused the last time: one line is written for a series of refusals.
    is_refused: bool,
    drain: Option<Drain>,
}

struct Drain {
    deadline: Option<Instant>,
}

impl Server {
    /// Registers the listeners with the runtime that this is called in.
    pub(crate) fn new(setup: Setup) -> io::Result<Self> {
        let Setup {
            index,
            endpoint,
            limits,
            page,
            recorder,
            heartbeat,
            idle_grace,
            pressure,
            arrivals,
            unread,
            orders,
            ..
        } = setup;
        let listeners = setup
            .listeners
            .into_iter()
            .map(Listener::register)
            .collect::<io::Result<_>>()?;
        let thread = Thread::new(index, page, recorder);
        Ok(Self {
            common: Rc::new(Common::new(&limits, endpoint, Arc::clone(&thread), unread)),
            thread,
            arrivals,
            index,
            listeners,
            first: 0,
            connections_max: limits.connections_per_thread(),
            patience: Patience::new(&limits),
            idle_grace,
            pressure,
            shedder: Shedder::default(),
            orders: Some(orders),
            beat: beat(heartbeat),
            ticked_ms: monotonic_ms(),
            paused_until: None,
            is_refused: false,
            drain: None,
        })
    }

    /// Serves until a drain has ended.
    pub(crate) async fn run(mut self) -> Ended {
        loop {
            if let Some(ended) = self.ended() {
                return ended;
            }
            let open_max = if self.drain.is_some() {
                1
            } else {
                self.connections_max
            };
            let is_full = self.thread.open() >= open_max;
            let may_accept = !is_full && self.paused_until.is_none() && self.drain.is_none();
            let may_take_in = !is_full || self.drain.is_some();
            let thread = Arc::clone(&self.thread);
            tokio::select! {
                biased;
                _ = self.beat.tick() => self.tick(),
                order = next(&mut self.orders) => self.follow(order),
                arrival = self.arrivals.next(), if may_take_in => self.take_in(arrival),
                () = thread.below(open_max), if is_full => {}
                () = sleep_until(self.paused_until) => self.paused_until = None,
                accepted = accept(
                    &self.listeners, &mut self.first, &self.common, self.connections_max),
                    if may_accept =>
                {
                    match accepted {
                        Ok(count) => {
                            self.is_refused = false;
                            if count >= BATCH {
                                tokio::task::yield_now().await;
                            }
                        }
                        Err(error) => self.pause(&error),
                    }
                }
            }
        }
    }

    /// Says that the loop turns, and looks who has been here for too long.
    fn tick(&mut self) {
        let now_ms = monotonic_ms();
        self.thread.page().tick(self.index, now_ms);
        // What this loop has slept through is not its clients' time.
        let period_ms = millis(self.beat.period()).max(1);
        self.thread
            .advance(now_ms.saturating_sub(self.ticked_ms).min(2 * period_ms));
        self.ticked_ms = now_ms;
        let is_shedding = self.pressure.level() >= PressureLevel::Shed;
        self.shedder
            .tick(self.thread.load(), self.thread.clock_ms(), is_shedding);
        let patience = match &self.drain {
            None => self.patience,
            // Who is idle has gone to the heir; who is not idle yet will.
            Some(_) if self.common.has_heir() => self.patience.draining(Duration::ZERO, NEVER),
            Some(_) => {
                let age = Duration::from_millis(self.common.alone_for_ms());
                self.patience.draining(age, self.idle_grace)
            }
        };
        self.common.registry.sweep(&patience);
    }

    fn follow(&mut self, order: Option<Order>) {
        match order {
            None => self.orders = None,
            Some(Order::Drain { limit, successor }) => self.begin_drain(limit, successor),
            Some(Order::Adopt { listener, done }) => match Waiting::new(listener) {
                Ok(waiting) => done(u32::try_from(self.empty(&waiting)).unwrap_or(u32::MAX)),
                Err(error) => {
                    complain(format_args!("cannot adopt a listener: {error}"));
                    done(0);
                }
            },
            Some(Order::Serve { listeners }) => self.serve(listeners),
            Some(Order::HandOver(heir)) => {
                self.common.set_heir(heir);
                if self.drain.is_some() {
                    self.common.dismiss();
                }
            }
            Some(Order::GiveUp(heir)) => self.common.give_up(heir),
        }
    }

    /// A spare's listeners come after its start.
    fn serve(&mut self, listeners: Vec<OwnedFd>) {
        if self.drain.is_some() {
            // What queues in them is the master's to find.
            return;
        }
        for socket in listeners {
            match Listener::register(socket) {
                Ok(listener) => self.listeners.push(listener),
                Err(error) => {
                    // It would hold a slot in which nobody serves.
                    complain(format_args!("cannot serve a listener: {error}"));
                    hatchery_sys::process::exit_now(1);
                }
            }
        }
    }

    /// Serves a connection on that had another driver.
    fn take_in(&self, arrival: Arrival) {
        let page = self.thread.page();
        let served = match arrival {
            Arrival::Inherited {
                connection,
                acknowledge,
            } => self
                .common
                .serve_on(connection, acknowledge)
                .map(|is_ours| page.inherited_add(u64::from(is_ours))),
            Arrival::Returned(connection) => self.common.serve_on(connection, || true).map(drop),
        };
        if let Err(error) = served {
            complain(format_args!("cannot serve a connection on: {error}"));
        }
    }

    /// Begins to drain; told again, the earlier deadline holds.
    fn begin_drain(&mut self, limit: Duration, successor: bool) {
        let deadline = Instant::now().checked_add(limit);
        if let Some(drain) = &mut self.drain {
            drain.deadline = earlier(drain.deadline, deadline);
            return;
        }
        let upgraded = self.thread.upgraded();
        self.thread.page().fallen_back_add(upgraded);
        if !self.common.has_heir() {
            self.common.stand_alone();
        }
        for listener in std::mem::take(&mut self.listeners) {
            match listener.deregister() {
                Ok(waiting) if !successor => {
                    self.empty(&waiting);
                }
                Ok(_) => {}
                Err(error) => complain(format_args!(
                    "cannot take a listener out of the loop: {error}"
                )),
            }
        }
        self.drain = Some(Drain { deadline });
        if self.common.has_heir() {
            self.common.dismiss();
        }
        self.beat = beat(self.beat.period().min(DRAIN_BEAT));
        self.tick();
    }

    /// Accepts all that waits, whatever the limit of connections: nobody else would.
    fn empty(&self, waiting: &Waiting) -> usize {
        let mut accepted = 0;
        for _ in 0..REST_MAX {
            match waiting.accept() {
                Ok(stream) => {
                    self.common.serve(stream);
                    accepted += 1;
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if error.kind() != io::ErrorKind::WouldBlock {
                        complain(format_args!("cannot empty a listener's queue: {error}"));
                    }
                    break;
                }
            }
        }
        accepted
    }

    fn pause(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.is_refused, true) {
            complain(format_args!(
                "cannot accept connections, trying again every {PAUSE:?}: {error}"
            ));
        }
        self.paused_until = Some(Instant::now() + PAUSE);
    }

    fn ended(&self) -> Option<Ended> {
        let drain = self.drain.as_ref()?;
        match self.thread.open() {
            0 if self.arrivals.is_empty() => Some(Ended::Drained),
            open if drain
                .deadline
                .is_some_and(|deadline| Instant::now() >= deadline) =>
            {
                self.thread.cut();
                Some(Ended::Cut(open))
            }
            _ => None,
        }
    }
}

/// The next order; never, when nobody can give one any more.
async fn next(orders: &mut Option<mpsc::Receiver<Order>>) -> Option<Order> {
    match orders {
        Some(orders) => orders.recv().await,
        None => std::future::pending().await,
    }
}

/// Waits until then; for ever without a time.
async fn sleep_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

/// Accepts and serves what has come: at least one connection, at most a batch.
async fn accept(
    listeners: &[Listener],
    first: &mut usize,
    common: &Rc<Common>,
    open_max: usize,
) -> io::Result<usize> {
    std::future::poll_fn(|cx| {
        let mut accepted = 0;
        for turn in 0..listeners.len() {
            let place = (*first + turn) % listeners.len();
            let listener = &listeners[place];
            match poll_accept(listener, common, open_max, &mut accepted, cx) {
                // The others are asked first in the next turn.
                Poll::Ready(result) => {
                    *first = place + 1;
                    return Poll::Ready(result.map(|()| accepted));
                }
                Poll::Pending => {}
            }
        }
        if accepted == 0 {
            Poll::Pending
        } else {
            Poll::Ready(Ok(accepted))
        }
    })
    .await
}

/// Accepts from one listener until nothing waits (pending) or no more may be accepted (ready).
fn poll_accept(
    listener: &Listener,
    common: &Rc<Common>,
    open_max: usize,
    accepted: &mut usize,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    while *accepted < BATCH && common.thread.open() < open_max {
        match ready!(listener.poll_accept(cx)) {
            Ok(stream) => common.serve(stream),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => return Poll::Ready(Err(error)),
        }
        *accepted += 1;
    }
    Poll::Ready(Ok(()))
}

/// Whether the error of an `accept` is that of a connection that ended while it waited.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}

fn beat(period: Duration) -> Interval {
    let mut beat = tokio::time::interval(period.max(Duration::from_millis(1)));
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beat
}

fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
