//! Moments in the process's life that user code can wait for.

use tokio::sync::watch;

/// A moment in the process's life: it has come, or may come yet.
#[derive(Clone, Debug)]
pub struct Moment(watch::Receiver<bool>);

impl Moment {
    /// Waits for it; returns at once when it has come already.
    pub async fn comes(&self) {
        // An error means that nobody is left who could bring it: the process is ending.
        let _ = self.0.clone().wait_for(|come| *come).await;
    }

    /// Whether it has come.
    pub fn has_come(&self) -> bool {
        *self.0.borrow()
    }
}

/// The moments of a process.
#[derive(Clone, Debug)]
pub(crate) struct Moments {
    /// The process is to end; what goes on must be done within the drain's time-out.
    pub(crate) shutdown: Moment,
    /// Agent and all workers are ready.
    pub(crate) server_did_ready: Moment,
}

/// The side that brings the moments about.
#[derive(Clone, Debug)]
pub(crate) struct Bells {
    shutdown: watch::Sender<bool>,
    server_did_ready: watch::Sender<bool>,
}

impl Bells {
    pub(crate) fn new() -> (Self, Moments) {
        let (shutdown, shutdown_comes) = watch::channel(false);
        let (server_did_ready, server_did_ready_comes) = watch::channel(false);
        let moments = Moments {
            shutdown: Moment(shutdown_comes),
            server_did_ready: Moment(server_did_ready_comes),
        };
        (
            Self {
                shutdown,
                server_did_ready,
            },
            moments,
        )
    }

    pub(crate) fn shutdown(&self) {
        self.shutdown.send_replace(true);
    }

    pub(crate) fn server_did_ready(&self) {
        self.server_did_ready.send_replace(true);
    }
}
