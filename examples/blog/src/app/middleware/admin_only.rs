//! Who is no administrator goes no further. The configuration says for which requests.

use hatchery::extract::Request;
use hatchery::http::request::Parts;
use hatchery::middleware::Next;
use hatchery::response::Response;
use hatchery::{Context, Error};

use crate::app::extend::context::IsAdmin as _;

#[hatchery::middleware]
async fn admin_only(ctx: Context, request: Request, next: Next) -> Result<Response, Error> {
    if !ctx.is_admin() {
        return Err(Error::forbidden("only for the administrator"));
    }
    Ok(next.run(request).await)
}

/// What `match = { predicate = "changes_posts" }` names.
#[hatchery::predicate]
fn changes_posts(request: &Parts) -> bool {
    request.uri.path().starts_with("/posts") && !request.method.is_safe()
}
