//! What drives one WebSocket from its handshake to its end.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Turn, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::close_code::{self, CloseCode};
use super::hub::{Hub, Membership};
use super::settings::Settings;
use super::wire::{Closed, Order, Phase, Shared, Transport};
use crate::events::ErrorOrigin;
use crate::runtime::panic_message;
use crate::{Context, Error};

/// How long the other end may take to answer a close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// A handler that runs.
pub(super) type Handling = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// What drives one WebSocket: it polls the handler and, between its reads and writes, sees to pings,
/// to the drain and to the end. It ends when the connection, the handler and the handler's
/// [`WebSocket`](super::WebSocket) have.
pub(super) struct Session {
    shared: Arc<Shared>,
    handler: Option<Handling>,
    context: Context,
    pinger: Pinger,
    /// Until when the closing may take, once it has begun.
    closing_until: Option<Instant>,
    timer: Pin<Box<Sleep>>,
    _membership: Membership,
}

impl Session {
    pub(super) fn new(transport: Transport, context: Context, settings: &Settings) -> Self {
        let shared = Shared::new(transport);
        let pinger = Pinger::new(settings, Instant::now());
        Self {
            _membership: Hub::enter(context.app(), &shared),
            timer: Box::pin(tokio::time::sleep_until(far(pinger.next()))),
            shared,
            handler: None,
            context,
            pinger,
            closing_until: None,
        }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// What `make` makes is the handler.
    pub(super) fn handle(&mut self, make: impl FnOnce() -> Handling) {
        match catch_unwind(AssertUnwindSafe(make)) {
            Ok(handler) => self.handler = Some(handler),
            Err(panic) => self.failed(&panicked(&*panic)),
        }
    }

    /// Polls the handler, if it has not ended.
    fn poll_handler(&mut self, turn: &mut Turn<'_>) {
        let Some(handler) = &mut self.handler else {
            return;
        };
        let polled = catch_unwind(AssertUnwindSafe(|| handler.as_mut().poll(turn)));
        let error = match polled {
            Ok(Poll::Pending) => return,
            Ok(Poll::Ready(Ok(()))) => None,
            // Its client has gone, or this worker is replaced: no failure of the handler's.
            Ok(Poll::Ready(Err(error))) if is_closed(&error) => None,
            Ok(Poll::Ready(Err(error))) => Some(error),
            Err(panic) => Some(panicked(&*panic)),
        };
        if let Some(error) = &error {
            // First, because the handler's end closes it, too.
            self.failed(error);
        }
        let rest = self.handler.take();
        // What a handler held that has panicked is in an unknown state.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(rest)));
    }

    fn failed(&self, error: &Error) {
        self.close(close_code::INTERNAL_ERROR, "the handler has failed");
        let app = self.context.app();
        app.report(error, &ErrorOrigin::WebSocket, Some(&self.context));
    }

    fn close(&self, code: CloseCode, reason: &str) {
        self.shared.lock().close(code, reason);
    }

    /// What is to be done on the connection beside what the handler does.
    fn tend(&mut self, turn: &mut Turn<'_>) -> Phase {
        let now = self.poll_timer(turn);
        let mut wire = self.shared.lock();
        match wire.order() {
            Order::Stay => {}
            Order::Leave => wire.close(close_code::SERVICE_RESTART, "the service restarts"),
            Order::Drop => wire.finish(turn),
        }
        if self.handler.is_none() && !wire.is_held() {
            wire.close(close_code::NORMAL, "");
        }
        wire.drive(turn);
        if let Some(now) = now {
            let heard = wire.take_heard();
            match self.pinger.look(now, heard || wire.is_full()) {
                Look::Ping => wire.ping(),
                Look::Gone if wire.phase() == Phase::Open => wire.finish(turn),
                Look::Gone | Look::Wait => {}
            }
            if self.closing_until.is_some_and(|until| now >= until) {
                wire.finish(turn);
            }
            // Of a ping.
            wire.drive(turn);
        }
        wire.phase()
    }

    /// The time, if it is time for something.
    fn poll_timer(&mut self, turn: &mut Turn<'_>) -> Option<Instant> {
        self.timer.as_mut().poll(turn).is_ready().then(Instant::now)
    }

    /// Sets the timer for what comes next. Returns whether it has to be polled for that.
    fn set_timer(&mut self, phase: Phase) -> bool {
        let next = match phase {
            Phase::Open => self.pinger.next(),
            Phase::Closing | Phase::Lingering { .. } => {
                let until = self.closing_until;
                Some(
                    *self
                        .closing_until
                        .insert(until.unwrap_or_else(|| Instant::now() + CLOSE_TIMEOUT)),
                )
            }
            Phase::Over => None,
        };
        let next = far(next);
        let differs = self.timer.deadline() != next;
        if differs {
            self.timer.as_mut().reset(next);
        }
        differs
    }
}

impl Future for Session {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, turn: &mut Turn<'_>) -> Poll<()> {
        let this = &mut *self;
        loop {
            let before = {
                let mut wire = this.shared.lock();
                wire.begin_turn(turn.waker());
                if wire.order() == Order::Drop {
                    wire.finish(turn);
                    // Whatever the handler still does: nobody waits for it any more.
                    return Poll::Ready(());
                }
                wire.phase()
            };
            this.poll_handler(turn);
            let phase = this.tend(turn);
            let is_over = phase == Phase::Over;
            if is_over && this.handler.is_none() && !this.shared.lock().is_held() {
                return Poll::Ready(());
            }
            let is_rearmed = this.set_timer(phase);
            // The handler hears of the end, and a new time is waited for.
            let hears = before == Phase::Open && phase != Phase::Open;
            if !hears && !is_rearmed {
                return Poll::Pending;
            }
        }
    }
}

