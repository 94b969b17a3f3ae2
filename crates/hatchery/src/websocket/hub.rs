//! All WebSockets of a process, and their end when it drains.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use slab::Slab;

use super::settings::Settings;
use super::wire::{Order, Shared};
use crate::Application;

/// How often a drain looks whose turn it is.
const BEAT: Duration = Duration::from_millis(10);

/// All WebSockets of a process.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(super) settings: Settings,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    sockets: Slab<Entry>,
    /// How many there have been: neighbours end far from each other.
    count: u32,
    /// Whether somebody waits for the drain.
    is_watched: bool,
}

struct Entry {
    shared: Arc<Shared>,
    /// Its place in the spread of a drain.
    place: u32,
    order: Order,
}

/// A place among a process's WebSockets.
#[derive(Debug)]
pub(super) struct Membership {
    app: Application,
    key: usize,
}

impl Hub {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are.
    fn open(&self) -> usize {
        self.lock().sockets.len()
    }

    /// Enters one. If the process drains already, it will be closed with the others.
    pub(super) fn enter(app: &Application, shared: &Arc<Shared>) -> Membership {
        let mut state = app.state().websockets.lock();
        if !std::mem::replace(&mut state.is_watched, true) {
            let watching = watch(app.clone());
            // The process's main runtime lives longer than those of other serving threads.
            match app.background().handle() {
                Some(handle) => drop(handle.spawn(watching)),
                None => drop(tokio::spawn(watching)),
            }
        }
        state.count = state.count.wrapping_add(1);
        let place = spread(state.count);
        let key = state.sockets.insert(Entry {
            shared: Arc::clone(shared),
            place,
            order: Order::Stay,
        });
        let app = app.clone();
        Membership { app, key }
    }

    /// Asks those to leave whose turn it is, `passed` after the drain has begun, of `all` that they
    /// have together.
    fn drain(&self, passed: Duration, all: Duration) {
        for (_, entry) in &mut self.lock().sockets {
            let order = match order(entry.place, passed, all) {
                // Not without having been told.
                Order::Drop if entry.order == Order::Stay => Order::Leave,
                order => order,
            };
            if order > entry.order {
                entry.order = order;
                entry.shared.ask(order);
            }
        }
    }
}

impl Application {
    /// How many WebSockets this process has open.
    pub fn websockets(&self) -> usize {
        self.state().websockets.open()
    }
}

/// Waits for the drain and sees it through. The process ends before this does.
async fn watch(app: Application) {
    app.shutdown().comes().await;
    let began = Instant::now();
    let hub = &app.state().websockets;
    loop {
        let mut all = hub.settings.ws_drain;
        if let Some(end) = app.drain_ends() {
            // What is cut then should have been closed before, with some time for the answers.
            all = all.min(end.saturating_duration_since(began) / 20 * 19);
        }
        hub.drain(began.elapsed(), all);
        tokio::time::sleep(BEAT).await;
    }
}

/// What a drain wants of the one at `place`: the first four fifths of the time are for telling it,
/// so that not all come back at once; the rest is for answers.
fn order(place: u32, passed: Duration, all: Duration) -> Order {
    let turn = (all / 5 * 4).mul_f64(f64::from(place) / f64::from(u32::MAX));
    if passed >= all {
        Order::Drop
    } else if passed >= turn {
        Order::Leave
    } else {
        Order::Stay
    }
}

/// Spreads numbers evenly; differently in each process, because its clients may be those of others.
fn spread(count: u32) -> u32 {
    // Fibonacci hashing.
    std::process::id()
        .wrapping_add(count)
        .wrapping_mul(0x9e37_79b9)
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut state = self.app.state().websockets.lock();
        state.sockets.try_remove(self.key);
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_told_one_after_the_other_and_dropped_at_the_end() {
        let all = Duration::from_secs(10);
        let told = |ms| {
            let passed = Duration::from_millis(ms);
            let orders = (0..1000).map(|count| order(spread(count), passed, all));
            orders.filter(|order| *order == Order::Leave).count()
        };
        assert!(told(0) <= 1);
        assert!((480..520).contains(&told(4000)), "{}", told(4000));
        assert_eq!(told(8000), 1000);
        assert_eq!(told(9999), 1000);
        assert_eq!(order(0, all, all), Order::Drop);
        assert_eq!(order(7, Duration::ZERO, Duration::ZERO), Order::Drop);
    }
}
