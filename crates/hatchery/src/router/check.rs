//! What can be wrong with routes, all of it found before axum sees them: axum panics.

use std::collections::HashMap;

use axum::routing::MethodFilter;
use http::Method;

use super::compile::TrailingSlash;
use super::pattern::Pattern;
use super::route::Methods;
use super::{Mounted, Route, Routes};

/// Routes of one path.
#[derive(Debug)]
pub(super) struct Shared {
    /// As axum gets it.
    pub(super) path: String,
    /// With a trailing slash, where that is tolerated.
    pub(super) alias: Option<String>,
    /// Indices of its routes.
    pub(super) routes: Vec<usize>,
}

/// Finds what is wrong, and which routes share a path.
pub(super) struct Check<'r> {
    routes: &'r [Route],
    routers: &'r [Mounted],
    trailing_slash: TrailingSlash,
    /// What axum's router will contain.
    matcher: matchit::Router<()>,
    /// Where each path is in `shared`.
    paths: HashMap<String, usize>,
    pub(super) shared: Vec<Shared>,
    pub(super) problems: Vec<String>,
}

impl<'r> Check<'r> {
    pub(super) fn new(routes: &'r Routes, trailing_slash: TrailingSlash) -> Self {
        Self {
            routes: &routes.added,
            routers: &routes.routers,
            trailing_slash,
            matcher: matchit::Router::new(),
            paths: HashMap::new(),
            shared: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// Looks at all routes.
    pub(super) fn run(&mut self) {
        for (index, route) in self.routes.iter().enumerate() {
            self.methods_exist(route);
            match Pattern::parse(&route.path) {
                Ok(pattern) => self.place(index, route, &pattern),
                Err(problem) => {
                    self.problem(route, &format!("the path `{}` {problem}", route.path));
                }
            }
        }
        for mounted in self.routers {
            self.nested(mounted);
        }
        self.aliases();
        self.names();
    }

    fn problem(&mut self, route: &Route, problem: &str) {
        self.problems.push(format!("{}: {problem}", route.source));
    }

    fn methods_exist(&mut self, route: &Route) {
        let Methods::These(methods) = &route.methods else {
            return;
        };
        if methods.is_empty() {
            self.problem(route, &format!("the route {} has no method", route.path));
        }
        for method in methods {
            if MethodFilter::try_from(method.clone()).is_err() {
                let text = format!("axum does not route the method {method}: use `all`");
                self.problem(route, &text);
            }
        }
    }

    /// Puts a route to those of its path.
    fn place(&mut self, index: usize, route: &'r Route, pattern: &Pattern) {
        let path = self.canonical(&route.path);
        if let Some(&shared) = self.paths.get(path) {
            let others = self.shared[shared].routes.clone();
            for other in others {
                self.differ(&self.routes[other], route);
            }
            self.shared[shared].routes.push(index);
            return;
        }
        match self.matcher.insert(path, ()) {
            Ok(()) => {
                self.paths.insert(path.to_owned(), self.shared.len());
                self.shared.push(Shared {
                    path: path.to_owned(),
                    alias: None,
                    routes: vec![index],
                });
            }
            Err(error) => self.collision(route, pattern, &error),
        }
    }

    /// `/posts/` is `/posts` where that is tolerated.
    fn canonical<'p>(&self, path: &'p str) -> &'p str {
        match (self.trailing_slash, path.trim_end_matches('/')) {
            (TrailingSlash::Strict, _) | (_, "") => path,
            (TrailingSlash::Tolerate, trimmed) => trimmed,
        }
    }

    /// Two routes of one path must have no method in common.
    fn differ(&mut self, first: &Route, second: &Route) {
        let both = match (&first.methods, &second.methods) {
            (Methods::All, Methods::All) => "every method of ".to_owned(),
            (Methods::These(one), Methods::These(other)) => {
                let Some(method) = one.iter().find(|method| other.contains(method)) else {
                    return;
                };
                format!("{method} ")
            }
            _ => return,
        };
        let text = if first.path == second.path {
            format!(
                "{both}{} has a route already, at {}; remove one of the two",
                second.path, first.source
            )
        } else {
            format!(
                "{both}{} is {both}{} at {}, because a trailing slash is tolerated; remove one of \
                 the two, or set router.trailing_slash = \"strict\"",
                second.path, first.path, first.source
            )
        };
        self.problem(second, &text);
    }

