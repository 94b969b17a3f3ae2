//! The serving threads of one process.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use hatchery_sys::clock::monotonic_ms;
use hatchery_sys::page::StatsPage;
use hatchery_sys::recorder::Recorder;
use tokio::sync::{mpsc, oneshot};

use super::orders::{Orders, QUEUE_MAX};
use super::{local_runtime, record};
use crate::complain::complain;
use crate::pressure::MemoryPressure;
use crate::serve::{Ended, Endpoint, Limits, Order, Server, Setup};

/// What all serving threads of a process are made of.
pub(crate) struct Serving {
    pub(crate) listeners: Vec<OwnedFd>,
    pub(crate) endpoint: Endpoint,
    pub(crate) limits: Limits,
    pub(crate) page: Arc<StatsPage>,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) heartbeat: Duration,
    pub(crate) idle_grace: Duration,
    pub(crate) pressure: MemoryPressure,
}

/// A serving thread besides the main one, and its two reports.
struct Other {
    beginning: oneshot::Receiver<io::Result<()>>,
    ending: oneshot::Receiver<Ended>,
}

impl Serving {
    /// Serves on this thread and `threads - 1` others until all have drained; must be called in a
    /// [local runtime](local_runtime). `ready` is called when all listeners are registered.
    ///
    /// Returns how many connections the drain has cut.
    pub(crate) async fn run(mut self, orders: &Orders, ready: impl FnOnce()) -> io::Result<usize> {
        let threads = usize::try_from(self.limits.threads).unwrap_or(1).max(1);
        let (senders, mut inboxes): (Vec<_>, Vec<_>) =
            (0..threads).map(|_| mpsc::channel(QUEUE_MAX)).unzip();
        let mut others = Vec::new();
        for index in (1..threads).rev() {
            let Some(inbox) = inboxes.pop() else { break };
            others.push(start_other(self.setup(index, orders, inbox)?)?);
        }
        let Some(inbox) = inboxes.pop() else {
            return Err(io::Error::other("no serving thread"));
        };
        let (page, heartbeat) = (Arc::clone(&self.page), self.heartbeat);
        let server = Server::new(self.setup(0, orders, inbox)?)?;
        for other in &mut others {
            (&mut other.beginning).await.map_err(|_| gone())??;
        }
        // The threads have their own; a socket that nobody accepts from must not stay open.
        self.listeners.clear();
        page.set_threads(threads);
        orders.begin(senders);
        ready();
        let mut cut = left(server.run().await);
        for other in others {
            cut += wait(other, &page, heartbeat).await;
        }
        Ok(cut)
    }

    fn setup(
        &self,
        index: usize,
        orders: &Orders,
        inbox: mpsc::Receiver<Order>,
    ) -> io::Result<Setup> {
        let listeners = self
            .listeners
            .iter()
            .map(|socket| socket.as_fd().try_clone_to_owned());
        Ok(Setup {
            index,
            listeners: listeners.collect::<io::Result<_>>()?,
            endpoint: self.endpoint.clone(),
            limits: self.limits.clone(),
            page: Arc::clone(&self.page),
            recorder: Arc::clone(&self.recorder),
            heartbeat: self.heartbeat,
            idle_grace: self.idle_grace,
            pressure: self.pressure.clone(),
            arrivals: Arc::clone(orders.arrivals()),
            unread: Arc::clone(orders.unread()),
            orders: inbox,
        })
    }
}

/// Starts a serving thread besides the main one.
fn start_other(setup: Setup) -> io::Result<Other> {
    let index = setup.index;
    let (begin, beginning) = oneshot::channel();
    let (end, ending) = oneshot::channel();
    let serve = move || {
        let _registered = record::register(index);
        let runtime = match local_runtime() {
            Ok(runtime) => runtime,
            Err(error) => {
                let _ = begin.send(Err(error));
                return;
            }
        };
        runtime.block_on(async {
            match Server::new(setup) {
                Ok(server) => {
                    let _ = begin.send(Ok(()));
                    let _ = end.send(server.run().await);
                }
                Err(error) => {
                    let _ = begin.send(Err(error));
                }
            }
        });
        runtime.shutdown_background();
    };
    thread::Builder::new()
        .name(format!("hatchery-serve{index}"))
        .spawn(serve)?;
    Ok(Other { beginning, ending })
}

/// Waits for another thread's end; meanwhile this one proves that it is not blocked.
async fn wait(mut other: Other, page: &StatsPage, heartbeat: Duration) -> usize {
    loop {
        page.tick(0, monotonic_ms());
        match tokio::time::timeout(heartbeat, &mut other.ending).await {
            Ok(Ok(ended)) => return left(ended),
            Ok(Err(_)) => {
                complain(format_args!("{}", gone()));
                return 0;
            }
            Err(_) => {}
        }
    }
}

fn left(ended: Ended) -> usize {
    match ended {
        Ended::Drained => 0,
        Ended::Cut(connections) => connections,
    }
}

fn gone() -> io::Error {
    io::Error::other("a serving thread has panicked")
}
