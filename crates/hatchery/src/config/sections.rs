//! Which tables there are: Hatchery's own, those that load units declare, and no others.

use serde::de::DeserializeOwned;

use super::dump::DumpSettings;
use super::suggest::did_you_mean;
use super::tree::{Node, join};
use super::{Config, ConfigError, ConfigErrorCode, ConfigProblem, limits};
use crate::lifecycle::BootSettings;
use crate::logging::LoggerSettings;
use crate::router::RouterSettings;
use crate::routes::ViewSettings;
use crate::websocket;

/// A table that somebody reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Section {
    /// Dotted, of bare keys: `http`, `plugin.redis`.
    pub(crate) name: &'static str,
    pub(crate) check: fn(&Config, &str) -> Result<(), ConfigError>,
}

/// The tables of Hatchery itself. A part that has one adds a line.
pub(crate) const OWN: &[Section] = &[
    // Checked together, by what the master makes of them.
    Section::unchecked("cluster"),
    Section::unchecked("listen"),
    Section::checked("http", |config, _| limits(config).map(drop)),
    Section::read::<BootSettings>("boot"),
    Section::read::<LoggerSettings>("logger"),
    Section::unchecked("middleware"),
    Section::read::<RouterSettings>("router"),
    Section::unchecked("routes"),
    Section::read::<ViewSettings>("view"),
    Section::checked("websocket", |config, _| {
        websocket::settings::read(config).map(drop)
    }),
    Section::unchecked("custom_loader"),
    Section::read::<DumpSettings>("dump"),
    #[cfg(feature = "session")]
    Section::checked("session", crate::session::check),
    // Checked with `session`.
    #[cfg(feature = "session")]
    Section::unchecked("keys"),
];

impl Section {
    const fn checked(
        name: &'static str,
        check: fn(&Config, &str) -> Result<(), ConfigError>,
    ) -> Self {
        Self { name, check }
    }

    /// One that is read as a `T`.
    pub(crate) const fn read<T: DeserializeOwned>(name: &'static str) -> Self {
        Self::checked(name, |config, name| config.section::<T>(name).map(drop))
    }

    /// One whose reader checks it.
    const fn unchecked(name: &'static str) -> Self {
        Self::checked(name, |_, _| Ok(()))
    }

    /// The same table, of a unit that is not there: it may be written, and nobody reads it.
    pub(crate) const fn of_absent(self) -> Self {
        Self::unchecked(self.name)
    }
}

/// Checks that nothing else is in the configuration, and then all that is there. The error holds
/// everything.
pub(crate) fn check(config: &Config, declared: &[Section]) -> Result<(), ConfigError> {
    let mut problems = Vec::new();
    let all = || OWN.iter().chain(declared);
    let names: Vec<&str> = all().map(|section| section.name).collect();
    find_unknown(&config.root, "", &names, &mut problems);
    for section in all() {
        if let Err(error) = (section.check)(config, section.name) {
            problems.extend(error.into_problems());
        }
    }
    ConfigError::check(problems)
}

/// Finds what is below `path` and in none of `names`: all of them beginning with `path` and a dot.
fn find_unknown(node: &Node, path: &str, names: &[&str], problems: &mut Vec<ConfigProblem>) {
    for (key, node) in node.table().into_iter().flatten() {
        let below = join(path, key);
        if names.contains(&below.as_str()) {
            continue;
        }
        let inside = |name: &&&str| {
            name.strip_prefix(below.as_str())
                .is_some_and(|rest| rest.starts_with('.'))
        };
        let inner: Vec<&str> = names.iter().filter(inside).copied().collect();
        if !inner.is_empty() && node.table().is_some() {
            find_unknown(node, &below, &inner, problems);
            continue;
        }
        let suggestion = match needs_feature(&below) {
            Some(feature) => format!(", which needs the feature `{feature}` of Hatchery"),
            None => did_you_mean(&below, names.iter().copied()),
        };
        let what = if node.table().is_some() {
            "table"
        } else {
            "key"
        };
        problems.push(ConfigProblem::new(
            ConfigErrorCode::UnknownKey,
            Some(node.key_place.clone()),
            &below,
            format!("unknown {what} `{below}`{suggestion}"),
        ));
    }
}

/// The feature of this crate without which nobody reads a table or key.
fn needs_feature(name: &str) -> Option<&'static str> {
    let without_sessions = !cfg!(feature = "session");
    (without_sessions && matches!(name, "session" | "keys")).then_some("session")
}

#[cfg(test)]
mod tests {
    use super::super::Sources;
    use super::*;
    use crate::loader::{Unit, UnitKind};

    fn one(text: &str) -> Config {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("config")).unwrap();
        std::fs::write(dir.path().join("config/config.default.toml"), text).unwrap();
        Config::load(&Sources {
            base_dir: dir.path().to_owned(),
            ..Sources::default()
        })
        .unwrap()
    }

    fn declared() -> Vec<Section> {
        let unit = Unit::new(UnitKind::Application, "shop", crate::package!());
        let unit = unit
            .section::<Option<String>>("title")
            .section::<std::collections::BTreeMap<String, u16>>("plugin.redis");
        unit.sections
    }

    #[test]
    fn unknown_tables_and_wrong_ones_are_found_together() {
        let config = one(
            "titel = 'x'\n[clutser]\nworkers = 1\n[listen]\n[[rotues]]\na = 1\n\
             [plugin.redsi]\nport = 1\n[plugin.redis]\nport = 70000\n[http]\nheader_timeout = 5",
        );
        let error = check(&config, &declared()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "config/config.default.toml:1:1: unknown key `titel`, did you mean `title`?\n\
             config/config.default.toml:2:2: unknown table `clutser`, did you mean `cluster`?\n\
             config/config.default.toml:5:3: unknown key `rotues`, did you mean `routes`?\n\
             config/config.default.toml:7:9: unknown table `plugin.redsi`, did you mean \
             `plugin.redis`?\n\
             config/config.default.toml:10:8: plugin.redis.port: expected u16, found `70000`\n\
             config/config.default.toml:12:18: http.header_timeout: a number without a unit \
             is not a duration, write \"5s\" or \"5ms\""
        );
    }

    #[cfg(not(feature = "session"))]
    #[test]
    fn tables_that_need_a_feature_say_so() {
        let error = check(&one("keys = []\n[session]"), &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "config/config.default.toml:1:1: unknown key `keys`, which needs the feature `session` of \
             Hatchery\n\
             config/config.default.toml:2:2: unknown table `session`, which needs the feature `session` \
             of Hatchery"
        );
    }

    #[test]
    fn the_tables_of_what_is_not_there_may_be_written() {
        let config = one("title = 5\n[plugin.redis]\nport = 'any'");
        let declared = declared();
        assert!(check(&config, &declared).is_err());
        let absent: Vec<_> = declared.into_iter().map(Section::of_absent).collect();
        check(&config, &absent).unwrap();
    }
}
