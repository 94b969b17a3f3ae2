//! Hatchery's master: the thin Linux loop around [`hatchery_supervisor`].
//!
//! One thread, one epoll, no async runtime, and no code of the application: nothing that a worker
//! does or fails to do can block it. [`run`] is the whole life of a master; [`client`] and
//! [`registry`] are how the command line finds and asks one.
//!
//! | module | what it is about |
//! |---|---|
//! | `master` | the loop: what is waited for, in which order a turn does its work |
//! | `perform` | each action of the supervisor, carried out |
//! | `dispatch` | each kernel event, told to the supervisor |
//! | `upkeep` | what is done by the clock: heartbeats, memory, the registry, the watchdog |
//! | `process`, `release`, `check` | one child; one generation's pinned files; asking a binary whether it could take over |
//! | `listeners`, `adoption` | the sockets, their steering, and queues without a worker |
//! | `orphans` | processes of a former master, and listeners kept for the next |
//! | `handover` | who serves the connections of a worker that drains on |
//! | `control`, `requests`, `status` | the control socket and its verbs |
//! | `upgrade`, `state`, `restore` | the master's replacement of its own image, and what it leaves to the next |
//! | `events`, `feeds` | what has happened, and who is told |
//! | `exits`, `reports`, `evidence`, `trace`, `oom` | why each process died, and where that is kept |
//! | `run_dir`, `registry` | who runs where |

mod adoption;
mod check;
pub mod client;
mod control;
mod dispatch;
mod error;
mod events;
mod evidence;
mod exits;
mod feeds;
mod handover;
mod journal;
mod launch;
mod lines;
mod listeners;
mod master;
mod oom;
mod orphans;
mod perform;
mod pressure;
mod process;
pub mod registry;
mod release;
mod reports;
mod requests;
mod restore;
mod run_dir;
pub mod settings;
mod sink;
mod socket_path;
mod spares;
mod state;
mod status;
mod token;
mod trace;
mod upgrade;
mod upkeep;

pub use error::{Error, ErrorCode};
pub use launch::{Launch, Outcome};
pub use master::run;
pub use release::Emitted;
pub use reports::read_exits;
pub use run_dir::{control_socket, create_run_dir, daemon_log, exits_file};
pub use upgrade::{Resume, check_state, resume};
