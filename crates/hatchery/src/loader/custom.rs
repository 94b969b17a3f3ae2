//! An application's own kinds of directories: `src/app/model`, `[custom_loader.model]`.
//!
//! What is in them is made for the application once, at its start, or for each request that asks.

use std::any::{Any, TypeId, type_name};
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use serde::Deserialize;

use super::load_order::LoadOrder;
use super::registry::{Item, Registration};
use crate::config::Config;
use crate::config::suggest::suggest;
use crate::{Application, BoxError, Context, Service};

/// The directories that have a meaning of their own.
const OURS: [&str; 5] = ["controller", "extend", "middleware", "schedule", "service"];

/// A type in a directory of the application's own kind: `#[hatchery::load]` registers it.
///
/// ```
/// use hatchery::{Application, BoxError, Load};
///
/// // src/app/model/rates.rs, with `[custom_loader.model]` in the configuration
/// #[hatchery::load(kind = "model")]
/// struct Rates(Vec<f64>);
///
/// impl Load for Rates {
///     type From = Application; // or `Context`: made for each request that asks
///
///     fn load(_app: &Application) -> Result<Self, BoxError> {
///         Ok(Self(vec![1.0, 1.2]))
///     }
/// }
///
/// fn first(app: &Application) -> Result<f64, BoxError> {
///     Ok(app.loaded::<Rates>()?.0[0])
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say how it is loaded",
    label = "this needs an `impl hatchery::Load`",
    note = "`impl hatchery::Load for {Self} {{ type From = Application; fn load(app: &Application) -> Result<Self, BoxError> {{ … }} }}`"
)]
pub trait Load: Sized + Send + Sync + 'static {
    /// What it is made from: `Application`, once at the start, or `Context`, for each request.
    type From: Source;

    /// Makes it. An error ends the start, or is the answer of the request that asks.
    fn load(from: &Self::From) -> Result<Self, BoxError>;
}

/// What a [`Load`] is made from: `Application` or `Context`.
#[diagnostic::on_unimplemented(
    message = "nothing can be loaded from `{Self}`",
    note = "`type From` is `Application` or `Context`"
)]
pub trait Source: sealed::Sealed + 'static {
    /// Which of them.
    #[doc(hidden)]
    const INJECT: Inject;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for crate::Application {}
    impl Sealed for crate::Context {}
}

impl Source for Application {
    const INJECT: Inject = Inject::Application;
}

impl Source for Context {
    const INJECT: Inject = Inject::Context;
}

/// Into what a kind of types is injected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Inject {
    /// One for the process: `app.loaded::<T>()`.
    #[default]
    Application,
    /// One for each request that asks: `ctx.loaded::<T>()`.
    Context,
}

impl fmt::Display for Inject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Application => "application",
            Self::Context => "context",
        })
    }
}

/// `[custom_loader.<kind>]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Kind {
    inject: Inject,
}

/// What has been made for the application.
#[derive(Debug, Default)]
pub(crate) struct Made(RwLock<Vec<(TypeId, Arc<dyn Any + Send + Sync>)>>);

impl Made {
    fn find<T: Load>(&self) -> Option<Arc<T>> {
        let made = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let (_, one) = made.iter().find(|(id, _)| *id == TypeId::of::<T>())?;
        Arc::clone(one).downcast().ok()
    }

    /// The first one that is kept counts.
    fn keep<T: Load>(&self, one: T) -> Arc<T> {
        let mut made = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let before = made.iter().find(|(id, _)| *id == TypeId::of::<T>());
        if let Some(before) = before.and_then(|(_, one)| Arc::clone(one).downcast().ok()) {
            return before;
        }
        let one = Arc::new(one);
        made.push((TypeId::of::<T>(), Arc::clone(&one) as _));
        one
    }
}

impl Application {
    /// The `T` of this process, which a `#[load]` makes at the start; one that is not registered is
    /// made when it is first asked for.
    ///
    /// # Errors
    ///
    /// What [`Load::load`] says.
    pub fn loaded<T: Load<From = Self>>(&self) -> Result<Arc<T>, NotLoaded> {
        let made = self.parts().made();
        match made.find() {
            Some(one) => Ok(one),
            None => Ok(made.keep(T::load(self).map_err(NotLoaded::new)?)),
        }
    }
}

impl Context {
    /// The `T` of this request: made at its first use, then always the same.
    ///
    /// # Errors
    ///
    /// What [`Load::load`] has said, at the first use.
    pub fn loaded<T: Load<From = Self>>(&self) -> Result<Arc<T>, NotLoaded> {
        self.service::<Loaded<T>>().0.clone()
    }
}

