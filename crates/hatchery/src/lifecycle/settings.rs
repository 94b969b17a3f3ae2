//! The `[boot]` table: how long hooks may take.

use std::time::Duration;

use hatchery_master::settings::units;
use serde::{Deserialize, Serialize};

/// How long hooks may take. Durations are strings in the configuration (`"10s"`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct BootSettings {
    /// For all `load_config` together; a longer one ends the start.
    #[serde(with = "units::duration")]
    pub(crate) config_timeout: Duration,
    /// A `did_load`, `will_ready` or `did_ready` that takes longer is named, and goes on.
    #[serde(with = "units::duration")]
    pub(crate) ready_timeout: Duration,
    /// For all `before_close` together.
    #[serde(with = "units::duration")]
    pub(crate) close_timeout: Duration,
    /// Steps of a start that take longer are named.
    #[serde(with = "units::duration")]
    pub(crate) slow_step: Duration,
}

impl Default for BootSettings {
    fn default() -> Self {
        Self {
            config_timeout: Duration::from_secs(10),
            ready_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(10),
            slow_step: Duration::from_secs(5),
        }
    }
}
