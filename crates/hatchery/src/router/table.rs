//! The finished table of routes: what the `routes` verb, its page and `url_for` look into.

use std::collections::HashMap;
use std::path::Path;

use serde::Serialize;

use super::pattern::Pattern;
use super::route::{Methods, Step};
use super::{Route, Routes, Source};
use crate::complain::complain;
use crate::loader::registry::{Item, Registration};
use crate::run_file;

/// The routes of an application, as they are served.
#[derive(Debug, Default)]
pub(crate) struct RouteTable {
    pub(super) rows: Vec<Row>,
    /// Routes by their names.
    names: HashMap<String, (Pattern, usize)>,
}

/// One route.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// `GET`; `ALL` alone.
    pub(super) methods: Vec<String>,
    pub(super) path: String,
    pub(super) name: Option<String>,
    pub(super) handler: String,
    /// Where the handler was written; where the route was, when nobody knows.
    pub(super) place: Source,
    /// Where the route was written.
    pub(super) added: Source,
    pub(super) middleware: Vec<String>,
    /// An axum router: nobody can look into it.
    pub(super) opaque: bool,
}

/// The contract of `routes --json`.
#[derive(Debug, Serialize)]
struct Listed<'r> {
    method: &'r str,
    path: &'r str,
    name: Option<&'r str>,
    handler: &'r str,
    place: String,
    middleware: &'r [String],
}

/// The contract of `run/router.json`.
#[derive(Debug, Serialize)]
struct Dumped<'r> {
    name: Option<&'r str>,
    methods: &'r [String],
    param_names: Vec<String>,
    path: &'r str,
    handler: &'r str,
    place: String,
    middleware: &'r [String],
}

impl RouteTable {
    /// Of routes that are good.
    pub(super) fn of(routes: &Routes) -> Self {
        let places = handlers();
        let mut table = Self::default();
        for route in &routes.added {
            if let Some(name) = &route.name
                && let Ok(pattern) = Pattern::parse(&route.path)
            {
                let entry = table.names.entry(name.clone());
                entry.or_insert((pattern, table.rows.len()));
            }
            table.rows.push(Row::of(route, &places));
        }
        for mounted in &routes.routers {
            table.rows.push(Row {
                methods: vec!["ALL".to_owned()],
                path: format!("{}/…", mounted.path.as_deref().unwrap_or_default()),
                name: None,
                handler: "an axum router".to_owned(),
                place: mounted.source.clone(),
                added: mounted.source.clone(),
                middleware: names(&mounted.steps),
                opaque: true,
            });
        }
        table
    }

    /// The route of this name.
    pub(super) fn named(&self, name: &str) -> Option<(&Pattern, &Row)> {
        let (pattern, index) = self.names.get(name)?;
        Some((pattern, self.rows.get(*index)?))
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }

    /// What `routes --json` prints: an entry for each method of each route.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let rows = self.rows.iter().filter(|row| !row.opaque);
        let listed = rows.flat_map(|row| {
            row.methods.iter().map(|method| Listed {
                method,
                path: &row.path,
                name: row.name.as_deref(),
                handler: &row.handler,
                place: row.place.to_string(),
                middleware: &row.middleware,
            })
        });
        serde_json::json!(listed.collect::<Vec<_>>())
    }

    /// What `routes` prints: for each route its methods, path, name, middleware, handler and place.
    pub(crate) fn cells(&self) -> impl Iterator<Item = [String; 6]> {
        self.rows.iter().map(|row| {
            [
                row.methods.join(" "),
                row.path.clone(),
                row.name.clone().unwrap_or_default(),
                row.middleware.join(" "),
                row.handler.clone(),
                row.place.to_string(),
            ]
        })
    }

    /// Writes `router.json` into the run directory, whole or not at all. People look at it, nothing
    /// depends on it: that it cannot be written is only said.
    pub(crate) fn dump(&self, run_dir: &Path) {
        let file = "router.json";
        if let Err(error) = run_file::replace(run_dir, file, self.dumped().as_bytes()) {
            let path = run_dir.join(file);
            complain(format_args!("cannot write {}: {error}", path.display()));
        }
    }

    fn dumped(&self) -> String {
        let rows = self.rows.iter().map(|row| {
            let pattern = Pattern::parse(&row.path).ok();
            Dumped {
                name: row.name.as_deref(),
                methods: &row.methods,
                param_names: pattern.map_or_else(Vec::new, |pattern| {
                    pattern.parameters().map(str::to_owned).collect()
                }),
                path: &row.path,
                handler: &row.handler,
                place: row.place.to_string(),
                middleware: &row.middleware,
            }
        });
        format!("{:#}\n", serde_json::json!(rows.collect::<Vec<_>>()))
    }
}

impl Row {
    fn of(route: &Route, places: &HashMap<String, Source>) -> Self {
        let methods = match &route.methods {
            Methods::All => vec!["ALL".to_owned()],
            Methods::These(methods) => methods.iter().map(ToString::to_string).collect(),
        };
        let place = places.get(&*route.handler).unwrap_or(&route.source);
        Self {
            methods,
            path: route.path.clone(),
            name: route.name.clone(),
            handler: route.handler.replace("{{closure}}", "{closure}"),
            place: place.clone(),
            added: route.source.clone(),
            middleware: names(&route.steps),
            opaque: false,
        }
    }
}

/// What lies around a route, outermost first.
fn names(steps: &[Step]) -> Vec<String> {
    let names = steps.iter().map(|step| match step {
        Step::Named(name) => name.clone(),
        Step::Layer(_) => "(layer)".to_owned(),
    });
    names.collect()
}

/// Where annotated handlers are, by the names of their types.
fn handlers() -> HashMap<String, Source> {
    let all = Registration::all().into_iter();
    all.filter(|registration| matches!(registration.item, Item::Action))
        .map(|action| {
            let name = format!("{}::{}", action.module, action.name);
            (name, Source::new(action.file, action.line))
        })
        .collect()
}
