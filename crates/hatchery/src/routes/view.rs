//! `template`: what shows what a handler returns.

#[cfg(feature = "templates")]
mod engine;

use std::path::PathBuf;

use serde::Deserialize;

#[cfg(feature = "templates")]
pub(super) use engine::{View, Views};

/// The table `[view]`.
#[derive(Deserialize)]
#[serde(default)]
pub(crate) struct ViewSettings {
    /// Where the templates are; relative to the base directory.
    root: PathBuf,
}

impl Default for ViewSettings {
    fn default() -> Self {
        Self {
            root: PathBuf::from("view"),
        }
    }
}

/// The application's templates. There are none in this build.
#[cfg(not(feature = "templates"))]
pub(super) struct Views;

/// A template. There is none in this build.
#[cfg(not(feature = "templates"))]
pub(super) enum View {}

#[cfg(not(feature = "templates"))]
impl Views {
    pub(super) fn new(_: &crate::Application) -> Self {
        Self
    }

    #[expect(clippy::unused_self, reason = "as where there are templates")]
    pub(super) fn view(&self, _: &str) -> Result<View, String> {
        Err(
            "`template` needs the feature `templates` of Hatchery: in Cargo.toml, add it to the \
             `features` of `hatchery`"
                .to_owned(),
        )
    }
}

#[cfg(not(feature = "templates"))]
impl View {
    pub(super) fn show(&self, _: super::Reply) -> axum::response::Response {
        match *self {}
    }
}
