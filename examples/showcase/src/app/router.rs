//! The routes that depend on the configuration. Those that do not stand at their handlers.

use hatchery::response::Html;
use hatchery::{Application, BoxError, Routes};

use super::controller::{cache, faults, home};
use super::service::greeter::Greeting;
use crate::settings::Showcase;

#[hatchery::router]
fn router(routes: &mut Routes, app: &Application) -> Result<(), BoxError> {
    let settings = app.section::<Showcase>("showcase")?;
    // Both live as long as the process, and a `'static` text is answered without a copy.
    let page: &'static str = home::page(app).leak();
    let greeting: &'static str = settings.greeting.leak();
    routes.get("/", async move || Html(page)).name("home");
    routes.get("/hello", async move || greeting);
    app.locals().insert(Greeting(greeting));
    if settings.faults {
        routes.prefix("/faults", add_faults);
        routes.get("/cache", cache::look);
        routes.post("/cache", cache::fill);
    }
    Ok(())
}

fn add_faults(routes: &mut Routes) {
    routes.post("/panic", faults::panic);
    routes.post("/panic-twice", faults::panic_twice);
    routes.post("/abort", faults::abort);
    routes.post("/exit", faults::exit);
    routes.post("/segv", faults::segv);
    routes.post("/spin", faults::spin);
    routes.post("/block", faults::block);
    routes.post("/leak", faults::leak);
}
