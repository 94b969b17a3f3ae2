//! `type = "websocket"`: a handler by its name that takes a WebSocket.

#[cfg(feature = "websocket")]
pub(crate) use there::add;

/// There are none in this build.
#[cfg(not(feature = "websocket"))]
pub(crate) fn add(
    _: &crate::routes::table::Adding,
    _: &mut crate::Routes,
    entry: &crate::routes::table::Entry<'_>,
) -> Result<(), crate::BoxError> {
    Err(entry.wrong(
        "`type = \"websocket\"` needs the feature `websocket` of Hatchery: in Cargo.toml, add it to \
         the `features` of `hatchery`",
    ))
}

#[cfg(feature = "websocket")]
mod there {
    use std::sync::Arc;

    use axum::extract::Request;
    use axum::response::IntoResponse as _;
    use http::Method;
    use serde::Deserialize;

    use crate::BoxError;
    use crate::router::Routes;
    use crate::routes::table::{Adding, Entry};
    use crate::routes::{Input, NamedHandler};
    use crate::websocket::RouteOptions;
    use crate::websocket::settings::{Options, Settings};

    /// `type = "websocket"`.
    #[derive(Deserialize)]
    struct WebSocketRoute {
        #[serde(rename = "type")]
        _kind: String,
        route: String,
        handler: String,
        name: Option<String>,
        #[serde(default)]
        middlewares: Vec<String>,
        #[serde(default)]
        options: Options,
    }

    /// Adds one to the table.
    pub(crate) fn add(
        adding: &Adding,
        routes: &mut Routes,
        entry: &Entry<'_>,
    ) -> Result<(), BoxError> {
        let route: WebSocketRoute = entry.read()?;
        let (registration, handler) = adding.handler(&route.handler, entry)?;
        if !handler.takes_socket() {
            let name = &route.handler;
            return Err(entry.wrong(format!(
                "the handler `{name}` takes no WebSocket: its first argument is a \
                 `hatchery::websocket::WebSocket`"
            )));
        }
        let over = route.options.over(&Settings::default());
        if let Some((key, sentence)) = over.complaints().first() {
            return Err(entry.wrong(format!("options.{key}: {sentence}")));
        }
        let handler: Arc<dyn NamedHandler> = handler.into();
        let options = RouteOptions(Arc::new(route.options));
        let answer = move |mut request: Request| {
            request.extensions_mut().insert(options.clone());
            let handler = Arc::clone(&handler);
            async move {
                let (parts, _) = request.into_parts();
                let nothing = Input::Query(parts.uri.clone());
                handler.call(parts, nothing).await.into_response()
            }
        };
        let added = routes.route(&[Method::GET], &route.route, answer);
        added.handled_by(format!("{}::{}", registration.module, registration.name));
        entry.finish(added, route.name.as_deref(), &route.middlewares);
        Ok(())
    }
}
