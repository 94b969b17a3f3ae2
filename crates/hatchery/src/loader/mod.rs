//! What an application is made of: load units, what they register, and the order of both.
//!
//! - [`unit`]: plugins, frameworks and the application: what each brings.
//! - [`registry`]: what annotated items tell of themselves.

pub mod registry;
mod unit;

pub use unit::{Framework, Plugin, Unit, UnitKind};
