//! Log lines that say which request they are about.

use std::fmt;

use tracing::{debug, enabled, error, info, warn};

use super::Context;

/// Writes log lines with `[user/ip/request id/use ms METHOD url]`: `ctx.logger().info("paid")`.
///
/// It is a face of `tracing`: where a subscriber of the application's own is installed, it gets the
/// events with the field `context`.
#[derive(Clone, Copy, Debug)]
pub struct ContextLogger<'a>(&'a Context);

/// One method for each level: tracing's levels are part of its call sites.
macro_rules! levels {
    ($($level:ident $constant:ident $about:literal),+) => {
        impl ContextLogger<'_> {
            $(
                #[doc = $about]
                pub fn $level(&self, message: impl fmt::Display) {
                    if enabled!(target: "app", tracing::Level::$constant) {
                        let context = Bracket(self.0);
                        $level!(target: "app", context = %context, "{message}");
                    }
                }
            )+
        }
    };
}

levels!(
    debug DEBUG "For whoever looks for a mistake.",
    info INFO "What happens as it should.",
    warn WARN "What somebody may want to know.",
    error ERROR "What somebody must look at."
);

/// What a log line says of a request.
struct Bracket<'a>(&'a Context);

impl fmt::Display for Bracket<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ctx = self.0;
        match ctx.user_id() {
            Some(id) => write!(f, "{id}/")?,
            None => f.write_str("-/")?,
        }
        match ctx.ip() {
            Some(ip) => write!(f, "{ip}/")?,
            None => f.write_str("-/")?,
        }
        let (id, took) = (ctx.request_id(), ctx.elapsed().as_millis());
        write!(f, "{id}/{took}ms {} {}", ctx.method(), ctx.uri())
    }
}

impl Context {
    /// Writes log lines that say that they are about this request.
    pub fn logger(&self) -> ContextLogger<'_> {
        ContextLogger(self)
    }
}
