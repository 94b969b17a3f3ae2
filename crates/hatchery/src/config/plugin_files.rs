//! `config/plugin.toml` and its variants: which plugins are there, and where.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value as Json;

use super::de;
use super::layers::{Loader, layer_names};
use super::tree::{Node, Table, Value};
use super::{ConfigError, ConfigErrorCode, ConfigProblem, Place, Sources};

/// What the plugin files say, by the plugins' names.
#[derive(Clone, Debug, Default)]
pub(crate) struct PluginConfig {
    pub(crate) plugins: BTreeMap<String, PluginEntry>,
    /// The files that were there, relative to the base directory.
    pub(crate) files: Vec<PathBuf>,
}

/// What they say of one plugin. What they do not say is as in code.
#[derive(Clone, Debug)]
pub(crate) struct PluginEntry {
    /// Where it is named.
    pub(crate) place: Place,
    pub(crate) enable: Option<bool>,
    /// Where it is switched on or off.
    pub(crate) enable_place: Option<Place>,
    pub(crate) env: Option<Vec<String>>,
    pub(crate) dependencies: Option<Vec<String>>,
    pub(crate) optional_dependencies: Option<Vec<String>>,
}

/// The keys of a plugin's table.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Keys {
    enable: Option<bool>,
    env: Option<Vec<String>>,
    dependencies: Option<Vec<String>>,
    optional_dependencies: Option<Vec<String>>,
}

impl PluginConfig {
    /// Reads `config/plugin.toml`, then `plugin.<scope>.toml`, `plugin.<env>.toml` and
    /// `plugin.<scope>_<env>.toml`. `audit = false` is short for `audit = { enable = false }`.
    pub(crate) fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let (env, scope) = sources.names()?;
        let mut loader = Loader::new();
        let mut files = Vec::new();
        for name in layer_names(&env, scope.as_deref()) {
            let file = match name.as_str() {
                "default" => "config/plugin.toml".to_owned(),
                name => format!("config/plugin.{name}.toml"),
            };
            match sources.read(&file) {
                Ok(Some(text)) => {
                    if let Some(node) = loader.read(&file, &text) {
                        loader.root.merge(spelled_out(node));
                    }
                    files.push(PathBuf::from(file));
                }
                Ok(None) => {}
                Err(problem) => loader.problems.push(problem),
            }
        }
        let mut plugins = BTreeMap::new();
        for (name, node) in loader.root.table().into_iter().flatten() {
            if node.table().is_none() {
                let code = ConfigErrorCode::InvalidValue;
                let message = "expected `true`, `false` or a table";
                let place = Some(node.place.clone());
                let problem = ConfigProblem::new(code, place, name, message);
                loader.problems.push(problem);
                continue;
            }
            match de::read::<Keys>(Some(node), name) {
                Ok(keys) => drop(plugins.insert(name.clone(), PluginEntry::new(keys, node))),
                Err(problems) => loader.problems.extend(problems),
            }
        }
        ConfigError::check(loader.problems)?;
        Ok(Self { plugins, files })
    }
}

impl PluginEntry {
    fn new(keys: Keys, node: &Node) -> Self {
        Self {
            place: node.key_place.clone(),
            enable: keys.enable,
            enable_place: node.get("enable").map(|node| node.key_place.clone()),
            env: keys.env,
            dependencies: keys.dependencies,
            optional_dependencies: keys.optional_dependencies,
        }
    }
}

/// Turns `audit = false` into a table, so that files merge whichever way they are written.
fn spelled_out(mut node: Node) -> Node {
    if let Value::Table(table) = &mut node.value {
        for plugin in table.values_mut() {
            if let Value::Leaf(Json::Bool(_)) = plugin.value {
                let key_place = plugin.key_place.clone();
                let place = plugin.place.clone();
                let switch = std::mem::replace(plugin, Node::empty_table(&place));
                plugin.value = Value::Table(Table::from([("enable".to_owned(), switch)]));
                plugin.key_place = key_place;
            }
        }
    }
    node
}
