//! `[[routes]]`: from the configuration into the table of routes.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::view::Views;
use super::{NamedHandler, types};
use crate::config::suggest::{did_you_mean, suggest};
use crate::config::{ConfigError, Place};
use crate::loader::load_order::LoadOrder;
use crate::loader::registry::{Item, Registration};
use crate::router::{Route, Routes};
use crate::{Application, BoxError};

/// Everything that is wrong with `[[routes]]`, a line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoutesError {
    /// Never empty.
    problems: Vec<String>,
}

/// The types of routes, each with what adds one. A type has a file of its own.
const TYPES: [(&str, Add); 5] = [
    ("http", types::http::add),
    ("websocket", types::websocket::add),
    ("static", types::files::add),
    ("template", types::template::add),
    ("redirect", types::redirect::add),
];

type Add = fn(&Adding, &mut Routes, &Entry<'_>) -> Result<(), BoxError>;

/// What all entries are made from.
pub(crate) struct Adding {
    pub(crate) views: Views,
    /// Those that routes can name.
    handlers: BTreeMap<String, &'static Registration>,
}

/// One entry of `[[routes]]`.
pub(crate) struct Entry<'a> {
    pub(crate) app: &'a Application,
    index: usize,
    pub(crate) place: &'a Place,
}

/// Adds the routes of the configuration.
pub(crate) fn add(
    routes: &mut Routes,
    app: &Application,
    order: &LoadOrder,
) -> Result<(), RoutesError> {
    let mut problems = Vec::new();
    let adding = Adding {
        views: Views::new(app),
        handlers: handlers(order, &mut problems),
    };
    for (index, (value, place)) in app.config().items("routes").enumerate() {
        let entry = Entry { app, index, place };
        let added = type_of(&value, &entry).and_then(|add| add(&adding, routes, &entry));
        if let Err(error) = added {
            problems.push(error.to_string());
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(RoutesError { problems })
}

/// All handlers by their names. That of a later unit takes the place of an earlier one's; in one
/// unit a name is one handler.
fn handlers(
    order: &LoadOrder,
    problems: &mut Vec<String>,
) -> BTreeMap<String, &'static Registration> {
    let mut all: BTreeMap<String, (&str, &'static Registration)> = BTreeMap::new();
    for (unit, registration) in order.items() {
        if !matches!(registration.item, Item::Handler(_)) {
            continue;
        }
        let module = unit.package.module;
        let name = name_of(module, registration);
        match all.insert(name.clone(), (module, registration)) {
            Some((same, other)) if same == module => problems.push(format!(
                "handler `{name}` redefined: {} and {}",
                other.place(),
                registration.place()
            )),
            _ => {}
        }
    }
    all.into_iter()
        .map(|(name, (_, registration))| (name, registration))
        .collect()
}

/// What adds an entry.
fn type_of(value: &Value, entry: &Entry<'_>) -> Result<Add, BoxError> {
    let types = || TYPES.iter().map(|(kind, _)| *kind);
    let known = || {
        types()
            .map(|kind| format!("`{kind}`"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let Some(kind) = value.get("type").and_then(Value::as_str) else {
        return Err(entry.wrong(format!("`[[routes]]` has no `type`; known: {}", known())));
    };
    let add = TYPES.iter().find(|(name, _)| *name == kind);
    add.map(|(_, add)| *add).ok_or_else(|| {
        let hint = did_you_mean(kind, types());
        let known = known();
        entry.wrong(format!(
            "`[[routes]]` of the unknown type `{kind}`{hint}; known: {known}"
        ))
    })
}

/// What routes call a handler: the modules below `controller` and its own name, `admin.posts.create`;
/// where there is no such module, those below its unit's.
fn name_of(unit: &str, registration: &Registration) -> String {
    let below = registration.module.strip_prefix(unit);
    let mut below: Vec<_> = below.unwrap_or(registration.module).split("::").collect();
    if let Some(at) = below.iter().position(|module| *module == "controller") {
        below.drain(..=at);
    }
    below.retain(|module| !module.is_empty());
    below.push(registration.name);
    below.join(".")
}

impl Adding {
    /// The handler of that name.
    pub(crate) fn handler(
        &self,
        name: &str,
        entry: &Entry<'_>,
    ) -> Result<(&'static Registration, Box<dyn NamedHandler>), BoxError> {
        let found = self
            .handlers
            .get(name)
            .map(|registration| (*registration, &registration.item));
        if let Some((registration, Item::Handler(make))) = found {
            return Ok((registration, make()));
        }
        let hint = match suggest(name, self.handlers.keys().map(String::as_str)) {
            Some(other) => format!(", did you mean `{other}`?"),
            None => ": it is the module below `controller` and the name of a function with \
                     `#[handler]`, as in `posts.create`"
                .to_owned(),
        };
        Err(entry.wrong(format!("no handler is called `{name}`{hint}")))
    }
}

impl Entry<'_> {
    /// Its keys.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        self.app.config().item("routes", self.index)
    }

    /// Tells a route that was added for it what all types have: place, name, middleware.
    pub(crate) fn finish(&self, added: &mut Route, name: Option<&str>, middlewares: &[String]) {
        added.placed(self.place);
        if let Some(name) = name {
            added.name(name);
        }
        for name in middlewares {
            added.middleware(name);
        }
    }

    /// What is wrong with it, and where it is.
    pub(crate) fn wrong(&self, text: impl fmt::Display) -> BoxError {
        format!("{}: {text}", self.place).into()
    }
}

impl fmt::Display for RoutesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problems.join("\n"))
    }
}

impl std::error::Error for RoutesError {}

#[cfg(test)]
mod tests;
