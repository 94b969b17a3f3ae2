//! The application's routes: names, places, prefixes, resources; compiled to an axum router.
//!
//! ```
//! use hatchery::{Application, BoxError, Context, Routes};
//!
//! async fn home() -> &'static str {
//!     "home"
//! }
//!
//! async fn show(_ctx: Context) -> &'static str {
//!     "a post"
//! }
//!
//! fn router(routes: &mut Routes, _: &Application) -> Result<(), BoxError> {
//!     routes.get("/", home).name("home");
//!     routes.redirect("/start", "home");
//!     routes.namespace("admin", |admin| {
//!         admin.get("/posts/{id}", show).name("post"); // /admin/posts/{id}, admin_post
//!     });
//!     Ok(())
//! }
//! ```

mod check;
mod compile;
mod group;
mod page;
mod pattern;
mod redirect;
mod resources;
mod route;
mod table;
#[cfg(test)]
mod tests;
mod url;

use std::borrow::Cow;

use axum::Router;
use axum::extract::Request;
use axum::handler::Handler;
use axum::response::IntoResponse;
use axum::routing::MethodRouter;
use http::Method;
use tower_service::Service;

#[allow(unused_imports, reason = "what the named middleware is for the routes")]
pub(crate) use self::compile::NamedMiddleware;
pub use self::compile::RouteError;
pub(crate) use self::compile::RouterSettings;
pub use self::group::Group;
pub use self::redirect::Redirect;
pub use self::resources::{Controller, ResourceAction, ResourceScope, Resources};
pub use self::route::{Route, Source};
pub(crate) use self::table::RouteTable;
pub use self::url::UrlError;

use self::route::{Endpoint, Methods, Step};

/// The table of routes that `#[router]` functions and controllers fill.
///
/// Paths are axum's: `/posts/{id}`, `/files/{*rest}`; upper and lower case differ. Handlers are
/// axum handlers.
#[derive(Debug, Default)]
pub struct Routes {
    added: Vec<Route>,
    routers: Vec<Mounted>,
    /// What [`prefix`](Self::prefix) puts before paths.
    prefix: String,
    /// What [`namespace`](Self::namespace) puts before names.
    names: String,
    /// Pages of Hatchery's own, where nothing of the application's is.
    pages: Vec<(&'static str, MethodRouter)>,
}

/// An axum router that was given whole.
#[derive(Debug)]
struct Mounted {
    /// Where it is nested; `None`: merged.
    path: Option<String>,
    router: Router,
    source: Source,
    /// What its groups lay around it, outermost first.
    steps: Vec<Step>,
}

/// The verbs: one method each.
macro_rules! verbs {
    ($($(#[$doc:meta])* $name:ident: $method:ident;)*) => {
        impl Routes {
            $(
                $(#[$doc])*
                #[track_caller]
                pub fn $name<H, T>(&mut self, path: &str, handler: H) -> &mut Route
                where
                    H: Handler<T, ()>,
                    T: 'static,
                {
                    self.route(&[Method::$method], path, handler)
                }
            )*
        }
    };
}

verbs! {
    /// `GET`, and with it `HEAD`.
    get: GET;
    /// `POST`.
    post: POST;
    /// `PUT`.
    put: PUT;
    /// `PATCH`.
    patch: PATCH;
    /// `DELETE`.
    delete: DELETE;
    /// `HEAD` with a handler of its own; `get` answers it otherwise.
    head: HEAD;
    /// `OPTIONS` with a handler of its own; it is answered with `Allow` otherwise.
    options: OPTIONS;
}

impl Routes {
    /// Several methods, one handler.
    ///
    /// ```
    /// # use hatchery::{Routes, http::Method};
    /// # fn routes(routes: &mut Routes) {
    /// routes.route(&[Method::GET, Method::POST], "/form", async || "a form").name("form");
    /// # }
    /// ```
    #[track_caller]
    pub fn route<H, T>(&mut self, methods: &[Method], path: &str, handler: H) -> &mut Route
    where
        H: Handler<T, ()>,
        T: 'static,
    {
        let name = std::any::type_name::<H>();
        self.push(
            Methods::these(methods),
            path,
            name.into(),
            Endpoint::handler(handler),
        )
    }

    /// Every method that no other route takes at this path.
    #[track_caller]
    pub fn all<H, T>(&mut self, path: &str, handler: H) -> &mut Route
    where
        H: Handler<T, ()>,
        T: 'static,
    {
        let name = std::any::type_name::<H>();
        self.push(Methods::All, path, name.into(), Endpoint::handler(handler))
    }

    /// A tower service as handler of `methods`; of every method when there are none.
    #[track_caller]
    pub fn service<S>(&mut self, methods: &[Method], path: &str, service: S) -> &mut Route
    where
        S: Service<Request, Error = std::convert::Infallible> + Clone + Send + Sync + 'static,
        S::Response: IntoResponse,
        S::Future: Send + 'static,
    {
        let methods = if methods.is_empty() {
            Methods::All
        } else {
            Methods::these(methods)
        };
        let name = std::any::type_name::<S>();
        self.push(methods, path, name.into(), Endpoint::service(service))
    }

    /// Answers every method at `from` with a redirect, 301 unless
    /// [`status`](Redirect::status) says otherwise. `to` is a path (parameters of `from` may stand
    /// in it), an address, or the name of a route.
    #[track_caller]
    pub fn redirect(&mut self, from: &str, to: &str) -> Redirect<'_> {
        let endpoint = Endpoint::redirect(to);
        let route = self.push(
            Methods::All,
            from,
            format!("redirect to {to}").into(),
            endpoint,
        );
        Redirect::new(route)
    }

    /// Puts `path` before the paths of all routes and axum routers that `add` adds. The middleware
    /// of the group lies around all of them.
    ///
    /// ```
    /// # use hatchery::Routes;
    /// # fn routes(routes: &mut Routes) {
    /// routes
    ///     .prefix("/api", |api| {
    ///         api.get("/posts", async || "posts"); // /api/posts
    ///     })
    ///     .middleware("token");
    /// # }
    /// ```
    pub fn prefix(&mut self, path: &str, add: impl FnOnce(&mut Self)) -> Group<'_> {
        let (paths, first) = (self.prefix.len(), self.counts());
        self.prefix.push_str(path.trim_end_matches('/'));
        add(self);
        self.prefix.truncate(paths);
        self.group(first)
    }

    /// [`prefix`](Self::prefix) for paths (`/admin`) and names (`admin_`).
    pub fn namespace(&mut self, name: &str, add: impl FnOnce(&mut Self)) -> Group<'_> {
        let (names, first) = (self.names.len(), self.counts());
        let word = name.trim_matches('/');
        self.names.push_str(&word.replace('/', "_"));
        self.names.push('_');
        self.prefix(&format!("/{word}"), add);
        self.names.truncate(names);
        self.group(first)
    }

    /// The routes of `C`, and those of the seven actions that it has: index, new, create, show,
    /// edit, update and destroy below `path`, with names made of `name` (a plural).
    #[track_caller]
    pub fn resources<C: Controller>(&mut self, name: &str, path: &str) -> Resources<'_> {
        let source = Source::caller();
        let first = self.added.len();
        let mut scope = ResourceScope::new(self, name, path, source);
        C::routes(&mut scope);
        let actions = scope.into_actions();
        Resources::new(&mut self.added[first..], name, actions)
    }

