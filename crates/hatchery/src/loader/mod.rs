//! What an application is made of: load units, what they register, and the order of both.
//!
//! - `unit`: plugins, frameworks and the application: what each brings.
//! - [`registry`]: what annotated items tell of themselves.
//! - [`custom`]: directories of an application's own kinds.
//! - [`extend`]: methods that units add to `Context` and `Application`.
//! - `load`: one process's start.
//! - `load_order`: which unit an item belongs to, and the order of all.
//! - `units`, `plugins`: which of the linked units are there, and in which order.

pub mod custom;
pub mod extend;
pub(crate) mod load;
pub(crate) mod load_order;
pub(crate) mod plugins;
pub mod registry;
mod unit;
pub(crate) mod units;

use std::sync::OnceLock;

use self::custom::Made;
use self::extend::Extensions;
pub use custom::{Inject, Load, NotLoaded, Source};
pub use unit::{Framework, Plugin, Unit, UnitKind};

/// What the loader leaves in an application.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    extensions: OnceLock<Extensions>,
    made: Made,
}

impl Parts {
    /// Nothing before they are loaded.
    pub(crate) fn extensions(&self) -> Option<&Extensions> {
        self.extensions.get()
    }

    /// To be called once, by the start.
    pub(crate) fn set_extensions(&self, extensions: Extensions) {
        // A second start of one application would find the same ones.
        let _ = self.extensions.set(extensions);
    }

    pub(crate) fn made(&self) -> &Made {
        &self.made
    }
}
