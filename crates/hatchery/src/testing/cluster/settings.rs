//! The configuration on disk of an application under test.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use toml::{Table, Value};

/// Leaves of the configuration by their dotted keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings(BTreeMap<String, Value>);

impl Settings {
    pub(super) fn set(&mut self, key: &str, value: impl Into<serde_json::Value>) {
        let value = Value::try_from(value.into());
        let value = value.unwrap_or_else(|error| panic!("{key}: not a value of TOML: {error}"));
        self.lay(key.to_owned(), value);
    }

    pub(super) fn unset(&mut self, key: &str) {
        let below = format!("{key}.");
        self.0
            .retain(|known, _| known != key && !known.starts_with(&below));
    }

    /// Lays the tables of a text over what is there.
    #[track_caller]
    pub(super) fn merge(&mut self, text: &str) {
        let table: Table = text
            .parse()
            .unwrap_or_else(|error| panic!("not TOML: {error}"));
        for (key, value) in table {
            self.lay(quoted(&key), value);
        }
    }

    fn lay(&mut self, key: String, value: Value) {
        match value {
            Value::Table(table) if !table.is_empty() => {
                self.0.remove(&key);
                for (name, value) in table {
                    self.lay(format!("{key}.{}", quoted(&name)), value);
                }
            }
            value => {
                self.unset(&key);
                self.0.insert(key, value);
            }
        }
    }

    /// Writes them over what `original` holds, if anything.
    pub(super) fn write(&self, path: &Path, original: Option<&str>) {
        let mut all = Self::default();
        if let Some(original) = original {
            all.merge(original);
        }
        for (key, value) in &self.0 {
            all.lay(key.clone(), value.clone());
        }
        let lines = all.0.iter();
        let lines: Vec<String> = lines
            .map(|(key, value)| format!("{key} = {value}"))
            .collect();
        fs::write(path, lines.join("\n")).expect("the directory is writable");
    }
}

/// A key as TOML wants it.
fn quoted(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !key.is_empty() && key.chars().all(bare) {
        key.to_owned()
    } else {
        Value::from(key).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_lie_over_the_file_that_is_there() {
        let mut settings = Settings::default();
        settings.set("cluster.workers", 2);
        settings.merge("[blog]\ntitle = \"T\"\n[[routes]]\nroute = \"/x\"\n");
        settings.set("gone.x", 1);
        settings.unset("gone");
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.unittest.toml");
        settings.write(&path, Some("[blog]\ntitle = \"O\"\n\"page size\" = 9\n"));
        let written = fs::read_to_string(path).unwrap();
        let expected = "blog.\"page size\" = 9\nblog.title = \"T\"\ncluster.workers = 2\n\
                        routes = [{ route = \"/x\" }]";
        assert_eq!(written, expected);
    }
}