    /// The routes of `C` that are not among the seven actions, at their own paths.
    #[track_caller]
    pub fn controller<C: Controller>(&mut self) -> Group<'_> {
        self.resources::<C>("", "").into_group()
    }

    /// Adds all routes of an axum router as they are. It brings its own 404 and 405; the `routes`
    /// verb cannot look into it.
    #[track_caller]
    pub fn merge(&mut self, router: Router) {
        let path = (!self.prefix.is_empty()).then(|| self.prefix.clone());
        let source = Source::caller();
        self.routers.push(Mounted {
            path,
            router,
            source,
            steps: Vec::new(),
        });
    }

    /// Adds an axum router below `path`.
    #[track_caller]
    pub fn nest(&mut self, path: &str, router: Router) {
        let path = format!("{}{}", self.prefix, path.trim_end_matches('/'));
        let path = (!path.is_empty()).then_some(path);
        let source = Source::caller();
        self.routers.push(Mounted {
            path,
            router,
            source,
            steps: Vec::new(),
        });
    }

    /// What the closure of `App::router` makes.
    pub(crate) fn merge_own(&mut self, router: Router) {
        self.routers.push(Mounted {
            path: None,
            router,
            source: Source::new("`App::router`", 0),
            steps: Vec::new(),
        });
    }

    /// A page of Hatchery's own, unless the application has something there.
    pub(crate) fn page(&mut self, path: &'static str, page: MethodRouter) {
        self.pages.push((path, page));
    }

    /// How many routes and axum routers there are.
    fn counts(&self) -> (usize, usize) {
        (self.added.len(), self.routers.len())
    }

    /// Everything that was added since then.
    fn group(&mut self, (route, mounted): (usize, usize)) -> Group<'_> {
        Group::new(&mut self.added[route..], &mut self.routers[mounted..])
    }

    #[track_caller]
    fn push(
        &mut self,
        methods: Methods,
        path: &str,
        handler: Cow<'static, str>,
        endpoint: Endpoint,
    ) -> &mut Route {
        // The route `/` of a prefix is the prefix itself.
        let path = match (self.prefix.is_empty(), path) {
            (false, "/" | "") => self.prefix.clone(),
            _ => format!("{}{path}", self.prefix),
        };
        let index = self.added.len();
        self.added.push(Route::new(
            methods,
            path,
            self.names.clone(),
            handler,
            Source::caller(),
            endpoint,
        ));
        &mut self.added[index]
    }
}
