//! The chain: which middleware there is, in which order, around what.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use axum::Router;
use serde::Deserialize;
use serde_json::Value;

use super::filter::{Filter, Predicates};
use super::{MiddlewareArguments, Next, UNIVERSAL, Wrap, own};
use crate::config::suggest::did_you_mean;
use crate::lifecycle::Timing;
use crate::loader::load_order::LoadOrder;
use crate::loader::registry::{Item, Registration};
use crate::router::NamedMiddleware;
use crate::{Application, BoxError};

/// Everything that is wrong with the middleware, a line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MiddlewareError {
    /// Never empty.
    problems: Vec<String>,
}

/// All middleware of this process by name, and the chain that lies before the routes.
pub(crate) struct Chain<'a> {
    app: &'a Application,
    timing: &'a Timing,
    known: BTreeMap<&'static str, Known>,
    predicates: Predicates,
    /// What was made so far: a middleware is one, however often it is named.
    made: RefCell<BTreeMap<&'static str, Rc<Made<'a>>>>,
    /// Outermost first; what is switched off is not among them.
    order: Vec<&'static str>,
}

#[derive(Clone)]
struct Known {
    /// `plugin audit`
    unit: String,
    registration: &'static Registration,
    make: Make,
}

type Make = for<'a> fn(&MiddlewareArguments<'a>) -> Result<Wrap<'a>, BoxError>;

/// A middleware that is there.
struct Made<'a> {
    /// `None`: it is switched off.
    wrap: Option<Wrap<'a>>,
    /// Which requests it sees, when not all.
    filter: Option<Arc<Filter>>,
}

/// The keys of `[middleware.<name>]` that are not the middleware's own.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Universal {
    enable: Option<bool>,
    r#match: Option<Value>,
    ignore: Option<Value>,
}

impl<'a> Chain<'a> {
    /// Reads the configuration and makes what lies before the routes.
    pub(crate) fn load(
        app: &'a Application,
        order: &LoadOrder,
        timing: &'a Timing,
    ) -> Result<Self, MiddlewareError> {
        let mut problems = Vec::new();
        let mut chain = Self {
            app,
            timing,
            known: BTreeMap::new(),
            predicates: Predicates::new(),
            made: RefCell::default(),
            order: Vec::new(),
        };
        chain.find(order, &mut problems);
        chain.check_tables(&mut problems);
        let places = chain.places(order, &mut problems);
        for (name, place) in places {
            let Some(known) = chain.known.get(name.as_str()) else {
                let hint = did_you_mean(&name, chain.known.keys().copied());
                problems.push(format!("{place}: no middleware is called `{name}`{hint}"));
                continue;
            };
            match chain.made(known) {
                Ok(made) if made.wrap.is_none() => {}
                Ok(_) => chain.order.push(known.registration.name),
                Err(error) => problems.push(error.to_string()),
            }
        }
        MiddlewareError::check(problems).map(|()| chain)
    }

    /// Middleware and predicates that are registered. One name is one thing.
    fn find(&mut self, order: &LoadOrder, problems: &mut Vec<String>) {
        let mut predicates: BTreeMap<&str, &Registration> = BTreeMap::new();
        for (unit, registration) in order.items() {
            let name = registration.name;
            let other = match registration.item {
                Item::Middleware(make) => match self.known.entry(name) {
                    Entry::Occupied(entry) => Some(("middleware", entry.get().registration)),
                    Entry::Vacant(entry) => {
                        let unit = unit.title();
                        entry.insert(Known {
                            unit,
                            registration,
                            make,
                        });
                        None
                    }
                },
                Item::Predicate(predicate) => {
                    self.predicates.insert(name, predicate);
                    let other = predicates.insert(name, registration);
                    other.map(|other| ("predicate", other))
                }
                _ => None,
            };
            if let Some((kind, other)) = other {
                let (one, two) = (other.place(), registration.place());
                problems.push(format!("{kind} `{name}` redefined: {one} and {two}"));
            }
        }
    }

    /// `[middleware.<name>]` of a name that nobody has.
    fn check_tables(&self, problems: &mut Vec<String>) {
        let config = self.app.config();
        for (name, place) in config.keys("middleware") {
            if matches!(name, "core" | "order") || self.known.contains_key(name) {
                continue;
            }
            let known = self.known.keys().copied().chain(["core", "order"]);
            let hint = did_you_mean(name, known);
            problems.push(format!(
                "{place}: no middleware is called `{name}` (`[middleware.{name}]`){hint}"
            ));
        }
    }

    /// The names that lie before the routes, outermost first, each with who says so.
    fn places(&self, order: &LoadOrder, problems: &mut Vec<String>) -> Vec<(String, String)> {
        let own = own::CORE
            .iter()
            .map(|name| ((*name).to_owned(), "framework hatchery".to_owned()));
        let of_units = order.units().iter().flat_map(|loaded| {
            let names = loaded.unit.core_middleware.iter();
            names.map(|name| ((*name).to_owned(), loaded.unit.title()))
        });
        let mut named: Vec<_> = own.chain(of_units).collect();
        for list in ["middleware.core", "middleware.order"] {
            for (item, place) in self.app.config().items(list) {
                match item {
                    Value::String(name) => named.push((name, place.to_string())),
                    other => problems.push(format!(
                        "{place}: {list}: {other} is not the name of a middleware"
                    )),
                }
            }
        }
        let mut seen: BTreeMap<String, String> = BTreeMap::new();
        named.retain(|(name, place)| match seen.get(name) {
            Some(other) => {
                problems.push(format!(
                    "middleware `{name}` redefined: {other} has put it into the chain already, \
                     {place} names it again"
                ));
                false
            }
            None => seen.insert(name.clone(), place.clone()).is_none(),
        });
        named
    }

