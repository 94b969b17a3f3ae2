//! What the processes of one application say to each other: pure bytes, no I/O.
//!
//! - [`child`]: master and child over a SEQPACKET socket, one postcard message a packet.
//! - [`handover`]: old worker and successor: live connections, over a SEQPACKET socket.
//! - [`control`]: command line and master over the control socket, one JSON object a line.
//! - [`status`], [`exits`], [`events`]: the contracts of `status --json`, `exits --json` and
//!   `events --json`.
//! - [`environment`]: the names of the variables that a child finds.
//!
//! Both protocols carry a version, and a peer one version apart is understood or refused with a
//! clear [`Error`].

pub mod child;
pub mod control;
pub mod environment;
mod error;
pub mod events;
pub mod exits;
pub mod handover;
pub mod status;

pub use error::{Error, ErrorCode};
