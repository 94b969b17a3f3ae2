//! One table read over another.

use serde::de::DeserializeOwned;

use super::{Config, ConfigError, de};

impl Config {
    /// Reads the table `upper` laid over the table `lower`, as a layer would be. Either may be
    /// missing.
    pub(crate) fn section_over<T: DeserializeOwned>(
        &self,
        lower: &str,
        upper: &str,
    ) -> Result<T, ConfigError> {
        let below = self.root.get(lower).cloned();
        let above = self.root.get(upper).cloned();
        let merged = match (below, above) {
            (Some(mut below), Some(above)) => {
                below.merge(above);
                Some(below)
            }
            (below, above) => above.or(below),
        };
        de::read(merged.as_ref(), upper).map_err(ConfigError::many)
    }
}