    /// The one middleware of a name.
    fn made(&self, known: &Known) -> Result<Rc<Made<'a>>, BoxError> {
        let name = known.registration.name;
        if let Some(made) = self.made.borrow().get(name) {
            return Ok(Rc::clone(made));
        }
        let place = known.registration.place();
        let _step = self.timing.step(&known.unit, "middleware", name, &place);
        let made = Rc::new(self.make(known)?);
        self.made.borrow_mut().insert(name, Rc::clone(&made));
        Ok(made)
    }

    fn make(&self, known: &Known) -> Result<Made<'a>, BoxError> {
        let name = known.registration.name;
        let config = self.app.config();
        let universal: Universal =
            config.section_with(&format!("middleware.{name}"), &UNIVERSAL)?;
        if !universal.enable.unwrap_or_else(|| own::is_on(name)) {
            return Ok(Made {
                wrap: None,
                filter: None,
            });
        }
        let place_of = |key: &str| {
            let place = config.place(&format!("middleware.{name}.{key}"));
            place.map(ToString::to_string).unwrap_or_default()
        };
        let filter = match (universal.r#match, universal.ignore) {
            (Some(_), Some(_)) => {
                return Err(format!(
                    "middleware `{name}` has both `match` ({}) and `ignore` ({}): keep one of them",
                    place_of("match"),
                    place_of("ignore"),
                )
                .into());
            }
            (Some(value), None) => Some((value, true)),
            (None, ignore) => ignore.map(|value| (value, false)),
        };
        let filter = filter.map(|(value, sees)| {
            Filter::new(&value, sees, &self.predicates).map_err(|problem| {
                let key = if sees { "match" } else { "ignore" };
                format!("{}: middleware.{name}.{key}: {problem}", place_of(key))
            })
        });
        let filter = filter.transpose()?.map(Arc::new);
        let arguments = MiddlewareArguments {
            app: self.app,
            name,
        };
        let wrap = (known.make)(&arguments).map_err(|error| {
            format!(
                "middleware `{name}` ({}): {error}",
                known.registration.place()
            )
        })?;
        Ok(Made {
            wrap: Some(wrap),
            filter,
        })
    }

    /// To be asked once all routes are there: a filter of a middleware that is neither in the chain
    /// nor named by a route would look as if it protected something.
    pub(crate) fn check_used(&self) -> Result<(), MiddlewareError> {
        let made = self.made.borrow();
        let config = self.app.config();
        let mut problems = Vec::new();
        for name in self.known.keys().filter(|name| !made.contains_key(*name)) {
            let section = format!("middleware.{name}");
            let universal: Universal = match config.section_with(&section, &UNIVERSAL) {
                Ok(universal) => universal,
                Err(error) => {
                    problems.push(error.to_string());
                    continue;
                }
            };
            let key = match (&universal.r#match, &universal.ignore) {
                (Some(_), _) => "match",
                (None, Some(_)) => "ignore",
                (None, None) => continue,
            };
            if universal.enable == Some(false) {
                continue;
            }
            let place = config.place(&format!("{section}.{key}"));
            let place = place.map(|place| format!("{place}: ")).unwrap_or_default();
            problems.push(format!(
                "{place}middleware `{name}` is configured (`{key}`), and nobody uses it: put it \
                 into `middleware.order`, name it in a route, or write `enable = false`"
            ));
        }
        MiddlewareError::check(problems)
    }

    /// Lays one around `next`.
    fn around(made: &Made<'a>, next: Next) -> Next {
        let Some(wrap) = &made.wrap else {
            return next;
        };
        match &made.filter {
            Some(filter) => Arc::clone(filter).between(wrap(next.clone()), next),
            None => wrap(next),
        }
    }

    /// The chain around a router.
    pub(crate) fn lay_all(&self, router: Router) -> Next {
        let made = self.made.borrow();
        let chain = self.order.iter().rev().filter_map(|name| made.get(name));
        chain.fold(Next::new(router), |next, made| Self::around(made, next))
    }
}

impl NamedMiddleware for Chain<'_> {
    fn lay(&self, name: &str, next: Next) -> Option<Result<Next, BoxError>> {
        let known = self.known.get(name)?;
        Some(self.made(known).map(|made| Self::around(&made, next)))
    }

    fn names(&self) -> Vec<String> {
        self.known.keys().map(ToString::to_string).collect()
    }
}

impl MiddlewareError {
    fn check(problems: Vec<String>) -> Result<(), Self> {
        if problems.is_empty() {
            return Ok(());
        }
        Err(Self { problems })
    }
}

impl fmt::Display for MiddlewareError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problems.join("\n"))
    }
}

impl std::error::Error for MiddlewareError {}

impl fmt::Debug for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Chain").field(&self.order).finish()
    }
}

#[cfg(test)]
mod tests;
