//! What annotated items tell of themselves at link time.
//!
//! The attribute macros submit one [`Registration`] for each item; nobody else should have to. The
//! order in which they are found is unspecified: whoever reads them sorts by unit, file and line.

use std::any::{Any, TypeId};

use http::request::Parts;

use super::custom::Inject;
use crate::lifecycle::{Boot, BootRole, ErasedBoot};
use crate::middleware::{MiddlewareArguments, Wrap};
use crate::router::Routes;
use crate::routes::NamedHandler;
use crate::{Application, BoxError, Service};

#[doc(hidden)]
pub use inventory;

/// An annotated item.
#[derive(Debug)]
pub struct Registration {
    /// `module_path!()` of the item: the longest unit whose module is a prefix of it owns it.
    pub module: &'static str,
    /// The item's own name: a function, type or (for methods) `Type::method`.
    pub name: &'static str,
    /// `file!()`, relative to the workspace.
    pub file: &'static str,
    /// `line!()`.
    pub line: u32,
    /// What it is.
    pub item: Item,
}

inventory::collect!(Registration);

impl Registration {
    /// All of them, sorted by file and line.
    pub fn all() -> Vec<&'static Self> {
        let mut all: Vec<_> = inventory::iter::<Self>.into_iter().collect();
        all.sort_by_key(|registration| (registration.file, registration.line, registration.name));
        all
    }
}

/// What an annotated item is.
#[derive(Debug)]
#[non_exhaustive]
pub enum Item {
    /// `#[boot(application)]`, `#[boot(agent)]`: a type with lifecycle hooks.
    Boot {
        /// In which processes it runs.
        role: BootRole,
        /// Makes it, once in each process.
        make: fn() -> Box<dyn ErasedBoot>,
    },
    /// `#[router]`: a function that adds routes.
    Router(fn(&mut Routes, &Application) -> Result<(), BoxError>),
    /// `#[get("/path")]` and the like, and `#[controller(resources = "/path")]`: adds its routes.
    Controller(fn(&mut Routes)),
    /// A handler that has a place, so that the `routes` verb can show it: `module::name` is what
    /// `std::any::type_name` says of it.
    Action,
    /// `#[handler]`: what `[[routes]]` names.
    Handler(fn() -> Box<dyn NamedHandler>),
    /// `#[service]`.
    Service {
        /// Which type.
        type_id: fn() -> TypeId,
    },
    /// `#[middleware]`.
    Middleware(for<'a> fn(&MiddlewareArguments<'a>) -> Result<Wrap<'a>, BoxError>),
    /// `#[predicate]`: a condition that `match` and `ignore` of a middleware can name.
    Predicate(fn(&Parts) -> bool),
    /// `#[extend]`: a function that became a method of an object of the framework.
    Extension {
        /// Of which: `"Context"`, `"Application"`, …
        target: &'static str,
        /// Only in this environment (`context.unittest.rs`).
        env: Option<&'static str>,
        /// It takes the place of one of the same name in an earlier unit, or without `env`.
        replaces: bool,
        /// A `&'static` of the function as a function pointer.
        function: fn() -> &'static (dyn Any + Send + Sync),
        /// The function pointer's type, for messages.
        signature: &'static str,
    },
    /// `#[load]`: a type in a directory of the application's own kind (`[custom_loader.<kind>]`).
    Loaded {
        /// The directory's name below `src/app`.
        kind: &'static str,
        /// Which type.
        type_id: fn() -> TypeId,
        /// Into what it is injected.
        inject: fn() -> Inject,
        /// Makes the one of the process, when it is injected there.
        load: fn(&Application) -> Result<(), BoxError>,
    },
}

/// What `#[boot]` calls.
#[doc(hidden)]
pub fn boot<B: Boot>(boot: B) -> Box<dyn ErasedBoot> {
    Box::new(boot)
}

/// What `#[service]` calls.
#[doc(hidden)]
pub fn service<S: Service>() -> TypeId {
    TypeId::of::<S>()
}
