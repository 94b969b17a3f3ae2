//! Says in a response header what has answered. A tower layer, made from its options.

use hatchery::BoxError;
use hatchery::extract::Request;
use hatchery::http::{HeaderName, HeaderValue};
use hatchery::middleware::{Layer, Next, from_fn};
use serde::Deserialize;

/// `[middleware.stamped]`.
#[derive(Deserialize)]
pub(crate) struct Stamp {
    header: String,
    text: String,
}

#[hatchery::middleware]
fn stamped(options: Stamp) -> Result<impl Layer, BoxError> {
    let header = HeaderName::try_from(options.header)?;
    let text = HeaderValue::try_from(options.text)?;
    Ok(from_fn(move |request: Request, next: Next| {
        let (header, text) = (header.clone(), text.clone());
        async move {
            let mut response = next.run(request).await;
            response.headers_mut().insert(header, text);
            response
        }
    }))
}
