//! What the master hands to its children: the tree, and beside it where each value comes from.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::place::Origins;
use super::tree::Node;
use super::{Config, ConfigError, ConfigErrorCode, ConfigProblem, Place};

/// The key of [`Beside`] at the top of the tree. No file can have it: it would be an unknown table.
const RESERVED: &str = "$hatchery";

/// What goes with the tree.
#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
struct Beside {
    scope: Option<String>,
    plugins: Vec<String>,
    files: Vec<PathBuf>,
    origins: Vec<(String, String)>,
    /// Of each value, as [`Node::walk`] meets them: its place, then that of its key.
    places: Vec<[[u32; 3]; 2]>,
}

pub(super) fn to_json(config: &Config) -> Vec<u8> {
    let mut origins = Origins::default();
    let mut places = Vec::new();
    config.root.walk(&mut |node| {
        places.push([origins.number(&node.place), origins.number(&node.key_place)]);
    });
    let beside = Beside {
        scope: config.scope.clone(),
        plugins: config.plugins.clone(),
        files: config.files.clone(),
        origins: origins.words(),
        places,
    };
    let mut tree = config.root.to_json();
    if let (Json::Object(tree), Ok(beside)) = (&mut tree, serde_json::to_value(beside)) {
        tree.insert(RESERVED.to_owned(), beside);
    }
    tree.to_string().into_bytes()
}

pub(super) fn from_json(bytes: &[u8], env: &str) -> Result<Config, ConfigError> {
    let problem = |message: String| {
        let code = ConfigErrorCode::Syntax;
        let place = Some(Place::effective());
        ConfigError::one(ConfigProblem::new(code, place, "", message))
    };
    let json: Json = serde_json::from_slice(bytes).map_err(|e| problem(e.to_string()))?;
    let Json::Object(mut tree) = json else {
        return Err(problem("not a JSON object".to_owned()));
    };
    // A tree of somebody else's, without any of this, is as good.
    let beside = tree.remove(RESERVED);
    let beside = beside.and_then(|json| serde_json::from_value(json).ok());
    let beside: Beside = beside.unwrap_or_default();
    let mut root = Node::from_json(Json::Object(tree), &Place::effective());
    let origins = Origins::from_words(&beside.origins);
    let mut places = beside.places.iter();
    root.walk_mut(&mut |node| {
        if let Some([place, key_place]) = places.next() {
            node.place = origins.place(*place);
            node.key_place = origins.place(*key_place);
        }
    });
    Ok(Config {
        root,
        env: env.to_owned(),
        scope: beside.scope,
        base_dir: PathBuf::new(),
        plugins: beside.plugins,
        files: beside.files,
    })
}
