//! Parts of tables and arrays, for who reads them piece by piece.

use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::tree::{Node, Value};
use super::{Config, ConfigError, Place, de};

impl Config {
    /// [`section`](Self::section) of a table in which somebody else reads `keys`.
    pub(crate) fn section_without<T: DeserializeOwned>(
        &self,
        name: &str,
        keys: &[&str],
    ) -> Result<T, ConfigError> {
        self.section_if(name, |key| !keys.contains(&key))
    }

    /// [`section`](Self::section) of a table of which only `keys` are to be read.
    pub(crate) fn section_with<T: DeserializeOwned>(
        &self,
        name: &str,
        keys: &[&str],
    ) -> Result<T, ConfigError> {
        self.section_if(name, |key| keys.contains(&key))
    }

    fn section_if<T: DeserializeOwned>(
        &self,
        name: &str,
        is_read: impl Fn(&str) -> bool,
    ) -> Result<T, ConfigError> {
        let mut node = self.root.get(name).cloned();
        if let Some(Value::Table(table)) = node.as_mut().map(|node| &mut node.value) {
            table.retain(|key, _| is_read(key));
        }
        de::read(node.as_ref(), name).map_err(ConfigError::many)
    }

    /// One item of an array, as [`section`](Self::section) reads a table.
    pub(crate) fn item<T: DeserializeOwned>(
        &self,
        name: &str,
        index: usize,
    ) -> Result<T, ConfigError> {
        let node = self.root.get(name).and_then(|node| match &node.value {
            Value::Array(items) => items.get(index),
            _ => Some(node),
        });
        de::read(node, &format!("{name}[{index}]")).map_err(ConfigError::many)
    }

    /// The keys of a table, each with its place.
    pub(crate) fn keys(&self, name: &str) -> impl Iterator<Item = (&str, &Place)> {
        let table = self.root.get(name).and_then(Node::table);
        let keys = table.into_iter().flatten();
        keys.map(|(key, node)| (key.as_str(), &node.key_place))
    }

    /// The items of an array, each with its place. What is no array is an array of one.
    pub(crate) fn items(&self, name: &str) -> impl Iterator<Item = (Json, &Place)> {
        let node = self.root.get(name);
        let items = node.map(|node| match &node.value {
            Value::Array(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        });
        let items = items.unwrap_or_default().iter();
        items.map(|item| (item.to_json(), &item.place))
    }
}
