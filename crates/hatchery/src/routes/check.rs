//! `validate` and `template`: what a route asks of what comes in, and what shows what goes out.

use axum::response::Response;
use serde_json::Value;

use super::{InputError, Reply};
use crate::Application;

/// A JSON Schema. There is none in this build.
pub(super) enum Check {}

/// A template. There is none in this build.
pub(super) enum View {}

impl Check {
    pub(super) fn new(_: &Value) -> Result<Self, String> {
        Err(
            "`validate` needs a build of Hatchery that has JSON Schema, which this one has not"
                .to_owned(),
        )
    }

    /// The event again, or what is wrong with it.
    pub(super) fn look(&self, _: Value) -> Result<Value, InputError> {
        match *self {}
    }
}

impl View {
    pub(super) fn new(_: &Application, _: &str) -> Result<Self, String> {
        Err(
            "`template` needs a build of Hatchery that has templates, which this one has not"
                .to_owned(),
        )
    }

    pub(super) fn show(&self, _: Reply) -> Response {
        match *self {}
    }
}
