//! The `[websocket]` table, and `options` of a route over it.

use std::time::Duration;

use hatchery_master::settings::units;
use serde::Deserialize;

use super::origin::Origins;
use crate::config::{Config, ConfigError, ConfigErrorCode, ConfigProblem};

/// What the other end of a WebSocket may take, and how long it may be silent.
///
/// Durations and sizes are strings in the configuration (`"20s"`, `"1MiB"`).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Settings {
    /// Longest message that is read; a longer one closes the socket with 1009.
    #[serde(with = "units::size")]
    pub(crate) max_message: u64,
    /// Longest frame of a message that is read, in the same way.
    #[serde(with = "units::size")]
    pub(crate) max_frame: u64,
    /// Pages of which origins may connect.
    pub(crate) origins: Origins,
    /// How often a ping is sent; `"0s"` is never.
    #[serde(with = "units::duration")]
    pub(crate) ping_interval: Duration,
    /// How long after a ping nothing may come before the connection is closed.
    #[serde(with = "units::duration")]
    pub(crate) ping_timeout: Duration,
    /// In what time a draining worker closes all of them.
    #[serde(with = "units::duration")]
    pub(crate) ws_drain: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_message: 1024 * 1024,
            max_frame: 1024 * 1024,
            origins: Origins::Same,
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            ws_drain: Duration::from_secs(10),
        }
    }
}

/// The table, checked.
pub(crate) fn read(config: &Config) -> Result<Settings, ConfigError> {
    let settings: Settings = config.section("websocket")?;
    let problems = settings.complaints().into_iter().map(|(key, message)| {
        let key = format!("websocket.{key}");
        let place = config.place(&key).cloned();
        ConfigProblem::new(ConfigErrorCode::InvalidValue, place, &key, message)
    });
    ConfigError::check(problems.collect())?;
    Ok(settings)
}

impl Settings {
    /// What the types cannot check: each is a key of the table and a sentence.
    pub(crate) fn complaints(&self) -> Vec<(&'static str, &'static str)> {
        let mut complaints = Vec::new();
        let mut check = |holds: bool, key, sentence| {
            if !holds {
                complaints.push((key, sentence));
            }
        };
        let fits = |bytes: u64| (1..=u64::from(u32::MAX)).contains(&bytes);
        check(fits(self.max_message), "max_message", "must be 1B to 4GiB");
        check(fits(self.max_frame), "max_frame", "must be 1B to 4GiB");
        check(
            !self.ping_timeout.is_zero(),
            "ping_timeout",
            "must be longer than 0s; `ping_interval = \"0s\"` switches pings off",
        );
        complaints
    }
}

/// `options` of a route with `type = "websocket"`: what it has counts instead of the table's.
#[cfg(feature = "websocket")]
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Options {
    max_message: Option<Size>,
    max_frame: Option<Size>,
    origins: Option<Origins>,
    ping_interval: Option<Length>,
    ping_timeout: Option<Length>,
    /// Those that the handler speaks, the best one first.
    pub(crate) protocols: Vec<String>,
}

#[cfg(feature = "websocket")]
#[derive(Clone, Copy, Debug, Deserialize)]
struct Size(#[serde(with = "units::size")] u64);

#[cfg(feature = "websocket")]
#[derive(Clone, Copy, Debug, Deserialize)]
struct Length(#[serde(with = "units::duration")] Duration);

#[cfg(feature = "websocket")]
impl Options {
    /// The settings with these over them.
    pub(crate) fn over(&self, below: &Settings) -> Settings {
        let length = |own: Option<Length>, below| own.map_or(below, |Length(own)| own);
        let size = |own: Option<Size>, below| own.map_or(below, |Size(own)| own);
        Settings {
            max_message: size(self.max_message, below.max_message),
            max_frame: size(self.max_frame, below.max_frame),
            origins: self
                .origins
                .clone()
                .unwrap_or_else(|| below.origins.clone()),
            ping_interval: length(self.ping_interval, below.ping_interval),
            ping_timeout: length(self.ping_timeout, below.ping_timeout),
            ws_drain: below.ws_drain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_write_sizes_durations_and_origins() {
        let text = "max_message = '16KiB'\nping_interval = '0s'\norigins = 'any'";
        let settings: Settings = toml::from_str(text).unwrap();
        assert_eq!(settings.max_message, 16 * 1024);
        assert_eq!(settings.ping_interval, Duration::ZERO);
        assert_eq!(settings.origins, Origins::Any);
        assert_eq!(settings.ws_drain, Duration::from_secs(10));
        assert_eq!(settings.complaints(), []);
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let text = "max_message = '0B'\nmax_frame = '5GiB'\nping_timeout = '0s'";
        let settings: Settings = toml::from_str(text).unwrap();
        let keys: Vec<_> = settings.complaints().iter().map(|(key, _)| *key).collect();
        assert_eq!(keys, ["max_message", "max_frame", "ping_timeout"]);
        assert!(toml::from_str::<Settings>("origins = 'some'").is_err());
        assert!(toml::from_str::<Settings>("origins = ['example.com']").is_err());
    }
}
