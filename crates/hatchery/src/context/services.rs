//! The services of one request.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};

use smallvec::SmallVec;

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
    /// Makes it for the request of `ctx`, which it may keep. It may ask for other services, which
    /// must not ask for this one before they are made.
    fn new(ctx: &Context) -> Self;
}

/// Those made so far. A request uses few, so a list is quicker than a map, and mostly has room here.
#[derive(Debug, Default)]
pub(super) struct Services {
    made: Mutex<SmallVec<[Made; 2]>>,
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

/// A service that is being made: its request (by an address), its type, and that type's name.
type Making = (usize, TypeId, &'static str);

thread_local! {
    /// Those that are being made on this thread, each by the one before: `new` does not wait.
    static BEING_MADE: RefCell<Vec<Making>> = const { RefCell::new(Vec::new()) };
}

/// Calls `make`, which makes the service `S` for `request`.
///
/// # Panics
///
/// When that is going on already, further out: services that ask for each other would never end.
pub(super) fn make<S: Service>(request: usize, make: impl FnOnce() -> S) -> S {
    let _going_on = GoingOn::begin((request, TypeId::of::<S>(), std::any::type_name::<S>()));
    make()
}

/// A service is being made while this is there.
struct GoingOn;

impl GoingOn {
    fn begin(new: Making) -> Self {
        let circle = BEING_MADE.with_borrow_mut(|making| {
            let mut further_in = making.iter();
            if !further_in.any(|one| (one.0, one.1) == (new.0, new.1)) {
                making.push(new);
                return None;
            }
            let between = further_in.map(|one| one.2);
            let names: Vec<_> = [new.2].into_iter().chain(between).chain([new.2]).collect();
            Some(names.join(" → "))
        });
        if let Some(circle) = circle {
            panic!(
                "services ask for each other in a circle while they are made: {circle}; one of \
                 them must ask where it needs the other, not in `new`"
            );
        }
        Self
    }
}

impl Drop for GoingOn {
    fn drop(&mut self) {
        BEING_MADE.with_borrow_mut(Vec::pop);
    }
}

fn among<S: Service>(services: &[Made]) -> Option<Arc<S>> {
    let (_, found) = services.iter().find(|(id, _)| *id == TypeId::of::<S>())?;
    Arc::clone(found).downcast().ok()
}
