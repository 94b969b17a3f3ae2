//! What `Context` can do in this application besides.

use hatchery::Context;

use crate::settings::Blog;

/// Whether the request carries the administrator's token.
#[hatchery::extend]
pub(crate) fn is_admin(ctx: &Context) -> bool {
    let Ok(Blog { admin_token, .. }) = ctx.app().section("blog") else {
        return false;
    };
    let sent = ctx.header("authorization");
    let sent = sent.and_then(|value| value.strip_prefix("Bearer "));
    !admin_token.is_empty() && sent == Some(admin_token.as_str())
}
