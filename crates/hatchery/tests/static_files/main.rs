//! `type = "static"` of `[[routes]]`, asked through a whole application.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod caching;
mod conditional;
mod corpus;
mod files;
mod mistakes;
mod support;
