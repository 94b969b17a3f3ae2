//! Tells in a response header how long the request took. A tower layer, made from its options.

use std::time::Instant;

use hatchery::extract::Request;
use hatchery::http::{HeaderName, HeaderValue};
use hatchery::middleware::Next;
use hatchery::{Application, BoxError};
use serde::Deserialize;

/// `[middleware.timing]`.
#[derive(Deserialize)]
pub(crate) struct Timing {
    header: String,
}

#[hatchery::middleware]
fn timing(options: Timing, _: &Application) -> Result<impl hatchery::middleware::Layer, BoxError> {
    let header = HeaderName::try_from(options.header)?;
    Ok(hatchery::middleware::from_fn(
        move |request: Request, next: Next| {
            let header = header.clone();
            async move {
                let begun = Instant::now();
                let mut response = next.run(request).await;
                let took = format!("{}us", begun.elapsed().as_micros());
                let took = HeaderValue::try_from(took);
                response
                    .headers_mut()
                    .extend(took.ok().map(|took| (header, took)));
                response
            }
        },
    ))
}
