//! Placeholder

pub mod settings;
