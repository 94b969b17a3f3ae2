//! A process of the application from its readiness to its end.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{Hooks, Timing};
use crate::Application;
use crate::complain::complain;
use crate::config::dump;

/// A process whose start has succeeded.
#[derive(Debug)]
pub(crate) struct Life {
    app: Application,
    hooks: Hooks,
    timing: Timing,
    run_dir: Option<PathBuf>,
    /// What is left to be done when it ends takes no longer than this.
    drain_timeout: Duration,
    /// When it was told to end.
    ending: OnceLock<Instant>,
    /// What runs when it is ready, while it runs.
    after: Mutex<Option<JoinHandle<()>>>,
    /// Whether that has run to its end.
    hooks_finished: watch::Sender<bool>,
}

impl Life {
    pub(crate) fn new(
        app: Application,
        hooks: Hooks,
        timing: Timing,
        run_dir: Option<PathBuf>,
        drain_timeout: Duration,
    ) -> Self {
        Self {
            app,
            hooks,
            timing,
            run_dir,
            drain_timeout,
            ending: OnceLock::new(),
            after: Mutex::default(),
            hooks_finished: watch::Sender::new(false),
        }
    }

    /// The application.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn app(&self) -> &Application {
        &self.app
    }

    /// Becomes true when the hooks that follow readiness have run.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn hooks_finished(&self) -> watch::Receiver<bool> {
        self.hooks_finished.subscribe()
    }

    /// The process is ready: runs the hooks that follow, beside what it serves. Must be called in a
    /// [local runtime](crate::runtime::local_runtime).
    pub(crate) fn begin(self: &Arc<Self>) {
        let life = Arc::clone(self);
        let after = tokio::task::spawn_local(async move {
            life.did_ready().await;
            life.app.server_did_ready().comes().await;
            life.server_did_ready().await;
            life.hooks_finished.send_replace(true);
        });
        let life = Arc::clone(self);
        tokio::task::spawn_local(async move {
            life.app.shutdown().comes().await;
            let _ = life.ending.set(Instant::now());
        });
        *self.after.lock().unwrap_or_else(PoisonError::into_inner) = Some(after);
    }

    /// `did_ready`; the start is over with it.
    async fn did_ready(&self) {
        self.hooks.did_ready(&self.app).await;
        self.timing.complain_of_slow_steps(self.hooks.slow_step());
        if let (Some(run_dir), Some(name)) = (&self.run_dir, self.app.identity().file()) {
            self.timing.write(run_dir, name);
            dump::write(run_dir, name, self.app.config());
            if let Some(routes) = self.app.routes() {
                routes.dump(run_dir);
            }
        }
    }

    /// `server_did_ready`. Only after [`did_ready`](Self::did_ready), and once.
    async fn server_did_ready(&self) {
        self.hooks.server_did_ready(&self.app).await;
    }

    /// The process ends: nothing is in flight any more.
    pub(crate) async fn close(&self) {
        let after = self
            .after
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(after) = after {
            after.abort();
            // Only now has it let go of everything.
            let _ = after.await;
        }
        self.finish_background().await;
        self.hooks.close(&self.app).await;
    }

    /// Waits for background work, as long as the drain may take in all, but for what `before_close`
    /// needs.
    async fn finish_background(&self) {
        let passed = self.ending.get().map_or(Duration::ZERO, Instant::elapsed);
        let left = (self.drain_timeout / 10 * 9).saturating_sub(passed);
        let background = self.app.background();
        if tokio::time::timeout(left, background.idle()).await.is_err() {
            let running = background.running();
            complain(format_args!(
                "the drain's time is over, background tasks cut: {running}"
            ));
        }
    }
}
