//! `routes`: what this build would serve, and where each handler is.

use super::args::Invocation;
use super::say;
use super::show::Table;
use super::start::{Prepared, prepare, seed};
use crate::App;
use crate::application::Role;
use crate::loader::load::load;
use crate::router::RouteTable;
use crate::runtime;

/// Loads the application as `--check` does, and prints its routes.
pub(super) fn routes(app: App, invocation: &Invocation) -> anyhow::Result<()> {
    let Prepared { config, .. } = prepare(&app, invocation)?;
    let text = runtime::look_into(async |moments| {
        let seed = seed(Role::Check, config, moments, None);
        let loaded = load(app, seed).await?;
        let routes = loaded.app.routes();
        Ok(match (invocation.json, routes) {
            (true, Some(routes)) => format!("{:#}\n", routes.to_json()),
            (true, None) => "[]\n".to_owned(),
            (false, Some(routes)) => shown(routes),
            (false, None) => NONE.to_owned(),
        })
    })
    .map_err(|reason| anyhow::anyhow!("cannot start: {reason}"))?;
    say(&text);
    Ok(())
}

/// An application that has only the closure of `App::router`.
const NONE: &str = "no routes are known: nobody can look into the axum router of `App::router`\n";

fn shown(routes: &RouteTable) -> String {
    let mut table = Table::new(&["method", "path", "name", "middleware", "handler", "place"]);
    for cells in routes.cells() {
        table.row(cells);
    }
    table.render()
}
