//! Redirects.

use axum::extract::RawPathParams;
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, any};
use http::{HeaderValue, StatusCode, header};

use super::Route;
use super::pattern::Pattern;
use super::route::Endpoint;
use super::table::RouteTable;
use crate::config::suggest::did_you_mean;

/// A redirect that was added.
#[derive(Debug)]
pub struct Redirect<'r>(&'r mut Route);

impl<'r> Redirect<'r> {
    pub(super) fn new(route: &'r mut Route) -> Self {
        Self(route)
    }

    /// Another status than 301: 302, 303, 307 or 308.
    pub fn status(&mut self, code: StatusCode) -> &mut Self {
        if let Endpoint::Redirect { status, .. } = &mut self.0.endpoint {
            *status = code;
        }
        self
    }

    /// Its name, for `url_for`.
    pub fn name(&mut self, name: impl AsRef<str>) -> &mut Self {
        self.0.name(name);
        self
    }

    /// The route itself, for as long as the table is lent.
    pub(crate) fn into_route(self) -> &'r mut Route {
        self.0
    }

    /// The route itself.
    pub fn route(&mut self) -> &mut Route {
        self.0
    }
}

/// What answers at `from`; or why it cannot.
pub(super) fn endpoint(
    from: &str,
    to: &str,
    status: StatusCode,
    table: &RouteTable,
) -> Result<MethodRouter, String> {
    if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Err(format!(
            "{status} is no redirect: use 301, 302, 303, 307 or 308"
        ));
    }
    if to.contains("://") {
        return fixed(to, status);
    }
    let target = if to.starts_with('/') {
        // What follows a `?` is no path, and stays as it is.
        let (path, query) = to.split_at(to.find('?').unwrap_or(to.len()));
        let pattern = Pattern::parse(path);
        (
            pattern.map_err(|problem| format!("the path `{to}` {problem}"))?,
            query,
        )
    } else {
        let Some((pattern, _)) = table.named(to) else {
            let hint = did_you_mean(to, table.names());
            return Err(format!(
                "redirects to `{to}`, which is neither a path nor the name of a route{hint}"
            ));
        };
        (pattern.clone(), "")
    };
    let (pattern, query) = target;
    if pattern.parameters().next().is_none() {
        // It has no parameters, so it is always the same.
        let path = pattern.fill(|_| None).unwrap_or_default();
        return fixed(&format!("{path}{query}"), status);
    }
    has_all(&pattern, from, to)?;
    let query = query.to_owned();
    Ok(any(move |params: RawPathParams| {
        let value = |name: &str| {
            let mut all = params.iter();
            let found = all.find(|(parameter, _)| *parameter == name);
            found.map(|(_, value)| value.to_owned())
        };
        let filled = pattern.fill(value).ok();
        let location = filled.and_then(|path| HeaderValue::try_from(path + &query).ok());
        std::future::ready(match location {
            Some(location) => (status, [(header::LOCATION, location)]).into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        })
    }))
}

/// The parameters of `to` must come from somewhere.
fn has_all(pattern: &Pattern, from: &str, to: &str) -> Result<(), String> {
    let given = Pattern::parse(from)?;
    let missing = |name: &&str| !given.parameters().any(|given| given == *name);
    match pattern.parameters().find(missing) {
        Some(name) => Err(format!(
            "redirects to `{to}`, whose parameter `{name}` {from} does not have"
        )),
        None => Ok(()),
    }
}

fn fixed(to: &str, status: StatusCode) -> Result<MethodRouter, String> {
    let location = HeaderValue::from_str(to)
        .map_err(|_| format!("redirects to `{to}`, which a header cannot carry: encode it"))?;
    Ok(any(move || {
        std::future::ready((status, [(header::LOCATION, location.clone())]))
    }))
}
