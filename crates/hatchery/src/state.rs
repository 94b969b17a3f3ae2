//! What an application holds while its process runs.

use crate::background::Background;
use crate::clock::Clock;
use crate::config::{self, Config};
use crate::context::{Locals, Mocks, Trust};
use crate::events::Events;
use crate::singleton::Singletons;

/// What an application holds while its process runs, beside its configuration.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) background: Background,
    pub(crate) clock: Clock,
    pub(crate) events: Events,
    pub(crate) locals: Locals,
    pub(crate) mocks: Mocks,
    #[cfg(feature = "session")]
    pub(crate) sessions: crate::session::Sessions,
    pub(crate) singletons: Singletons,
    /// Which headers say who asks.
    pub(crate) trust: Trust,
    /// Those that are open, and what they may take.
    #[cfg(feature = "websocket")]
    pub(crate) websockets: crate::websocket::Hub,
    /// Whether every response carries its request's id.
    pub(crate) request_id_header: bool,
    /// Whether clients see what has gone wrong.
    pub(crate) shows_detail: bool,
}

impl State {
    /// Called in the process's main runtime.
    pub(crate) fn new(env: &str, config: &Config) -> Self {
        // The table was checked with all others before.
        let limits = config::limits(config).unwrap_or_default();
        Self {
            background: Background::new(),
            clock: Clock::default(),
            events: Events::default(),
            locals: Locals::default(),
            mocks: Mocks::default(),
            #[cfg(feature = "session")]
            sessions: crate::session::Sessions::default(),
            singletons: Singletons::default(),
            request_id_header: limits.request_id_header,
            trust: Trust::new(limits),
            #[cfg(feature = "websocket")]
            websockets: crate::websocket::Hub::new(
                crate::websocket::settings::read(config).unwrap_or_default(),
            ),
            shows_detail: matches!(env, "local" | "unittest"),
        }
    }
}
