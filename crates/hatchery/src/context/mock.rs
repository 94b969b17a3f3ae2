//! What tests put in the place of the real thing.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::locals::Slot;
use super::{Context, Service};
use crate::{Application, Clock};

type Factory = Arc<dyn Fn(&Context) -> Box<dyn Any> + Send + Sync>;

/// Nobody pays for them while there are none.
#[derive(Default)]
pub(crate) struct Mocks {
    any: AtomicBool,
    services: RwLock<HashMap<TypeId, Factory>>,
    user: Slot,
    #[cfg(feature = "session")]
    session: Slot,
}

impl Mocks {
    pub(super) fn service<S: Service>(&self, context: &Context) -> Option<S> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let services = self.services.read();
        let services = services.unwrap_or_else(PoisonError::into_inner);
        let factory = services.get(&TypeId::of::<S>()).cloned();
        // Not within the lock: it may ask for another service.
        drop(services);
        let service = factory?(context).downcast::<S>().ok()?;
        Some(*service)
    }

    pub(super) fn user(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        let any = self.any.load(Ordering::Acquire);
        any.then(|| self.user.get()).flatten()
    }

    #[cfg(feature = "session")]
    pub(crate) fn session(&self) -> Option<serde_json::Map<String, serde_json::Value>> {
        let any = self.any.load(Ordering::Acquire);
        let values = any.then(|| self.session.get()).flatten()?;
        values.downcast_ref().cloned()
    }
}

impl Application {
    /// Time, as the application sees it.
    pub fn clock(&self) -> &Clock {
        &self.state().clock
    }

    /// For tests: `ctx.service::<S>()` gives what `make` makes.
    #[doc(hidden)]
    pub fn mock_service<S: Service>(&self, make: impl Fn(&Context) -> S + Send + Sync + 'static) {
        let mocks = &self.state().mocks;
        let factory: Factory = Arc::new(move |context| Box::new(make(context)));
        let services = mocks.services.write();
        let mut services = services.unwrap_or_else(PoisonError::into_inner);
        let former = services.insert(TypeId::of::<S>(), factory);
        drop(services);
        drop(former);
        mocks.any.store(true, Ordering::Release);
    }

    /// For tests: who asks in all requests that do not know better.
    #[doc(hidden)]
    pub fn mock_user<U: Send + Sync + 'static>(&self, user: U) {
        let mocks = &self.state().mocks;
        mocks.user.put(Arc::new(user));
        mocks.any.store(true, Ordering::Release);
    }

    /// For tests: what is in the session of all requests that bring none.
    #[cfg(feature = "session")]
    #[doc(hidden)]
    pub fn mock_session(&self, values: serde_json::Map<String, serde_json::Value>) {
        let mocks = &self.state().mocks;
        mocks.session.put(Arc::new(values));
        mocks.any.store(true, Ordering::Release);
    }

    /// For tests: everything is real again.
    #[doc(hidden)]
    pub fn restore_mocks(&self) {
        let mocks = &self.state().mocks;
        mocks.any.store(false, Ordering::Release);
        let services = mocks.services.write();
        let mut services = services.unwrap_or_else(PoisonError::into_inner);
        let former = std::mem::take(&mut *services);
        drop(services);
        drop(former);
        mocks.user.clear();
        #[cfg(feature = "session")]
        mocks.session.clear();
        self.clock().restore();
    }
}

impl fmt::Debug for Mocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mocks")
    }
}
