//! What Hatchery asks of the operating system, and the only crate of it with `unsafe` code.
//!
//! Everything here is Linux (5.3 or newer, for pidfds): processes started from a pinned executable with their
//! descriptors placed, exit notices without lost pids, listeners whose queue survives a worker,
//! datagrams that carry descriptors, and pages of counters shared between processes. The calls are
//! safe; those that must go around the safe wrappers of `rustix` say in a `SAFETY` comment why they
//! are sound.
//!
//! Rules that hold in the whole crate:
//! - each descriptor made here is close-on-exec;
//! - an interrupted call (`EINTR`) is tried again, with what is left of its time;
//! - what another process wrote (pages, packets, `/proc`) is checked or treated as plain numbers;
//! - no function starts a thread, and none keeps state of its own; [`stack`] must: signal handlers
//!   have no arguments.

pub mod clock;
pub mod epoll;
pub mod inherit;
pub mod listen;
pub mod lock;
pub mod memfd;
pub mod notify;
pub mod packet;
pub mod page;
pub mod peer;
pub mod proc;
pub mod process;
pub mod recorder;
pub mod signals;
pub mod spawn;
pub mod stack;

mod cstrings;
mod mapping;
mod sockopt;
