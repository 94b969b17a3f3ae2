//! The types of `[[routes]]`, a file each.

pub(super) mod http;
