//! Hatchery's standing proof: a small service that can be killed, hung and leaked on demand.

mod agent;
mod cache;
mod faults;
mod routes;
mod settings;

use std::process::ExitCode;

use hatchery::App;

use crate::settings::Showcase;

fn main() -> ExitCode {
    App::new(hatchery::package!())
        .section::<Showcase>("showcase")
        .router(routes::routes)
        .agent(agent::agent)
        .run()
}
