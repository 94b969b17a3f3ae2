//! `validate`: what a route asks of what comes in.

#[cfg(feature = "validate")]
mod schema;

#[cfg(feature = "validate")]
pub(super) use schema::Check;

/// A JSON Schema. There is none in this build.
#[cfg(not(feature = "validate"))]
pub(super) enum Check {}

#[cfg(not(feature = "validate"))]
impl Check {
    pub(super) fn new(_: &serde_json::Value, _: &crate::config::Place) -> Result<Self, String> {
        Err(
            "`validate` needs the feature `validate` of Hatchery: in Cargo.toml, add it to the \
             `features` of `hatchery`"
                .to_owned(),
        )
    }

    /// The input again, or what is wrong with it.
    pub(super) fn look(&self, _: super::Input) -> Result<super::Input, crate::Error> {
        match *self {}
    }
}
