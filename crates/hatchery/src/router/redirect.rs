//! Redirects.

use http::StatusCode;

use super::Route;
use super::route::Endpoint;

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

    /// The route itself.
    pub fn route(&mut self) -> &mut Route {
        self.0
    }
}
