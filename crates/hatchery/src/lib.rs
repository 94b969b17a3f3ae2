//! Placeholder

pub mod config;
