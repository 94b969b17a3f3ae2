//! The configuration as a process has it, in files for people: `run/application_config.json` and
//! `run/agent_config.json` with secrets masked, and beside each a `…_config_meta.json` with the
//! place of every value.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::mask::Mask;
use super::tree::{Node, Value};
use super::{Config, Place};
use crate::complain::complain;
use crate::run_file;

/// The table `[dump]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct DumpSettings {
    /// More keys whose values nobody is to see.
    ignore: Vec<String>,
}

/// Writes what this process has; `name` is `application` or `agent`. A file that cannot be written
/// is complained of, and nothing else.
pub(crate) fn write(run_dir: &Path, name: &str, config: &Config) {
    let effective = json!({
        "env": config.env(),
        "scope": config.scope(),
        "plugins": config.plugins(),
        "config": mask(config).value("", &config.root.to_json()),
    });
    let meta = places(&config.root);
    for (file, json) in [
        (format!("{name}_config.json"), &effective),
        (format!("{name}_config_meta.json"), &meta),
    ] {
        if let Err(error) = run_file::replace(run_dir, &file, format!("{json:#}\n").as_bytes()) {
            let path = run_dir.join(file);
            complain(format_args!("{}: {error}", path.display()));
        }
    }
}

/// Every value that was set, masked, by its dotted key, with its place.
pub(crate) fn masked(config: &Config) -> Vec<(String, Json, &Place)> {
    let mask = mask(config);
    config
        .provenance()
        .map(|(key, value, place)| {
            let value = mask.at(&key, &value);
            (key, value, place)
        })
        .collect()
}

fn mask(config: &Config) -> Mask {
    // What is wrong with the table is told where all tables are checked.
    let settings: DumpSettings = config.section("dump").unwrap_or_default();
    Mask::new(&settings.ignore)
}

/// The tree with places for values. What was replaced as a whole has one.
fn places(node: &Node) -> Json {
    match &node.value {
        Value::Table(table) if !table.is_empty() => table
            .iter()
            .map(|(key, node)| (key.clone(), places(node)))
            .collect(),
        Value::Table(_) if node.place == Place::effective() => json!({}),
        _ => node.place.to_string().into(),
    }
}
