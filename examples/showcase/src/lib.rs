//! Hatchery's standing proof: a small service that can be killed, hung and leaked on demand.

mod agent;
mod cache;
mod faults;
mod routes;
mod settings;

use hatchery::App;

use crate::settings::Showcase;

/// The application, not yet run.
pub fn app() -> App {
    App::new(hatchery::package!())
        .section::<Showcase>("showcase")
        .router(routes::routes)
        .agent(agent::agent)
}