/// What a request has loaded: kept with its services.
struct Loaded<T>(Result<Arc<T>, NotLoaded>);

impl<T: Load<From = Context>> Service for Loaded<T> {
    fn new(ctx: &Context) -> Self {
        Self(T::load(ctx).map(Arc::new).map_err(NotLoaded::new))
    }
}

/// What [`Load::load`] has said.
#[derive(Clone, Debug)]
pub struct NotLoaded(Arc<dyn Error + Send + Sync>);

impl NotLoaded {
    fn new(error: BoxError) -> Self {
        Self(Arc::from(error))
    }
}

impl fmt::Display for NotLoaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for NotLoaded {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

/// For `#[load]`.
#[doc(hidden)]
pub fn inject<T: Load>() -> Inject {
    T::From::INJECT
}

/// For `#[load]`: makes the application's `T`, when that is where it belongs.
#[doc(hidden)]
pub fn load<T: Load>(app: &Application) -> Result<(), BoxError> {
    let from: &dyn Any = app;
    let Some(from) = from.downcast_ref::<T::From>() else {
        return Ok(());
    };
    let made = app.parts().made();
    if made.find::<T>().is_none() {
        made.keep(T::load(from)?);
    }
    Ok(())
}

/// What is wrong with the application's own kinds: everything, each with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CustomLoaderError(Vec<String>);

impl fmt::Display for CustomLoaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl Error for CustomLoaderError {}

/// A type that could not be made at the start.
#[derive(Debug)]
struct LoadError {
    name: &'static str,
    place: String,
    cause: BoxError,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: `{}` could not be loaded", self.place, self.name)
    }
}

impl Error for LoadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.cause)
    }
}

/// Checks the kinds, and makes what is injected into the application, in load order.
pub(crate) fn load_all(app: &Application, order: &LoadOrder) -> Result<(), BoxError> {
    check(order, app.config())?;
    for (_, item) in order.items() {
        if let Item::Loaded { load, .. } = item.item {
            load(app).map_err(|cause| LoadError {
                name: item.name,
                place: item.place(),
                cause,
            })?;
        }
    }
    Ok(())
}

/// Every kind is declared, and is what its types say.
fn check(order: &LoadOrder, config: &Config) -> Result<(), BoxError> {
    let kinds: BTreeMap<String, Kind> = config.section("custom_loader")?;
    let mut problems = shadowed(&kinds, config);
    for (_, item) in order.items() {
        problems.extend(problem(item, &kinds, config));
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(Box::new(CustomLoaderError(problems)))
}

/// Kinds whose directories mean something already.
fn shadowed(kinds: &BTreeMap<String, Kind>, config: &Config) -> Vec<String> {
    let ours = kinds.keys().filter(|kind| OURS.contains(&kind.as_str()));
    ours.map(|kind| {
        let key = format!("custom_loader.{kind}");
        let place = placed(config, &key);
        format!("{place}`{key}`: the directory `{kind}` is Hatchery's own, choose another name")
    })
    .collect()
}

/// What is wrong with a type's kind.
fn problem(item: &Registration, kinds: &BTreeMap<String, Kind>, config: &Config) -> Option<String> {
    let Item::Loaded { kind, inject, .. } = item.item else {
        return None;
    };
    let (place, name) = (item.place(), item.name);
    if OURS.contains(&kind) {
        return Some(format!(
            "{place}: `{name}`: the directory `{kind}` is Hatchery's own: #[load] is for directories of another name"
        ));
    }
    let Some(declared) = kinds.get(kind) else {
        let meant = suggest(kind, kinds.keys().map(String::as_str));
        let remedy = match meant {
            Some(meant) => format!("the configuration has `[custom_loader.{meant}]`"),
            None => format!(
                "write `[custom_loader.{kind}]` with `inject = \"{}\"` into config/config.default.toml",
                inject()
            ),
        };
        return Some(format!(
            "{place}: `{name}` is of the kind `{kind}`, which no configuration declares: {remedy}"
        ));
    };
    (declared.inject != inject()).then(|| {
        let key = format!("custom_loader.{kind}.inject");
        let place_of_key = placed(config, &key);
        format!(
            "{place_of_key}`{key}` is \"{}\", but `{name}` is loaded from the {} ({place})",
            declared.inject,
            inject()
        )
    })
}

/// `file:line:column: `, when the key is there.
fn placed(config: &Config, key: &str) -> String {
    let place = config.place(key);
    place.map_or_else(String::new, |place| format!("{place}: "))
}

impl<T> fmt::Debug for Loaded<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(type_name::<T>())
    }
}

#[cfg(test)]
mod tests;