    /// The path matches requests of another one, and axum could not say whose they are.
    fn collision(&mut self, route: &Route, pattern: &Pattern, error: &matchit::InsertError) {
        let matchit::InsertError::Conflict { with } = error else {
            return self.problem(route, &format!("the path `{}`: {error}", route.path));
        };
        let other = self.paths.get(self.canonical(with));
        let other = other.map(|shared| &self.routes[self.shared[*shared].routes[0]]);
        let Some(other) = other else {
            return self.problem(route, &format!("{} overlaps {with}", route.path));
        };
        let same = Pattern::parse(&other.path).is_ok_and(|other| other.shape() == pattern.shape());
        let text = if same {
            format!(
                "{} is the same path as {} at {}: give its parameters the same names",
                route.path, other.path, other.source
            )
        } else {
            format!("{} overlaps {} at {}", route.path, other.path, other.source)
        };
        self.problem(route, &text);
    }

    /// An axum router that is nested takes its path and everything below it.
    fn nested(&mut self, mounted: &Mounted) {
        let Some(path) = &mounted.path else { return };
        let source = &mounted.source;
        let problem = match Pattern::parse(path) {
            Err(problem) => format!("{source}: the path `{path}` {problem}"),
            Ok(pattern) if pattern.has_rest() => {
                format!(
                    "{source}: an axum router cannot be nested at `{path}`: end it before `{{*`"
                )
            }
            Ok(_) => {
                let taken = [
                    path.clone(),
                    format!("{path}/"),
                    format!("{path}/{{*nested}}"),
                ];
                let error = taken
                    .iter()
                    .find_map(|path| self.matcher.insert(path, ()).err());
                let Some(matchit::InsertError::Conflict { with }) = error else {
                    return;
                };
                let other = self.paths.get(self.canonical(&with));
                let other = other.map(|shared| &self.routes[self.shared[*shared].routes[0]]);
                let place = other.map(|other| format!(" at {}", other.source));
                format!(
                    "{source}: the axum router nested at {path} overlaps {with}{}",
                    place.unwrap_or_default()
                )
            }
        };
        self.problems.push(problem);
    }

    /// Where a trailing slash is tolerated, each path is there twice.
    fn aliases(&mut self) {
        if self.trailing_slash == TrailingSlash::Strict {
            return;
        }
        for shared in &mut self.shared {
            let has_rest = Pattern::parse(&shared.path).is_ok_and(|pattern| pattern.has_rest());
            if shared.path == "/" || has_rest {
                continue;
            }
            let alias = format!("{}/", shared.path);
            if self.matcher.insert(&alias, ()).is_ok() {
                shared.alias = Some(alias);
            }
        }
    }

    /// A name is one path.
    fn names(&mut self) {
        let mut named: HashMap<&str, &Route> = HashMap::new();
        for route in self.routes {
            let Some(name) = &route.name else { continue };
            let first = *named.entry(name).or_insert(route);
            if first.path != route.path {
                let text = format!(
                    "the name `{name}` is that of {} at {}; a name belongs to one path",
                    first.path, first.source
                );
                self.problem(route, &text);
            }
        }
    }
}

/// All methods of these routes and what is answered without one, for `Allow`.
pub(super) fn allow<'r>(routes: impl Iterator<Item = &'r Route>) -> String {
    let mut methods = vec![Method::OPTIONS];
    for route in routes {
        if let Methods::These(these) = &route.methods {
            methods.extend(these.iter().cloned());
        }
    }
    if methods.contains(&Method::GET) {
        methods.push(Method::HEAD);
    }
    let known = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
        Method::TRACE,
        Method::CONNECT,
    ];
    let there: Vec<_> = known
        .iter()
        .filter(|method| methods.contains(method))
        .map(Method::as_str)
        .collect();
    there.join(", ")
}
