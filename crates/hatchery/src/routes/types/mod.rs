//! The types of `[[routes]]`, a file each.

pub(super) mod files;
pub(super) mod http;
pub(super) mod redirect;
pub(super) mod template;
pub(super) mod websocket;
