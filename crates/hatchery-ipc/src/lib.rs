//! What the processes of one application say to each other: pure bytes, no I/O.
//!
//! - [`child`]: master and child over a SEQPACKET socket, one postcard message a packet.
//! - [`control`]: command line and master over the control socket, one JSON object a line.
//! - [`status`]: the contract of `status --json`.
//! - [`environment`]: the names of the variables that a child finds.
//!
//! Both protocols carry a version, and a peer one version apart is understood or refused with a
//! clear [`Error`].

pub mod child;
pub mod control;
pub mod environment;
mod error;
pub mod status;

pub use error::{Error, ErrorCode};
