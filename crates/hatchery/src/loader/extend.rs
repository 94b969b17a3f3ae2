//! `#[extend]`: methods that units add to `Context` and `Application`, and what takes their place.
//!
//! Each is a trait of its own with one method. The method asks [`replacement`] first, so that a
//! later unit, or a file for one environment, can take its place.

use std::any::Any;
use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;

use super::load_order::LoadOrder;
use super::registry::{Item, Registration};
use super::unit::Unit;
use crate::Application;
use crate::config::suggest::did_you_mean;

/// The future of an asynchronous extension.
#[doc(hidden)]
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Methods that something else does than their own functions: few, mostly none.
#[derive(Debug, Default)]
pub(crate) struct Extensions {
    replaced: HashMap<(&'static str, &'static str), Function>,
}

/// A `&'static` of a function pointer, with a type that only its macro knows.
struct Function(&'static (dyn Any + Send + Sync));

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Function")
    }
}

/// Extensions that are at odds with one another: all of them, each with both places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExtendError(Vec<String>);

impl fmt::Display for ExtendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for ExtendError {}

/// One of them, in load order.
#[derive(Clone, Copy)]
struct Extension<'a> {
    unit: &'a Unit,
    item: &'static Registration,
    target: &'static str,
    env: Option<&'static str>,
    replaces: bool,
    function: fn() -> &'static (dyn Any + Send + Sync),
    signature: &'static str,
}

impl Extensions {
    /// Those of all units, for the environment `env`: first what is in every environment, then what
    /// is in this one only; of each the later unit's counts.
    pub(crate) fn new(order: &LoadOrder, env: &str) -> Result<Self, ExtendError> {
        let all: Vec<_> = order.items().filter_map(Extension::of).collect();
        let everywhere = all.iter().filter(|one| one.env.is_none());
        let here = all.iter().filter(|one| one.env == Some(env));
        let mut now: HashMap<(&str, &str), &Extension<'_>> = HashMap::new();
        let mut extensions = Self::default();
        let mut problems = Vec::new();
        for one in everywhere.chain(here) {
            let key = (one.target, one.item.name);
            let before = now.get(&key).copied();
            if let Some(problem) = one.problem(before, now.keys().copied()) {
                problems.push(problem);
                continue;
            }
            now.insert(key, one);
            if one.replaces {
                let function = Function((one.function)());
                extensions.replaced.insert(key, function);
            }
        }
        if problems.is_empty() {
            return Ok(extensions);
        }
        Err(ExtendError(problems))
    }

    fn replacement<F: Copy + 'static>(&self, target: &str, name: &str) -> Option<F> {
        if self.replaced.is_empty() {
            return None;
        }
        self.replaced
            .get(&(target, name))?
            .0
            .downcast_ref()
            .copied()
    }
}

impl<'a> Extension<'a> {
    fn of((unit, item): (&'a Unit, &'static Registration)) -> Option<Self> {
        let Item::Extension {
            target,
            env,
            replaces,
            function,
            signature,
        } = item.item
        else {
            return None;
        };
        Some(Self {
            unit,
            item,
            target,
            env,
            replaces,
            function,
            signature,
        })
    }

    /// What is wrong with it, when `before` is what its name has meant so far.
    fn problem<'k>(
        &self,
        before: Option<&Self>,
        known: impl Iterator<Item = (&'k str, &'k str)>,
    ) -> Option<String> {
        let name = format!("{}::{}", self.target, self.item.name);
        let place = self.item.place();
        let Some(before) = before else {
            let known = known.filter(|(target, _)| *target == self.target);
            let meant = did_you_mean(self.item.name, known.map(|(_, name)| name));
            return self.replaces.then(|| {
                format!("{place}: #[extend(replace)]: there is no `{name}` to replace{meant}")
            });
        };
        let other = before.item.place();
        let same_unit = self.unit.name == before.unit.name && self.unit.kind == before.unit.kind;
        if same_unit && self.env == before.env {
            let what = format!("{place}: `{name}` is there already, at {other}");
            return Some(format!("{what}: rename or remove one of them"));
        }
        if !self.replaces {
            let what = format!("{place}: `{name}` is there already, at {other}");
            return Some(format!(
                "{what}: write `#[extend(replace)]` if this one is to take its place"
            ));
        }
        if (self.function)().type_id() != (before.function)().type_id() {
            let (mine, its) = (self.signature, before.signature);
            return Some(format!(
                "{place}: `{name}` is `{mine}`, what it replaces at {other} is `{its}`"
            ));
        }
        None
    }
}

/// What does `target::name` in `app` instead of its own function. For `#[extend]`.
#[doc(hidden)]
pub fn replacement<F: Copy + 'static>(app: &Application, target: &str, name: &str) -> Option<F> {
    app.parts().extensions()?.replacement(target, name)
}

/// For `#[extend]` in a file for one environment.
///
/// # Panics
///
/// When this is another environment: what was made for tests must not work elsewhere.
#[doc(hidden)]
pub fn only_in(app: &Application, env: &str, target: &str, name: &str, file: &str, line: u32) {
    let here = app.env();
    assert!(
        here == env,
        "`{target}::{name}` ({file}:{line}) is there in the environment `{env}` only, and this is `{here}`"
    );
}

#[cfg(test)]
mod tests;
