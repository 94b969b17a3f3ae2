//! The `[blog]` table of the configuration.

use std::path::PathBuf;

use serde::Deserialize;

/// The `[blog]` table. `config/config.default.toml` explains the keys.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub(crate) struct Blog {
    pub(crate) title: String,
    pub(crate) page_size: usize,
    pub(crate) directory: PathBuf,
    pub(crate) admin_token: String,
}

impl Default for Blog {
    fn default() -> Self {
        Self {
            title: "A blog".to_owned(),
            page_size: 10,
            directory: PathBuf::new(),
            admin_token: String::new(),
        }
    }
}
