//! The brain of Hatchery's master: a pure state machine.
//!
//! [`Supervisor::handle`] takes what happened and when, [`Supervisor::poll_action`] gives what is
//! to be done, [`Supervisor::next_deadline`] says when to call again at the latest. There is no
//! I/O, no clock, no thread and no randomness of its own (the seed is an argument), so that a
//! simulator can live through years of faults in seconds and replay each of them.
//!
//! ```
//! use hatchery_supervisor::{Action, Event, InstanceId, Policy, Role, Supervisor, Time};
//!
//! let mut supervisor = Supervisor::new(Policy::default(), 1);
//! supervisor.handle(Time::from_millis(0), Event::Start);
//! let Some(Action::Spawn { instance, role, .. }) = supervisor.poll_action() else {
//!     unreachable!("the agent is the first to start");
//! };
//! assert_eq!((instance, role), (InstanceId(1), Role::Agent));
//!
//! // The shell starts the process, tells so, and calls again when something happens or at
//! // `next_deadline`, whichever is first.
//! supervisor.handle(Time::from_millis(2), Event::Spawned { instance, pid: 4711 });
//! supervisor.handle(Time::from_millis(9), Event::Ready { instance });
//! let spawns = std::iter::from_fn(|| supervisor.poll_action())
//!     .filter(|action| matches!(action, Action::Spawn { .. }))
//!     .count();
//! assert_eq!(spawns, 4, "the agent is ready: all workers start");
//! ```
//!
//! # How to drive it
//!
//! - `Event::Start` first, once. After every `handle`, poll actions until `None`; carry them out in
//!   order.
//! - A `Spawn` is answered by `Spawned` or `SpawnFailed`; a process that exists ends with exactly
//!   one `Exited`, after it is reaped.
//! - Call at `next_deadline` with `Event::Timer`. A gap of more than two heartbeat intervals is
//!   taken for a sleep of the master, which no instance is punished for.
//! - `Action::Finish` is the last action; every child is reaped then.
//! - The [`Supervisor`] can be serialised whenever all actions are polled, and goes on after that,
//!   in this process or another image of it, as if nothing had happened.
//!
//! # Modules
//!
//! | module | subject |
//! |---|---|
//! | `supervisor`, `view` | the struct, the way of an event through it; what `status` sees |
//! | `instance`, `slot` | one process; a worker's place and who fills it |
//! | `start`, `exit`, `leave`, `kill` | ready, ended, leaving by itself, made to end |
//! | `clock`, `heartbeat` | deadlines, the master's sleep; suspicion, stand-ins, hangs |
//! | `crash`, `agent`, `spare` | back-off and the pool's crash budget; the one agent; hot spares |
//! | `recycle`, `memory` | planned replacement for age and for memory |
//! | `pressure`, `headroom` | when memory is short: the ladder; stop before start |
//! | `commands`, `reload`, `scale`, `upgrade`, `stop` | what people ask for |
//! | `steer` | the receiving slots and the phase that follow from the states |

mod action;
mod agent;
mod clock;
mod commands;
mod crash;
mod event;
mod exit;
mod headroom;
mod heartbeat;
mod ids;
mod instance;
mod kill;
mod leave;
mod memory;
mod policy;
mod pressure;
mod recycle;
mod reload;
mod rng;
mod scale;
mod slot;
mod spare;
mod start;
mod steer;
mod stop;
mod supervisor;
mod time;
mod upgrade;
mod view;

pub use action::{Action, Alarm, Phase, Reason, Report, Signal, State};
pub use event::{Accepted, Command, Event, ExitStatus};
pub use ids::{Generation, InstanceId, RequestId, Role, Slot};
pub use instance::Instance;
pub use policy::Policy;
pub use pressure::PressureReading;
pub use supervisor::Supervisor;
pub use time::Time;
