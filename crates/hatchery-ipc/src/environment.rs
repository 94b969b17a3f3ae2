//! The environment of a child process: the contract's names, in one place.

/// `agent` or `worker`; absent in the master and on the command line.
pub const ROLE: &str = "HATCHERY_ROLE";
/// The application's name.
pub const APP: &str = "HATCHERY_APP";
/// The environment's name (`local`, `prod`, …), resolved once by the master.
pub const ENV: &str = "HATCHERY_ENV";
/// The worker's slot, from 0; absent for the agent, and for a spare until it is given one.
pub const SLOT: &str = "HATCHERY_SLOT";
/// Workers in the pool when the child was started.
pub const WORKERS: &str = "HATCHERY_WORKERS";
/// The instance's number, unique while the master lives.
pub const INSTANCE: &str = "HATCHERY_INSTANCE";
/// The generation's number; a reload makes a new one.
pub const GENERATION: &str = "HATCHERY_GENERATION";
/// The newest version of the child protocol that the master speaks; absent: 1.
pub const PROTOCOL: &str = "HATCHERY_PROTOCOL";
/// The descriptor of the flight recorder's memfd; absent where the master keeps none.
pub const RECORDER_FD: &str = "HATCHERY_RECORDER_FD";
/// The master's control socket: where an orphan finds the next master.
pub const CONTROL_SOCKET: &str = "HATCHERY_CONTROL_SOCKET";
/// The descriptor of the SEQPACKET socket to the master.
pub const CONTROL_FD: &str = "HATCHERY_CONTROL_FD";
/// How many listeners were inherited, from descriptor 3 (systemd's contract).
pub const LISTEN_FDS: &str = "LISTEN_FDS";
/// The process that `LISTEN_FDS` is meant for (systemd's contract).
pub const LISTEN_PID: &str = "LISTEN_PID";
/// The listeners' names, colon-separated (systemd's contract).
pub const LISTEN_FDNAMES: &str = "LISTEN_FDNAMES";
/// Where to tell a service manager of readiness (systemd's contract); the master's own.
pub const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";
/// The first inherited listener.
pub const LISTEN_FDS_START: i32 = 3;
