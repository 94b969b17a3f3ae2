//! Work that goes on after a response, and that a drain waits for.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;
use std::time::Instant;

use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::events::ErrorOrigin;
use crate::runtime::panic_message;
use crate::{Application, BoxError, Context, Error};

/// The background work of one process.
#[derive(Debug)]
pub(crate) struct Background {
    running: watch::Sender<usize>,
    /// The process's main runtime: it lives longer than those of other serving threads.
    handle: Option<Handle>,
}

impl Background {
    /// Called in the runtime that is to run it.
    pub(crate) fn new() -> Self {
        Self {
            running: watch::Sender::new(0),
            handle: Handle::try_current().ok(),
        }
    }

    /// Where it runs.
    #[cfg(feature = "websocket")]
    pub(crate) fn handle(&self) -> Option<&Handle> {
        self.handle.as_ref()
    }

    /// How many are running.
    pub(crate) fn running(&self) -> usize {
        *self.running.borrow()
    }

    /// Waits until nothing is running.
    pub(crate) async fn idle(&self) {
        // The sender is `self`: there is no error.
        let _ = self.running.subscribe().wait_for(|count| *count == 0).await;
    }
}

impl Application {
    pub(crate) fn background(&self) -> &Background {
        &self.state().background
    }

    /// Waits until no background work is running.
    pub async fn background_tasks_finished(&self) {
        self.background().idle().await;
    }
}

impl Context {
    /// Runs `work` after what is running now, whether or not the request is over by then; this
    /// context stays usable in it. Its end is logged with the time it took. A failure, a panic too,
    /// is an `error` event and harms nobody else. A process that is to end waits for it until
    /// `cluster.drain_timeout`.
    ///
    /// ```
    /// # async fn send(_to: &str) -> Result<(), hatchery::BoxError> { Ok(()) }
    /// async fn register(ctx: hatchery::Context) -> &'static str {
    ///     ctx.run_in_background("welcome mail", async { send("ann@example.com").await });
    ///     "Welcome"
    /// }
    /// ```
    pub fn run_in_background<F>(&self, name: impl Into<String>, work: F)
    where
        F: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        let task = Task::begin(self.owning(), name.into());
        let handle = self.app().background().handle.clone();
        let Some(handle) = handle.or_else(|| Handle::try_current().ok()) else {
            // The task's drop says that it was cut.
            return;
        };
        handle.spawn(task.run(work));
    }
}

/// One piece of background work, from its beginning to its end.
struct Task {
    context: Context,
    name: String,
    began: Instant,
    is_over: bool,
}

impl Task {
    fn begin(context: Context, name: String) -> Self {
        let running = &context.app().background().running;
        running.send_modify(|count| *count += 1);
        Self {
            context,
            name,
            began: Instant::now(),
            is_over: false,
        }
    }

    async fn run<F>(mut self, work: F)
    where
        F: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        self.began = Instant::now();
        let name = &self.name;
        let logger = self.context.logger();
        logger.info(format_args!("background task `{name}` started"));
        let mut work: Pin<Box<F>> = Box::pin(work);
        let result = std::future::poll_fn(|turn| {
            match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(turn))) {
                Ok(poll) => poll,
                Err(panic) => {
                    let message = format!("panicked: {}", panic_message(&*panic));
                    Poll::Ready(Err(message.into()))
                }
            }
        })
        .await;
        self.is_over = true;
        let took = self.began.elapsed().as_millis();
        match result {
            Ok(()) => logger.info(format_args!(
                "background task `{name}` succeeded ({took}ms)"
            )),
            Err(error) => {
                logger.error(format_args!("background task `{name}` failed ({took}ms)"));
                let origin = ErrorOrigin::Background { task: name.clone() };
                let app = self.context.app();
                app.report(&Error::from_boxed(error), &origin, Some(&self.context));
            }
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if !self.is_over {
            let took = self.began.elapsed().as_millis();
            self.context.logger().error(format_args!(
                "background task `{}` was cut ({took}ms)",
                self.name
            ));
        }
        let running = &self.context.app().background().running;
        running.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests;
