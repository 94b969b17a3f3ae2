//! The blog's own plugins. Each could be a crate of its own.

pub(crate) mod audit;
