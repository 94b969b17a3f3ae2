//! The brain of Hatchery's master: a pure state machine.
//!
//! [`Supervisor::handle`] takes what happened and when, [`Supervisor::poll_action`] gives what is
//! to be done, [`Supervisor::next_deadline`] says when to call again at the latest. There is no
//! I/O, no clock, no thread and no randomness of its own (the seed is an argument), so that a
//! simulator can live through years of faults in seconds and replay each of them.

mod action;
mod event;
mod ids;
mod policy;
mod time;

pub use action::{Action, Alarm, Phase, Reason, Report, Signal, State};
pub use event::{Command, Event, ExitStatus};
pub use ids::{Generation, InstanceId, RequestId, Role, Slot};
pub use policy::Policy;
pub use time::Time;
