//! Hooks that run at the same time, on one thread and without tasks.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::BoxError;

/// A hook that runs, and the one it is.
pub(crate) type Running<'a, T> = (
    usize,
    Pin<Box<dyn Future<Output = Result<T, BoxError>> + 'a>>,
);

/// Runs all of them at the same time. Calls `done` for each as it ends; the first error ends all.
pub(crate) struct Together<'a, T, D> {
    running: Vec<Running<'a, T>>,
    done: D,
}

impl<'a, T, E, D> Together<'a, T, D>
where
    D: FnMut(usize, Result<T, BoxError>) -> Result<(), E> + Unpin,
{
    pub(crate) fn new(running: Vec<Running<'a, T>>, done: D) -> Self {
        Self { running, done }
    }
}

impl<T, E, D> Future for Together<'_, T, D>
where
    D: FnMut(usize, Result<T, BoxError>) -> Result<(), E> + Unpin,
{
    type Output = Result<(), E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut at = 0;
        while let Some((index, future)) = this.running.get_mut(at) {
            let index = *index;
            match poll_caught(future.as_mut(), cx) {
                Poll::Pending => at += 1,
                Poll::Ready(result) => {
                    // In their order: it shows where nobody has to wait.
                    drop(this.running.remove(at));
                    if let Err(error) = (this.done)(index, result) {
                        return Poll::Ready(Err(error));
                    }
                }
            }
        }
        if this.running.is_empty() {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }
}

/// A panic is an error.
pub(crate) fn poll_caught<T>(
    future: Pin<&mut (dyn Future<Output = Result<T, BoxError>> + '_)>,
    cx: &mut Context<'_>,
) -> Poll<Result<T, BoxError>> {
    catch_unwind(AssertUnwindSafe(|| future.poll(cx)))
        .unwrap_or_else(|panic| Poll::Ready(Err(panicked(&*panic))))
}

/// Runs what does not wait; a panic is an error.
pub(crate) fn caught<T>(work: impl FnOnce() -> Result<T, BoxError>) -> Result<T, BoxError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(panicked(&*panic)))
}

fn panicked(panic: &(dyn Any + Send)) -> BoxError {
    format!("panicked: {}", crate::runtime::panic_message(panic)).into()
}
