//! The configuration: layers of TOML files, environment and flags, laid over each other.
//!
//! From the lowest: built-in defaults, `config/config.default.toml`, `config/config.<env>.toml`
//! (for the environment `local`: `config/config.local.toml`), variables `HATCHERY__SECTION__KEY`,
//! flags. Tables merge, arrays and all else replace. Every value knows the place that it comes
//! from, and whatever is wrong says so: file, line, column, key and what was probably meant.
//!
//! The master loads it; its children get the merged tree as JSON ([`Config::to_json`],
//! [`Config::from_json`]) and read the same types from it.

mod de;
mod error;
mod layers;
mod place;
pub(crate) mod suggest;
mod tree;

use std::path::PathBuf;

use hatchery_master::settings::{Cluster, Listen, Settings};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

pub use error::{ConfigError, ConfigErrorCode, ConfigProblem};
pub use layers::{Override, Sources};
pub use place::Place;

use self::suggest::did_you_mean;
use self::tree::{Node, Value, join};
use crate::serve::Limits;

/// The effective configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Always a table.
    root: Node,
    env: String,
    /// Relative to the base directory.
    files: Vec<PathBuf>,
}

impl Config {
    /// The tree that [`to_json`](Self::to_json) wrote, for the environment `env`. Its values do
    /// not know their places.
    pub fn from_json(bytes: &[u8], env: &str) -> Result<Self, ConfigError> {
        let problem = |message: String| {
            let code = ConfigErrorCode::Syntax;
            ConfigError::one(ConfigProblem::new(
                code,
                Some(Place::effective()),
                "",
                message,
            ))
        };
        let json: Json = serde_json::from_slice(bytes).map_err(|e| problem(e.to_string()))?;
        if !json.is_object() {
            return Err(problem("not a JSON object".to_owned()));
        }
        Ok(Self {
            root: Node::from_json(json, &Place::effective()),
            env: env.to_owned(),
            files: Vec::new(),
        })
    }

    /// The whole tree as JSON. Nothing is masked: it is meant for our own children only.
    pub fn to_json(&self) -> Vec<u8> {
        self.root.to_json().to_string().into_bytes()
    }

    /// Lays a table over what is there: what a `load_config` has brought; `name` says whose.
    pub(crate) fn lay(&mut self, table: Json, name: &str) -> Result<(), ConfigError> {
        let place = Place::file(&name.into(), 0, 0);
        if !table.is_object() {
            let code = ConfigErrorCode::Syntax;
            let message = "must return a table".to_owned();
            return Err(ConfigError::one(ConfigProblem::new(
                code,
                Some(place),
                "",
                message,
            )));
        }
        self.root.merge(Node::from_json(table, &place));
        Ok(())
    }

    /// The environment's name.
    pub fn env(&self) -> &str {
        &self.env
    }

    /// The files that were there, relative to the base directory, lowest first. A mistyped name of
    /// an environment shows by what is missing here.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Reads a table (`"cluster"`, `"plugin.redis"`) into a type; one that is not there is as good
    /// as an empty one, or `None` for an `Option`.
    ///
    /// Keys that the type does not know are errors, whether or not it denies them, unless it takes
    /// any (`#[serde(flatten)]`, maps). The error holds everything that is wrong with the table.
    pub fn section<T: DeserializeOwned>(&self, name: &str) -> Result<T, ConfigError> {
        de::read(self.root.get(name), name).map_err(ConfigError::many)
    }

    /// [`section`](Self::section) of a table in which somebody else reads `keys`.
    pub(crate) fn section_without<T: DeserializeOwned>(
        &self,
        name: &str,
        keys: &[&str],
    ) -> Result<T, ConfigError> {
        let mut node = self.root.get(name).cloned();
        if let Some(Value::Table(table)) = node.as_mut().map(|node| &mut node.value) {
            table.retain(|key, _| !keys.contains(&key.as_str()));
        }
        de::read(node.as_ref(), name).map_err(ConfigError::many)
    }

    /// Checks that nothing but `known` is at the top.
    pub fn check_sections(&self, known: &[&str]) -> Result<(), ConfigError> {
        let mut problems = Vec::new();
        for (key, node) in self.root.table().into_iter().flatten() {
            if known.contains(&key.as_str()) {
                continue;
            }
            let path = join("", key);
            let suggestion = did_you_mean(key, known.iter().copied());
            let what = if node.table().is_some() {
                "table"
            } else {
                "key"
            };
            problems.push(ConfigProblem::new(
                ConfigErrorCode::UnknownKey,
                Some(node.key_place.clone()),
                &path,
                format!("unknown {what} `{path}`{suggestion}"),
            ));
        }
        ConfigError::check(problems)
    }

    /// Where the value at a path of bare keys comes from; `None` when it is not there.
    pub fn place(&self, dotted: &str) -> Option<&Place> {
        self.root.get(dotted).map(|node| &node.place)
    }

    /// Every value that was set, by its dotted key, with the place that it comes from. Arrays are
    /// values as a whole, as are tables without keys. Nothing is masked.
    pub fn provenance(&self) -> impl Iterator<Item = (String, Json, &Place)> {
        let mut leaves = Vec::new();
        self.root.leaves("", &mut leaves);
        leaves
            .into_iter()
            .map(|(key, node)| (key, node.to_json(), &node.place))
    }
}

/// The master's settings from the tables `[cluster]` and `[listen]`, checked.
pub fn settings(config: &Config) -> Result<Settings, ConfigError> {
    let cluster = config.section::<Cluster>("cluster");
    let listen = config.section::<Listen>("listen");
    let (cluster, listen) = match (cluster, listen) {
        (Ok(cluster), Ok(listen)) => (cluster, listen),
        (cluster, listen) => {
            let errors = cluster.err().into_iter().chain(listen.err());
            let problems = errors.flat_map(ConfigError::into_problems).collect();
            return Err(ConfigError::many(problems));
        }
    };
    let settings = Settings { cluster, listen };
    let problems = settings.validate().into_iter().map(|problem| {
        // One of two keys that disagree may be a default, which has no place.
        let place = config.place(problem.key);
        let place = place.or_else(|| config.place(problem.other?));
        let code = ConfigErrorCode::InvalidValue;
        ConfigProblem::new(code, place.cloned(), problem.key, problem.message)
    });
    ConfigError::check(problems.collect())?;
    Ok(settings)
}

/// The `[http]` table, checked.
pub(crate) fn limits(config: &Config) -> Result<Limits, ConfigError> {
    let limits = config.section::<Limits>("http")?;
    let complaints = limits.validate().err().unwrap_or_default();
    let problems = complaints.into_iter().map(|(key, message)| {
        let key = format!("http.{key}");
        let place = config.place(&key).cloned();
        ConfigProblem::new(ConfigErrorCode::InvalidValue, place, &key, message)
    });
    ConfigError::check(problems.collect())?;
    Ok(limits)
}

#[cfg(test)]
mod tests;
