//! Placeholder

#[allow(dead_code, unused_imports)] // Until the verbs are wired to it.
mod cli;
pub mod config;
