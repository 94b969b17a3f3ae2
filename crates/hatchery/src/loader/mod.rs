//! What an application is made of: load units, what they register, and the order of both.
//!
//! - [`unit`]: plugins, frameworks and the application: what each brings.
//! - [`registry`]: what annotated items tell of themselves.
//! - `load`: one process's start.
//! - `load_order`: which unit an item belongs to, and the order of all.

pub(crate) mod load;
pub(crate) mod load_order;
pub mod registry;
mod unit;

pub use unit::{Framework, Plugin, Unit, UnitKind};
