//! Controllers, and the seven actions of a resource.

use axum::handler::Handler;
use http::Method;

use super::{Group, Route, Routes, Source};

/// Handlers that belong together: `#[controller]` on an `impl` block writes this.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a controller",
    note = "write `#[hatchery::controller]` on its `impl` block"
)]
pub trait Controller {
    /// Adds its routes to `scope`.
    fn routes(scope: &mut ResourceScope<'_>);
}

/// One of the seven actions that [`Routes::resources`] knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResourceAction {
    /// `GET /posts`, `posts`.
    Index,
    /// `GET /posts/new`, `new_post`.
    New,
    /// `POST /posts`, `posts`.
    Create,
    /// `GET /posts/{id}`, `post`.
    Show,
    /// `GET /posts/{id}/edit`, `edit_post`.
    Edit,
    /// `PUT` and `PATCH /posts/{id}`, `post`.
    Update,
    /// `DELETE /posts/{id}`, `post`.
    Destroy,
}

impl ResourceAction {
    fn methods(self) -> &'static [Method] {
        match self {
            Self::Index | Self::New | Self::Show | Self::Edit => &[Method::GET],
            Self::Create => &[Method::POST],
            Self::Update => &[Method::PUT, Method::PATCH],
            Self::Destroy => &[Method::DELETE],
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::Index | Self::Create => "",
            Self::New => "/new",
            Self::Show | Self::Update | Self::Destroy => "/{id}",
            Self::Edit => "/{id}/edit",
        }
    }

    fn name(self, plural: &str, singular: &str) -> String {
        match self {
            Self::Index | Self::Create => plural.to_owned(),
            Self::New => format!("new_{singular}"),
            Self::Edit => format!("edit_{singular}"),
            Self::Show | Self::Update | Self::Destroy => singular.to_owned(),
        }
    }
}

/// Where a [`Controller`] adds its routes: below the path at which it is mounted.
#[derive(Debug)]
pub struct ResourceScope<'r> {
    routes: &'r mut Routes,
    /// The plural; empty when it is no resource.
    name: &'r str,
    path: &'r str,
    /// Where it is mounted.
    source: Source,
    first: usize,
    /// Which of the routes added are among the seven.
    actions: Vec<(usize, ResourceAction)>,
}

impl<'r> ResourceScope<'r> {
    pub(super) fn new(
        routes: &'r mut Routes,
        name: &'r str,
        path: &'r str,
        source: Source,
    ) -> Self {
        let first = routes.added.len();
        Self {
            routes,
            name,
            path: path.trim_end_matches('/'),
            source,
            first,
            actions: Vec::new(),
        }
    }

    pub(super) fn into_actions(self) -> Vec<(usize, ResourceAction)> {
        self.actions
    }

    /// One of the seven.
    pub fn action<H, T>(&mut self, action: ResourceAction, handler: H) -> &mut Route
    where
        H: Handler<T, ()>,
        T: 'static,
    {
        let index = self.routes.added.len() - self.first;
        self.actions.push((index, action));
        let source = self.source.clone();
        let name = (!self.name.is_empty()).then(|| {
            let singular = singular(self.name);
            action.name(self.name, &singular)
        });
        let route = self.route(action.methods(), action.path(), handler);
        route.source = source;
        if let Some(name) = name {
            route.name(name);
        }
        route
    }

    /// A route of its own, below the path at which the controller is mounted.
    #[track_caller]
    pub fn route<H, T>(&mut self, methods: &[Method], path: &str, handler: H) -> &mut Route
    where
        H: Handler<T, ()>,
        T: 'static,
    {
        let path = match path {
            "/" if !self.path.is_empty() => self.path.to_owned(),
            path => format!("{}{path}", self.path),
        };
        let path = if path.is_empty() { "/" } else { &path };
        self.routes.route(methods, path, handler)
    }

    /// A route of its own for every method.
    #[track_caller]
    pub fn all<H, T>(&mut self, path: &str, handler: H) -> &mut Route
    where
        H: Handler<T, ()>,
        T: 'static,
    {
        let path = format!("{}{path}", self.path);
        self.routes.all(&path, handler)
    }
}

/// The routes of a resource, as they were added.
#[derive(Debug)]
pub struct Resources<'r> {
    group: Group<'r>,
    name: String,
    actions: Vec<(usize, ResourceAction)>,
}

impl<'r> Resources<'r> {
    pub(super) fn new(
        routes: &'r mut [Route],
        name: &str,
        actions: Vec<(usize, ResourceAction)>,
    ) -> Self {
        Self {
            group: Group::new(routes, &mut []),
            name: name.to_owned(),
            actions,
        }
    }

    /// The name of one of them, where it is not the plural without its `s` (`categories` →
    /// `category`, `boxes` → `box` are known): `.singular("person")`.
    pub fn singular(&mut self, singular: &str) -> &mut Self {
        for &(index, action) in &self.actions {
            let name = action.name(&self.name, singular);
            self.group.routes[index].name(name);
        }
        self
    }

    /// Lays the middleware of this name around each of them; the first one named is the outermost.
    pub fn middleware(&mut self, name: &str) -> &mut Self {
        self.group.middleware(name);
        self
    }

    /// As a group, to lay layers around it.
    pub fn into_group(self) -> Group<'r> {
        self.group
    }
}

/// The simple rule: `categories` → `category`, `boxes` → `box`, `posts` → `post`, `news` stays.
fn singular(plural: &str) -> String {
    for ending in ["sses", "shes", "ches", "xes", "zes"] {
        if plural.ends_with(ending) {
            return plural[..plural.len() - 2].to_owned();
        }
    }
    if let Some(stem) = plural.strip_suffix("ies") {
        return format!("{stem}y");
    }
    match plural.strip_suffix('s') {
        Some(stem) if plural != "news" && !stem.ends_with(['s', 'u', 'i']) => stem.to_owned(),
        _ => plural.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::singular;

    #[test]
    fn plurals_lose_their_s() {
        for (plural, expected) in [
            ("posts", "post"),
            ("categories", "category"),
            ("boxes", "box"),
            ("addresses", "address"),
            ("branches", "branch"),
            ("news", "news"),
            ("status", "status"),
            ("people", "people"),
            ("s", ""),
        ] {
            assert_eq!(singular(plural), expected, "{plural}");
        }
    }
}
