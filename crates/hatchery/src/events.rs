//! What happens in an application, for those who listen: errors, requests, responses.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::StatusCode;

use crate::complain::complain;
use crate::{Application, Context, Error};

/// Where an error has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorOrigin {
    /// A handler or a middleware has answered a request with it.
    Request,
    /// A piece of background work has ended with it.
    Background {
        /// The name it was given.
        task: String,
    },
    /// A WebSocket's handler has ended with it, after the handshake.
    WebSocket,
    /// A lifecycle hook has ended with it while the process serves on.
    /// Which one is in its message.
    Hook,
}

/// An error that the application survives.
#[derive(Clone, Copy, Debug)]
pub struct ErrorEvent<'a> {
    error: &'a Error,
    origin: &'a ErrorOrigin,
    context: Option<&'a Context>,
}

impl<'a> ErrorEvent<'a> {
    pub(crate) fn new(
        error: &'a Error,
        origin: &'a ErrorOrigin,
        context: Option<&'a Context>,
    ) -> Self {
        Self {
            error,
            origin,
            context,
        }
    }

    /// What has happened.
    pub fn error(&self) -> &'a Error {
        self.error
    }

    /// Where it has happened.
    pub fn origin(&self) -> &'a ErrorOrigin {
        self.origin
    }

    /// Of which request or background work; hooks have none.
    pub fn context(&self) -> Option<&'a Context> {
        self.context
    }
}

/// A request that is answered. Its body may still be on its way.
#[derive(Clone, Copy, Debug)]
pub struct ResponseEvent<'a> {
    context: &'a Context,
    status: StatusCode,
}

impl<'a> ResponseEvent<'a> {
    /// The request.
    pub fn context(&self) -> &'a Context {
        self.context
    }

    /// The status that it is answered with.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// From the request's arrival until now.
    pub fn duration(&self) -> Duration {
        self.context.elapsed()
    }
}

type ErrorListener = dyn Fn(&ErrorEvent<'_>) + Send + Sync;
type RequestListener = dyn Fn(&Context) + Send + Sync;
type ResponseListener = dyn Fn(&ResponseEvent<'_>) + Send + Sync;

/// Everybody who listens.
#[derive(Debug, Default)]
pub(crate) struct Events {
    errors: Listeners<ErrorListener>,
    requests: Listeners<RequestListener>,
    responses: Listeners<ResponseListener>,
}

impl Events {
    pub(crate) fn error(&self, event: &ErrorEvent<'_>) {
        self.errors.each(|listener| listener(event));
    }

    pub(crate) fn request(&self, context: &Context) {
        self.requests.each(|listener| listener(context));
    }

    pub(crate) fn response(&self, context: &Context, status: StatusCode) {
        let event = ResponseEvent { context, status };
        self.responses.each(|listener| listener(&event));
    }
}

/// The listeners of one kind of event. Nobody pays for events without any.
struct Listeners<F: ?Sized> {
    any: AtomicBool,
    list: RwLock<Vec<Arc<F>>>,
}

impl<F: ?Sized> Default for Listeners<F> {
    fn default() -> Self {
        Self {
            any: AtomicBool::new(false),
            list: RwLock::default(),
        }
    }
}

impl<F: ?Sized> Listeners<F> {
    fn add(&self, listener: Arc<F>) {
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        list.push(listener);
        self.any.store(true, Ordering::Release);
    }

    /// Calls each. One that panics harms neither the others nor the request.
    fn each(&self, call: impl Fn(&F)) {
        if !self.any.load(Ordering::Acquire) {
            return;
        }
        // A listener may add another: the lock must be free while they run.
        let list = self.list.read().map_or_else(
            |poisoned| poisoned.into_inner().clone(),
            |list| list.clone(),
        );
        for listener in &list {
            if catch_unwind(AssertUnwindSafe(|| call(listener))).is_err() {
                complain(format_args!("a listener for events panicked"));
            }
        }
    }
}

impl<F: ?Sized> fmt::Debug for Listeners<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listeners")
    }
}

impl Application {
    /// Calls `listener` for each error that a request, background work or a late hook ends with,
    /// after it was logged.
    pub fn on_error(&self, listener: impl Fn(&ErrorEvent<'_>) + Send + Sync + 'static) {
        self.state().events.errors.add(Arc::new(listener));
    }

    /// Calls `listener` for each request, before anything else looks at it.
    pub fn on_request(&self, listener: impl Fn(&Context) + Send + Sync + 'static) {
        self.state().events.requests.add(Arc::new(listener));
    }

    /// Calls `listener` for each response, before it leaves.
    pub fn on_response(&self, listener: impl Fn(&ResponseEvent<'_>) + Send + Sync + 'static) {
        self.state().events.responses.add(Arc::new(listener));
    }

    /// Logs an error that the application survives, and tells those who listen.
    pub(crate) fn report(&self, error: &Error, origin: &ErrorOrigin, context: Option<&Context>) {
        crate::error::log(error, origin, context);
        let event = ErrorEvent::new(error, origin, context);
        self.state().events.error(&event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_may_add_another() {
        let all: Arc<Listeners<dyn Fn() + Send + Sync>> = Arc::default();
        let again = Arc::clone(&all);
        all.add(Arc::new(move || again.add(Arc::new(|| {}))));
        all.each(|listener| listener());
        assert_eq!(all.list.read().map(|list| list.len()).ok(), Some(2));
    }
}
