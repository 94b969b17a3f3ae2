//! Log lines that say which request they are about.

use std::fmt;

use tracing::{debug, enabled, error, info, warn};

use super::Context;
use crate::Application;

/// Writes log lines: `ctx.logger().info("paid")`. A context's say which request they are about:
/// `[user/ip/request id/use ms METHOD url]`.
///
/// It is a face of `tracing`: where a subscriber of the application's own is installed, it gets the
/// events with the field `context`.
#[derive(Clone, Copy, Debug)]
pub struct Logger<'a>(Option<&'a Context>);

/// One method for each level: tracing's levels are part of its call sites.
macro_rules! levels {
    ($($level:ident $constant:ident $about:literal),+) => {
        impl Logger<'_> {
            $(
                #[doc = $about]
                pub fn $level(&self, message: impl fmt::Display) {
                    if !enabled!(target: "app", tracing::Level::$constant) {
                        return;
                    }
                    match self.0.map(Bracket) {
                        Some(context) => $level!(target: "app", context = %context, "{message}"),
                        None => $level!(target: "app", "{message}"),
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
    pub fn logger(&self) -> Logger<'_> {
        Logger(Some(self))
    }
}

impl Application {
    /// Writes log lines that are about no request.
    pub fn logger(&self) -> Logger<'_> {
        Logger(None)
    }
}
