//! `type = "redirect"`: from one path to another, to an address, or to the route of a name.

use http::StatusCode;
use serde::Deserialize;

use crate::BoxError;
use crate::router::Routes;
use crate::routes::table::{Adding, Entry};

/// `type = "redirect"`.
#[derive(Deserialize)]
struct RedirectRoute {
    #[serde(rename = "type")]
    _kind: String,
    route: String,
    to: String,
    /// 301 where nothing is said.
    status: Option<u16>,
    name: Option<String>,
    #[serde(default)]
    middlewares: Vec<String>,
}

/// Adds one to the table. Where it leads is checked with all other routes.
pub(crate) fn add(_: &Adding, routes: &mut Routes, entry: &Entry<'_>) -> Result<(), BoxError> {
    let route: RedirectRoute = entry.read()?;
    let mut added = routes.redirect(&route.route, &route.to);
    if let Some(status) = route.status {
        let code = StatusCode::from_u16(status);
        let code = code.map_err(|_| {
            let text = "is no redirect: use 301, 302, 303, 307 or 308";
            entry.wrong(format!("the status {status} {text}"))
        })?;
        added.status(code);
    }
    entry.finish(
        added.into_route(),
        route.name.as_deref(),
        &route.middlewares,
    );
    Ok(())
}
