//! The services of one request.

use std::any::{Any, TypeId};
use std::sync::{Arc, Mutex, PoisonError};

use super::Context;

/// A piece of business logic, made at most once for a request: `ctx.service::<Posts>()`.
///
/// `#[service]` on a struct with a field `ctx: Context` writes this.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a service",
    label = "this is to be made for each request",
    note = "write `#[hatchery::service]` on its struct, or `impl hatchery::Service for {Self}`"
)]
pub trait Service: Send + Sync + 'static {
    /// Makes it for the request of `ctx`, which it may keep.
    fn new(ctx: &Context) -> Self;
}

/// Those made so far. A request uses few, so a list is quicker than a map.
#[derive(Debug, Default)]
pub(super) struct Services {
    made: Mutex<Vec<Made>>,
}

type Made = (TypeId, Arc<dyn Any + Send + Sync>);

impl Services {
    /// The one of type `S`; `make` may ask for others.
    pub(super) fn get<S: Service>(&self, make: impl FnOnce() -> S) -> Arc<S> {
        if let Some(service) = self.find() {
            return service;
        }
        let service = Arc::new(make());
        let mut services = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        // Another task of the request may have been quicker; ours goes once the lock is free.
        let quicker = among(&services);
        if quicker.is_none() {
            services.push((TypeId::of::<S>(), Arc::clone(&service) as _));
        }
        drop(services);
        quicker.unwrap_or(service)
    }

    fn find<S: Service>(&self) -> Option<Arc<S>> {
        among(&self.made.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn among<S: Service>(services: &[Made]) -> Option<Arc<S>> {
    let (_, found) = services.iter().find(|(id, _)| *id == TypeId::of::<S>())?;
    Arc::clone(found).downcast().ok()
}
