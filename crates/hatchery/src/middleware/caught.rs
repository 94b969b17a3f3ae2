//! Panics of an application's code as errors.

use std::any::Any;
use std::future::ready;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;

use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;

use super::next::Answer;
use crate::Error;
use crate::runtime::panic_message;

/// The future of a response. If it panics, the response is an error as any other: middleware sees
/// it, listeners hear of it, and the client gets the form that it wants.
pub(super) enum Caught<F> {
    Runs(F),
    /// What comes before the future has panicked.
    Panicked(Error),
    Over,
}

impl<F> Caught<F> {
    /// Has `poll` poll the future.
    pub(super) fn poll(&mut self, poll: impl FnOnce(&mut F) -> Poll<Response>) -> Poll<Response> {
        let Self::Runs(future) = self else {
            return match std::mem::replace(self, Self::Over) {
                Self::Panicked(error) => Poll::Ready(error.into_response()),
                _ => Poll::Pending,
            };
        };
        catch_unwind(AssertUnwindSafe(|| poll(future))).unwrap_or_else(|panic| {
            // What the future held is in an unknown state: drop it now, and let a panic in one of
            // its destructors do no harm.
            let rest = std::mem::replace(self, Self::Over);
            let _ = catch_unwind(AssertUnwindSafe(|| drop(rest)));
            Poll::Ready(panicked(&*panic).into_response())
        })
    }
}

impl<F> From<Result<F, Error>> for Caught<F> {
    fn from(begun: Result<F, Error>) -> Self {
        begun.map_or_else(Self::Panicked, Self::Runs)
    }
}

/// What `work` returns.
pub(super) fn call<T>(work: impl FnOnce() -> T) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| panicked(&*panic))
}

/// The response of the future that `work` makes.
pub(super) fn answer<F>(work: impl FnOnce() -> F) -> Answer
where
    F: Future<Output: IntoResponse> + Send + 'static,
{
    // In the box before it leaves here: a future is large, and each move of it a copy. An `async`
    // block would have room for it twice.
    let answer = call(|| -> Answer { Box::pin(work().map(IntoResponse::into_response)) });
    answer.unwrap_or_else(|error| Box::pin(ready(error.into_response())))
}

/// The panic hook has written where it was by then.
fn panicked(panic: &(dyn Any + Send)) -> Error {
    Error::internal(format!("panicked: {}", panic_message(panic)))
}
