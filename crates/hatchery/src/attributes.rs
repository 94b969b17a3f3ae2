//! The attributes, with an example of each.

/// Finds what `hatchery_build::scan()` has found in `src/app`: the module `app`, with a module for
/// each file and directory, and `app::prelude` with the extensions of `src/app/extend`.
///
/// ```ignore
/// // src/main.rs; build.rs is `fn main() { hatchery_build::scan(); }`
/// hatchery::app!();
///
/// fn main() -> std::process::ExitCode {
///     hatchery::App::new(hatchery::package!()).run()
/// }
/// ```
pub use hatchery_macros::app;

/// ```
/// use hatchery::{Context, extract::Path};
///
/// #[hatchery::get("/posts/{id}", name = "post", middleware = ["timing"])]
/// async fn show(Path(id): Path<u32>, ctx: Context) -> String {
///     format!("post {id} of {}", ctx.app().name())
/// }
/// ```
///
/// Handlers are axum handlers; the path is axum's; `name` is what `url_for` knows it by;
/// `middleware` lies around this route alone, the first one outermost. A function may have several
/// such attributes.
pub use hatchery_macros::get;

/// See [`get`](macro@get), which has the same arguments.
pub use hatchery_macros::{all, delete, head, options, patch, post, put};

/// ```
/// use hatchery::Context;
/// use hatchery::websocket::WebSocket;
///
/// #[hatchery::websocket("/echo", name = "echo")]
/// async fn echo(mut socket: WebSocket, _ctx: Context) {
///     while let Some(message) = socket.recv().await {
///         let _ = socket.send(message).await;
///     }
/// }
/// ```
///
/// See [`websocket`](mod@crate::websocket); the arguments are those of [`get`](macro@get).
#[cfg(feature = "websocket")]
pub use hatchery_macros::websocket;

/// ```
/// use hatchery::{Context, extract::Path};
///
/// struct Posts;
///
/// #[hatchery::controller(resources = "/posts", name = "posts", middleware = ["timing"])]
/// impl Posts {
///     async fn index() -> &'static str {
///         "all posts"
///     }
///
///     async fn show(Path(id): Path<u32>) -> String {
///         format!("post {id}")
///     }
///
///     #[hatchery::get("/posts/top", name = "top_posts")]
///     async fn top(_ctx: Context) -> &'static str {
///         "the most read one"
///     }
/// }
/// ```
///
/// `resources` takes those of the seven actions that are there: `index`, `new`, `create`, `show`,
/// `edit`, `update`, `destroy`. `name` is the plural that names of routes are made of, unless it is
/// the path's last word; `singular = "person"` where leaving out its `s` is not enough. Methods with
/// an attribute of their own are routes at the path that it says. Others are just functions.
pub use hatchery_macros::controller;

/// ```
/// use hatchery::{Application, BoxError, Routes};
///
/// async fn home() -> &'static str {
///     "home"
/// }
///
/// #[hatchery::router]
/// fn router(routes: &mut Routes, app: &Application) -> Result<(), BoxError> {
///     if app.env() == "local" {
///         routes.get("/", home).name("home");
///     }
///     Ok(())
/// }
/// ```
///
/// `app` and the result may be left out.
pub use hatchery_macros::router;

/// ```
/// use hatchery::{Application, Boot, BoxError};
///
/// #[hatchery::boot(application)] // or `agent`, or `both`
/// struct Warm;
///
/// impl Boot for Warm {
///     async fn did_load(&self, app: &Application) -> Result<(), BoxError> {
///         println!("{} is loaded", app.name());
///         Ok(())
///     }
/// }
/// ```
///
/// It may stand at the `impl Boot` instead. A type with fields needs a `Default`.
pub use hatchery_macros::boot;

/// ```
/// use hatchery::Context;
///
/// #[hatchery::service]
/// struct Posts {
///     ctx: Context,
/// }
///
/// impl Posts {
///     fn count(&self) -> usize {
///         self.ctx.app().name().len()
///     }
/// }
///
/// #[hatchery::get("/count")]
/// async fn count(ctx: Context) -> String {
///     ctx.service::<Posts>().count().to_string()
/// }
/// ```
///
/// Fields of the types `Context` and `Application` are filled, all others have their `Default`. A
/// type that is made in another way has `#[service]` at its own `impl Service`.
pub use hatchery_macros::service;

/// Registers a middleware under the function's name: `middleware.order` and routes can name it, and
/// `[middleware.<name>]` has its options. A plain function makes a tower layer, an `async fn` is
/// the middleware itself; see [`middleware`](mod@crate::middleware).
pub use hatchery_macros::middleware;

/// ```
/// use hatchery::http::request::Parts;
///
/// // [middleware.timing]
/// // ignore = { predicate = "is_probe" }
/// #[hatchery::predicate]
/// fn is_probe(parts: &Parts) -> bool {
///     parts.headers.contains_key("x-probe")
/// }
/// ```
pub use hatchery_macros::predicate;

/// Registers a function that `[[routes]]` of the configuration can name; see
/// [`routes`](mod@crate::routes).
pub use hatchery_macros::handler;

/// ```
/// use hatchery::Context;
///
/// // src/app/extend/context.rs
/// #[hatchery::extend]
/// pub fn is_admin(ctx: &Context) -> bool {
///     ctx.app().env() == "local"
/// }
///
/// fn greeting(ctx: &Context) -> &'static str {
///     if ctx.is_admin() { "Welcome back" } else { "Hello" }
/// }
/// ```
///
/// The function becomes the trait `IsAdmin` with the one method; `use crate::app::prelude::*;`
/// brings all of them. The first argument may be a reference to any type. A method of `Context` or
/// `Application` can be replaced by `#[extend(replace)]` on a function of the same name and form:
/// in a later unit, or in a file for one environment (`src/app/extend/context.unittest.rs`).
pub use hatchery_macros::extend;

/// Registers a [`Load`](crate::Load) in a directory of the application's own kind.
pub use hatchery_macros::load;
