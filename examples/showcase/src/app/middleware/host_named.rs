//! Refuses who does not say which host it asks.

use hatchery::extract::Request;
use hatchery::middleware::Next;
use hatchery::response::Response;
use hatchery::{Context, Error};

#[hatchery::middleware]
async fn host_named(ctx: Context, request: Request, next: Next) -> Result<Response, Error> {
    if ctx.host().is_none_or(str::is_empty) {
        return Err(Error::bad_request("which host do you ask?"));
    }
    Ok(next.run(request).await)
}
