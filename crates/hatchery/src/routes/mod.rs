//! `[[routes]]` of the configuration: routes without code, with handlers by name.

/// A handler that `[[routes]]` can name.
pub trait NamedHandler: Send + Sync {}

impl std::fmt::Debug for dyn NamedHandler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NamedHandler")
    }
}
