//! The configuration: layers of TOML files, environment and flags, laid over each other.
//!
//! There are four layers of files: `default`, the scope's (`--scope`, `HATCHERY_SCOPE`; usually
//! none), the environment's, and `<scope>_<env>`. In each of them come first the plugins, in the
//! order of their dependencies, then the frameworks, the lowest first, then the application's
//! `config/config.<layer>.toml`. So what a plugin brings for `prod` beats the application's
//! `config.default.toml`, and the application's `config.prod.toml` beats it. Above the files are
//! variables `HATCHERY__SECTION__KEY`, and above them flags.
//!
//! Tables merge, arrays and all else replace. Every value knows the place that it comes from, and
//! whatever is wrong says so: file, line, column, key and what was probably meant.
//!
//! The master loads it; its children get the merged tree as JSON with the places beside it
//! ([`Config::to_json`], [`Config::from_json`]) and read the same types from it.

mod change;
mod de;
pub(crate) mod dump;
mod error;
mod handed;
mod items;
mod layers;
mod mask;
mod over;
mod place;
pub(crate) mod plugin_files;
pub(crate) mod sections;
pub(crate) mod suggest;
mod tree;

use std::fmt;
use std::path::{Path, PathBuf};

use hatchery_master::settings::{Cluster, Listen, Settings};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

pub use error::{ConfigError, ConfigErrorCode, ConfigProblem};
pub use layers::{Override, Sources, UnitLayers};
pub use place::Place;

use self::tree::Node;
use crate::serve::Limits;

/// The effective configuration.
#[derive(Clone)]
pub struct Config {
    /// Always a table.
    root: Node,
    env: String,
    scope: Option<String>,
    /// Empty in children: they run in it.
    base_dir: PathBuf,
    /// Relative to the base directory.
    files: Vec<PathBuf>,
    /// The names of the plugins that are there, in load order.
    plugins: Vec<String>,
}

impl Config {
    /// The tree that [`to_json`](Self::to_json) wrote, for the environment `env`.
    pub fn from_json(bytes: &[u8], env: &str) -> Result<Self, ConfigError> {
        handed::from_json(bytes, env)
    }

    /// The whole tree as JSON, and in a key of its own the places of all values. Nothing is masked:
    /// it is meant for our own children only.
    pub fn to_json(&self) -> Vec<u8> {
        handed::to_json(self)
    }

    /// The environment's name.
    pub fn env(&self) -> &str {
        &self.env
    }

    /// The scope's name: a second dimension beside the environment, say a place or a customer.
    pub fn scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }

    /// The directory that `config/` is in; empty where it is the working directory.
    pub fn base_dir(&self) -> &Path {
        &self.base_dir
    }

    /// The names of the plugins that are enabled here, in load order.
    pub fn plugins(&self) -> &[String] {
        &self.plugins
    }

    /// With the plugins that are enabled, and the files that say so.
    pub(crate) fn with_plugins(mut self, plugins: Vec<String>, files: Vec<PathBuf>) -> Self {
        self.plugins = plugins;
        self.files.extend(files);
        self
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

    /// The value at a path of bare keys (`"shop.currency"`), or `None` when it is not there.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, ConfigError> {
        self.section(key)
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

/// Without its values: there are secrets among them.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("env", &self.env)
            .field("scope", &self.scope)
            .field("files", &self.files)
            .finish_non_exhaustive()
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
mod semantics;
#[cfg(test)]
mod tests;
