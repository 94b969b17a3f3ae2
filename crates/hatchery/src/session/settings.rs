//! The table `[session]`, and the list `keys`.

use std::fmt;
use std::time::Duration;

use hatchery_master::settings::units;
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use serde_json::Value as Json;

use super::seal::KEY_BYTES_MIN;
use crate::config::{Config, ConfigError, ConfigErrorCode, ConfigProblem};

/// The `[session]` table.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct SessionSettings {
    /// The cookie's name.
    pub(super) name: String,
    pub(super) max_age: MaxAge,
    /// Unchanged sessions are written again once half of their `max_age` is over.
    pub(super) renew: bool,
    /// Sessions that a request has asked for are written with each response.
    pub(super) rolling: bool,
    pub(super) http_only: bool,
    pub(super) secure: Secure,
    pub(super) same_site: SameSite,
}

/// How long a session lasts after it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MaxAge {
    /// As long as the browser's own session.
    Session,
    Lasts(Duration),
}

/// Whether browsers send the cookie by HTTPS only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Secure {
    /// When it was set by HTTPS.
    Auto,
    Always,
    Never,
}

/// Whether browsers send the cookie with requests that other sites cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum SameSite {
    Strict,
    Lax,
    None,
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self {
            name: "HATCHERY_SESS".to_owned(),
            max_age: MaxAge::Lasts(Duration::from_hours(24)),
            renew: false,
            rolling: false,
            http_only: true,
            secure: Secure::Auto,
            same_site: SameSite::Lax,
        }
    }
}

impl SessionSettings {
    /// What serde cannot see: keys of the table, and what is wrong with them.
    fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        let mut add = |key, message: &str| problems.push((key, message.to_owned()));
        let in_name = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if self.name.is_empty() || !self.name.bytes().all(in_name) {
            add(
                "name",
                "a cookie's name has letters, digits, `_`, `-` and `.`",
            );
        }
        if self.max_age == MaxAge::Lasts(Duration::ZERO) {
            let text =
                "it would end at once; for as long as the browser is open, write \"session\"";
            add("max_age", text);
        }
        if self.same_site == SameSite::None && self.secure == Secure::Never {
            let text = "browsers take \"none\" only with `secure`: leave out `secure = false`";
            add("same_site", text);
        }
        problems
    }
}

/// Checks `[session]` and `keys`. Where sessions are switched on, there must be keys, unless this is
/// somebody's own machine.
pub(crate) fn check(config: &Config, name: &str) -> Result<(), ConfigError> {
    let settings: SessionSettings = config.section(name)?;
    let mut problems = Vec::new();
    let mut add = |code, place: &str, key: &str, message: String| {
        let place = config.place(place).cloned();
        problems.push(ConfigProblem::new(code, place, key, message));
    };
    for (key, message) in settings.problems() {
        let key = format!("{name}.{key}");
        add(ConfigErrorCode::InvalidValue, &key, &key, message);
    }
    match keys(config) {
        Err((key, message)) => add(ConfigErrorCode::InvalidValue, "keys", &key, message),
        Ok(keys) if keys.is_empty() && is_on(config) && !is_development(config.env()) => {
            add(
                ConfigErrorCode::MissingKey,
                name,
                "keys",
                missing(config.env()),
            );
        }
        Ok(_) => {}
    }
    ConfigError::check(problems)
}

/// Whether there are sessions.
pub(super) fn is_on(config: &Config) -> bool {
    config.place("session").is_some()
}

/// Whether a key that is no secret will do.
pub(super) fn is_development(env: &str) -> bool {
    matches!(env, "local" | "unittest")
}

/// What is to be done where there are no keys.
pub(super) fn missing(env: &str) -> String {
    format!(
        "missing, and sessions are encrypted with the first one; write `keys = [\"…\"]` above the \
         tables of config/config.{env}.toml, or set HATCHERY__KEYS='[\"…\"]', with at least \
         {KEY_BYTES_MIN} characters that nobody can guess (`openssl rand -base64 48`)"
    )
}

/// The application's keys, or the path of a wrong one and what is wrong. What is in them is in no
/// message.
pub(super) fn keys(config: &Config) -> Result<Vec<String>, (String, String)> {
    let wrong = |path: &str, message: String| Err((path.to_owned(), message));
    let list = match config.get::<Json>("keys") {
        Ok(Some(Json::Array(list))) => list,
        Ok(None) => return Ok(Vec::new()),
        Ok(Some(_)) | Err(_) => {
            let text =
                "expected a list of strings, as in [\"…\"]: the first one encrypts, all decrypt";
            return wrong("keys", text.to_owned());
        }
    };
    let mut keys = Vec::new();
    for (index, key) in list.into_iter().enumerate() {
        let path = format!("keys[{index}]");
        match key {
            Json::String(key) if key.len() >= KEY_BYTES_MIN => keys.push(key),
            Json::String(key) => {
                let (has, least) = (key.len(), KEY_BYTES_MIN);
                let text = format!("{has} bytes are too few: a key has at least {least}");
                return wrong(&path, text);
            }
            _ => return wrong(&path, "expected a string".to_owned()),
        }
    }
    Ok(keys)
}

impl<'de> Deserialize<'de> for MaxAge {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = MaxAge;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration with its unit, as in \"24h\", or \"session\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<MaxAge, E> {
                match text {
                    "session" => Ok(MaxAge::Session),
                    _ => units::parse_duration(text)
                        .map(MaxAge::Lasts)
                        .map_err(E::custom),
                }
            }
        }

        from.deserialize_any(Text)
    }
}

impl<'de> Deserialize<'de> for Secure {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct YesNo;

        impl Visitor<'_> for YesNo {
            type Value = Secure;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`true`, `false` or \"auto\"")
            }

            fn visit_bool<E: Error>(self, yes: bool) -> Result<Secure, E> {
                Ok(if yes { Secure::Always } else { Secure::Never })
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Secure, E> {
                match text {
                    "auto" => Ok(Secure::Auto),
                    _ => Err(E::custom("expected `true`, `false` or \"auto\"")),
                }
            }
        }

        from.deserialize_any(YesNo)
    }
}
