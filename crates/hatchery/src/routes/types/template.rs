//! `type = "template"`: a page without a handler.

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::BoxError;
use crate::router::Routes;
use crate::routes::Reply;
use crate::routes::table::{Adding, Entry};

/// `type = "template"`.
#[derive(Deserialize)]
struct TemplateRoute {
    #[serde(rename = "type")]
    _kind: String,
    route: String,
    template: String,
    /// The template's variables.
    #[serde(default)]
    locals: Map<String, Value>,
    name: Option<String>,
    #[serde(default)]
    middlewares: Vec<String>,
}

/// Adds one to the table.
pub(crate) fn add(adding: &Adding, routes: &mut Routes, entry: &Entry<'_>) -> Result<(), BoxError> {
    let route: TemplateRoute = entry.read()?;
    let view = adding.views.view(&route.template);
    let view = view.map_err(|text| entry.wrong(text))?;
    let locals = Bytes::from(serde_json::to_vec(&route.locals)?);
    let view = Arc::new(view);
    let added = routes.get(&route.route, move || {
        let (view, reply) = (Arc::clone(&view), Reply::Json(locals.clone()));
        async move { view.show(reply) }
    });
    added.handled_by(format!("the template {}", route.template));
    entry.finish(added, route.name.as_deref(), &route.middlewares);
    Ok(())
}
