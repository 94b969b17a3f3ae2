//! What parts of an application tell each other, by type or by name.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use serde::Serialize;
use serde_json::Value;

use crate::{Application, BoxError};

/// A value of any type.
type Shared = Arc<dyn Any + Send + Sync>;

/// Values by their type, and values by name for templates. An application has some that last, each
/// request its own above them.
#[derive(Default)]
pub struct Locals {
    typed: RwLock<BTreeMap<TypeId, Shared>>,
    named: RwLock<BTreeMap<String, Value>>,
    below: Option<Application>,
}

impl Locals {
    /// A request's.
    pub(super) fn above(app: &Application) -> Self {
        Self {
            below: Some(app.clone()),
            ..Self::default()
        }
    }

    /// Keeps `value`, in the place of another of its type.
    pub fn insert<T: Send + Sync + 'static>(&self, value: T) {
        let value: Shared = Arc::new(value);
        let mut typed = self.typed.write().unwrap_or_else(PoisonError::into_inner);
        let former = typed.insert(TypeId::of::<T>(), value);
        // Its destructor may want to look something up here.
        drop(typed);
        drop(former);
    }

    /// The value of a type: this request's, else the application's.
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let typed = self.typed.read().unwrap_or_else(PoisonError::into_inner);
        let found = typed.get(&TypeId::of::<T>()).cloned();
        drop(typed);
        match found {
            Some(value) => value.downcast().ok(),
            None => self.below.as_ref()?.locals().get(),
        }
    }

    /// Keeps a value that templates know by `name`.
    ///
    /// # Errors
    ///
    /// What JSON cannot express: a map whose keys are no strings.
    pub fn set(&self, name: impl Into<String>, value: impl Serialize) -> Result<(), BoxError> {
        let value = serde_json::to_value(value)?;
        let mut named = self.named.write().unwrap_or_else(PoisonError::into_inner);
        named.insert(name.into(), value);
        Ok(())
    }

    /// The value of a name: this request's, else the application's.
    pub fn named(&self, name: &str) -> Option<Value> {
        let named = self.named.read().unwrap_or_else(PoisonError::into_inner);
        let found = named.get(name).cloned();
        drop(named);
        found.or_else(|| self.below.as_ref()?.locals().named(name))
    }

    /// All named values, this request's above the application's.
    pub fn all_named(&self) -> BTreeMap<String, Value> {
        let below = self.below.as_ref();
        let mut all = below.map_or_else(BTreeMap::new, |app| app.locals().all_named());
        let named = self.named.read().unwrap_or_else(PoisonError::into_inner);
        all.extend(
            named
                .iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        all
    }
}

impl fmt::Debug for Locals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locals").finish_non_exhaustive()
    }
}

impl Application {
    /// What all requests can look up, by type or by name.
    pub fn locals(&self) -> &Locals {
        &self.state().locals
    }
}

/// One value of any type.
#[derive(Default)]
pub(super) struct Slot(RwLock<Option<Shared>>);

impl Slot {
    pub(super) fn put(&self, value: Shared) {
        self.exchange(Some(value));
    }

    /// What was there ends when the lock is free: its destructor may want to look here.
    fn exchange(&self, value: Option<Shared>) {
        let mut slot = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let former = std::mem::replace(&mut *slot, value);
        drop(slot);
        drop(former);
    }

    pub(super) fn get(&self) -> Option<Shared> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn clear(&self) {
        self.exchange(None);
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slot")
    }
}
