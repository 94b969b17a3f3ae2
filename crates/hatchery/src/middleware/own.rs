//! The middleware that comes with Hatchery: in the core, off until the configuration enables it.

use std::time::Instant;

use axum::extract::Request;
use axum::response::Response;
use http::{HeaderName, HeaderValue};

use super::{Next, from_async};
use crate::loader::registry::{Item, Registration, inventory};

/// Before everything else, outermost first.
pub(super) const CORE: [&str; 1] = ["meta"];

/// Whether a middleware of which the configuration says nothing is there.
pub(super) fn is_on(name: &str) -> bool {
    !CORE.contains(&name)
}

pub(super) const META: Registration = Registration {
    module: module_path!(),
    name: "meta",
    file: file!(),
    line: line!(),
    item: Item::Middleware(|arguments| from_async(arguments, meta)),
};

inventory::submit!(META);

const READ_TIME: HeaderName = HeaderName::from_static("x-readtime");

/// Tells in `x-readtime` how many milliseconds the response took.
async fn meta(request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let mut response = next.run(request).await;
    let took = begun.elapsed().as_secs_f64() * 1e3;
    if let Ok(took) = HeaderValue::try_from(format!("{took:.3}")) {
        response.headers_mut().insert(READ_TIME, took);
    }
    response
}
