//! Changes by code, before the configuration is final.

use std::panic::Location;

use serde::Serialize;
use serde_json::Value as Json;

use super::tree::Node;
use super::{Config, ConfigError, ConfigErrorCode, ConfigProblem, Place};

impl Config {
    /// Sets the value at a path of bare keys (`"shop.currency"`), above all layers; tables merge,
    /// all else is replaced. Its place is that of the call. Meant for
    /// [`Boot::config_will_load`](crate::Boot::config_will_load).
    ///
    /// ```
    /// use hatchery::config::Config;
    ///
    /// # fn main() -> Result<(), hatchery::BoxError> {
    /// let mut config = Config::from_json(b"{}", "local")?;
    /// config.set("shop.currency", "EUR")?;
    /// assert_eq!(config.get::<String>("shop.currency")?.as_deref(), Some("EUR"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// A value that is not JSON (a map whose keys are no strings), or no name of a key.
    #[track_caller]
    pub fn set(&mut self, key: &str, value: impl Serialize) -> Result<(), ConfigError> {
        let place = Place::code(Location::caller());
        let problem = |message: String| {
            let code = ConfigErrorCode::InvalidValue;
            let place = Some(place.clone());
            ConfigError::one(ConfigProblem::new(code, place, key, message))
        };
        if key.split('.').any(str::is_empty) {
            return Err(problem(format!(
                "{key:?} is not the name of a key, write section.key"
            )));
        }
        let json = serde_json::to_value(value).map_err(|error| problem(error.to_string()))?;
        let node = Node::from_json(json, &place);
        self.root.merge(node.under(key.split('.')));
        Ok(())
    }

    /// Lays a table over the files, below variables and flags. `hook` is the name that problems
    /// show for it: `load_config of plugin audit`.
    pub(crate) fn lay(&mut self, table: Json, hook: &str) -> Result<(), ConfigError> {
        let place = Place::loaded(hook);
        if !table.is_object() {
            let code = ConfigErrorCode::InvalidValue;
            let message = "expected a table (a JSON object)";
            let problem = ConfigProblem::new(code, Some(place), "", message);
            return Err(ConfigError::one(problem));
        }
        let above = self.root.only(Place::is_above_files);
        self.root.merge(Node::from_json(table, &place));
        if let Some(above) = above {
            self.root.merge(above);
        }
        Ok(())
    }
}