/// When to ping, and when nobody is there any more. Whatever comes is a sign of life.
#[derive(Debug)]
struct Pinger {
    interval: Duration,
    timeout: Duration,
    /// When the next ping is due; `None`: never.
    next: Option<Instant>,
    /// Since when a ping is unanswered.
    unanswered: Option<Instant>,
}

/// What there is to do.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    Wait,
    Ping,
    Gone,
}

impl Pinger {
    fn new(settings: &Settings, now: Instant) -> Self {
        let interval = settings.ping_interval;
        Self {
            interval,
            timeout: settings.ping_timeout,
            next: (!interval.is_zero()).then(|| now + interval),
            unanswered: None,
        }
    }

    /// When to look at the latest.
    fn next(&self) -> Option<Instant> {
        let gone = self.unanswered.map(|since| since + self.timeout);
        [self.next, gone].into_iter().flatten().min()
    }

    /// `is_alive`: something has come since the last look.
    fn look(&mut self, now: Instant, is_alive: bool) -> Look {
        if is_alive {
            self.unanswered = None;
        }
        if self
            .unanswered
            .is_some_and(|since| now >= since + self.timeout)
        {
            return Look::Gone;
        }
        if self.next.is_none_or(|next| now < next) {
            return Look::Wait;
        }
        self.next = Some(now + self.interval);
        self.unanswered.get_or_insert(now);
        Look::Ping
    }
}

/// The time, or one that does not come.
fn far(time: Option<Instant>) -> Instant {
    const FAR: Duration = Duration::from_hours(366 * 24);
    // A fixed one, so that it stays the same.
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    time.unwrap_or_else(|| *START + FAR)
}

/// Whether all that has failed is sending.
fn is_closed(error: &Error) -> bool {
    let closed = error
        .source()
        .and_then(|source| source.downcast_ref::<Closed>());
    closed.is_some()
}

/// The panic hook has written where it was by then.
fn panicked(panic: &(dyn Any + Send)) -> Error {
    Error::internal(format!("panicked: {}", panic_message(panic)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_answer_a_ping_is_gone() {
        let settings = Settings {
            ping_interval: Duration::from_secs(10),
            ping_timeout: Duration::from_secs(25),
            ..Settings::default()
        };
        let start = Instant::now();
        let mut pinger = Pinger::new(&settings, start);
        let mut look = |secs, alive| pinger.look(start + Duration::from_secs(secs), alive);
        assert_eq!(look(9, false), Look::Wait);
        assert_eq!(look(10, false), Look::Ping);
        assert_eq!(look(20, true), Look::Ping);
        assert_eq!(look(30, false), Look::Ping);
        assert_eq!(look(44, false), Look::Ping);
        assert_eq!(look(45, false), Look::Gone);
        let at = |pinger: &Pinger| pinger.next().map(|at| at - start);
        assert_eq!(at(&pinger), Some(Duration::from_secs(45)));
        let settings = Settings {
            ping_interval: Duration::ZERO,
            ..settings
        };
        assert_eq!(at(&Pinger::new(&settings, start)), None);
    }
}
