//! The routes that no controller brings itself.

use hatchery::{Application, BoxError, Routes};

use super::controller::posts::Posts;
use super::controller::{admin, home};

/// Egg's `app/router.js`.
#[hatchery::router]
fn router(routes: &mut Routes, _: &Application) -> Result<(), BoxError> {
    routes.get("/", home::index).name("home");
    routes.resources::<Posts>("posts", "/posts");
    routes.redirect("/blog", "/");
    routes.namespace("admin", |routes| {
        routes.get("/", admin::overview::index).name("overview");
    });
    Ok(())
}
