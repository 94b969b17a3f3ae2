//! The serving threads of one process: each a current-thread runtime with its own accept loop on
//! its own descriptors of the listeners.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc as std_mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use axum::Router;
use hatchery_sys::page::StatsPage;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use crate::serve::{Ended, Limits, Order, Server, Setup};

/// Orders that may wait for one thread; far more than a master that awaits answers gives.
const ORDERS_MAX: usize = 1024;

/// What all threads of a process serve.
pub(crate) struct Service {
    pub(crate) router: Router,
    pub(crate) limits: Limits,
    pub(crate) listeners: Vec<OwnedFd>,
    pub(crate) page: Arc<StatsPage>,
    pub(crate) heartbeat: Duration,
    pub(crate) idle_grace: Duration,
}

/// Gives orders to all threads. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Foreman {
    threads: Vec<mpsc::Sender<Order>>,
    next: Arc<AtomicUsize>,
}

/// Threads that are about to serve: every listener is registered.
pub(crate) struct Crew {
    runtime: Runtime,
    local: LocalSet,
    first: Server,
    others: Vec<JoinHandle<io::Result<Ended>>>,
}

impl Crew {
    /// Registers the listeners in every thread. What arrives from now on is served.
    pub(crate) fn start(service: &Service) -> io::Result<(Self, Foreman)> {
        let count = service.limits.threads.max(1) as usize;
        service.page.set_threads(count);
        let mut foreman = Foreman {
            threads: Vec::new(),
            next: Arc::default(),
        };
        let mut others = Vec::new();
        let (registered, results) = std_mpsc::channel();
        for index in 1..count {
            let setup = service.setup(index, &mut foreman)?;
            let registered = registered.clone();
            let serve = move || serve(setup, &registered);
            others.push(
                thread::Builder::new()
                    .name(format!("serve-{index}"))
                    .spawn(serve)?,
            );
        }
        for _ in 1..count {
            results.recv().map_err(io::Error::other)??;
        }
        let runtime = runtime()?;
        let local = LocalSet::new();
        let setup = service.setup(0, &mut foreman)?;
        let first = runtime.block_on(local.run_until(async { Server::new(setup()) }))?;
        Ok((
            Self {
                runtime,
                local,
                first,
                others,
            },
            foreman,
        ))
    }

    /// Serves until every thread has drained. `beside` runs on the first thread. Returns how many
    /// connections were cut because the drain's time was over.
    pub(crate) fn serve(self, beside: impl Future<Output = ()> + 'static) -> usize {
        let Self {
            runtime,
            local,
            first,
            others,
        } = self;
        local.spawn_local(beside);
        let ended = runtime.block_on(local.run_until(first.run()));
        let mut cut = connections_cut(ended);
        for other in others {
            if let Ok(Ok(ended)) = other.join() {
                cut += connections_cut(ended);
            }
        }
        cut
    }
}

impl Service {
    /// What one thread is given; made into the set-up on that thread.
    fn setup(
        &self,
        index: usize,
        foreman: &mut Foreman,
    ) -> io::Result<impl FnOnce() -> Setup + Send + 'static> {
        let (sender, orders) = mpsc::channel(ORDERS_MAX);
        foreman.threads.push(sender);
        let listeners: io::Result<Vec<_>> = self.listeners.iter().map(OwnedFd::try_clone).collect();
        let listeners = listeners?;
        let (router, limits) = (self.router.clone(), self.limits.clone());
        let page = Arc::clone(&self.page);
        let (heartbeat, idle_grace) = (self.heartbeat, self.idle_grace);
        Ok(move || Setup {
            index,
            listeners,
            router,
            limits,
            page,
            heartbeat,
            idle_grace,
            heir: None,
            orders,
        })
    }
}

impl Foreman {
    /// Has every thread drain.
    pub(crate) fn drain(&self, limit: Duration, successor: bool) {
        for thread in &self.threads {
            let _ = thread.try_send(Order::Drain { limit, successor });
        }
    }

    /// Has one thread empty a listener; they take turns. A thread that has ended drops the order,
    /// and with it the listener: the master asks another process then.
    pub(crate) fn adopt(&self, listener: OwnedFd, done: Box<dyn FnOnce(u32) + Send>) {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.threads.len().max(1);
        if let Some(thread) = self.threads.get(turn) {
            let _ = thread.try_send(Order::Adopt { listener, done });
        }
    }
}

fn serve(
    setup: impl FnOnce() -> Setup,
    registered: &std_mpsc::Sender<io::Result<()>>,
) -> io::Result<Ended> {
    let runtime = runtime()?;
    let local = LocalSet::new();
    match runtime.block_on(local.run_until(async { Server::new(setup()) })) {
        Ok(server) => {
            let _ = registered.send(Ok(()));
            Ok(runtime.block_on(local.run_until(server.run())))
        }
        Err(error) => {
            let _ = registered.send(Err(error));
            Err(io::ErrorKind::Other.into())
        }
    }
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

fn connections_cut(ended: Ended) -> usize {
    match ended {
        Ended::Drained => 0,
        Ended::Cut(connections) => connections,
    }
}
