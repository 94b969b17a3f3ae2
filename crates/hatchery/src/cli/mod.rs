//! The command line of every application's binary.

pub(crate) mod args;
