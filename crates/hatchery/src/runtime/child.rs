//! What a child was told at its start.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hatchery_ipc::child::{Kept, PACKET_MAX, ToChild, VERSION, VERSION_MIN, Welcome, decode};
use hatchery_ipc::control::Orphan;
use hatchery_ipc::environment as names;
use hatchery_sys::page::StatsPage;
use hatchery_sys::recorder::Recorder;
use hatchery_sys::{memfd, packet, process};
use rustix::net::SocketType;
use rustix::net::sockopt::socket_type;

use super::control::Control;
use super::moment::{Bells, Moments};
use super::orphan::Belongings;
use crate::complain::complain;

/// What a child of the master is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Serves requests.
    Worker,
    /// There is one in the pool, for what must be done once.
    Agent,
}

impl Role {
    /// The role that the environment gives this process; `None` for a master or a command line.
    pub(crate) fn from_env() -> Result<Option<Self>, BadChild> {
        match std::env::var_os(names::ROLE) {
            None => Ok(None),
            Some(role) if role == "worker" => Ok(Some(Self::Worker)),
            Some(role) if role == "agent" => Ok(Some(Self::Agent)),
            Some(role) => Err(BadChild(format!(
                "{}={}: no such role",
                names::ROLE,
                role.display()
            ))),
        }
    }
}

/// A process that the master did not start, or not as this version expects it.
#[derive(Debug)]
pub(crate) struct BadChild(String);

impl fmt::Display for BadChild {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this is no child of a master: {}", self.0)
    }
}

impl std::error::Error for BadChild {}

/// What a child was told at its start.
#[derive(Debug)]
pub(crate) struct Child {
    /// The application's name.
    pub(crate) app: String,
    /// The environment's name.
    pub(crate) env: String,
    /// The worker's place in the pool; `None` in the agent.
    pub(crate) slot: Option<u32>,
    /// Workers in the pool when this process was started.
    pub(crate) workers: u32,
    /// This process's number, unique while the master lives.
    pub(crate) instance: u64,
    /// The number of the release and configuration that it runs.
    pub(crate) generation: u64,
    /// Where it ticks and counts.
    pub(crate) page: Arc<StatsPage>,
    /// Where it writes what it is doing.
    pub(crate) recorder: Arc<Recorder>,
    /// Where its master writes, and it may.
    pub(crate) run_dir: Option<PathBuf>,
    /// The effective configuration, JSON.
    pub(crate) config: Vec<u8>,
    /// The inherited listeners, in the order of the configuration.
    pub(crate) listeners: Vec<OwnedFd>,
    /// How often it ticks.
    pub(crate) heartbeat_interval: Duration,
    /// How long idle keep-alive connections are kept while draining.
    pub(crate) idle_grace: Duration,
    /// How long it drains when somebody else than the master told it to.
    pub(crate) drain_timeout: Duration,
    /// What user code can wait for.
    pub(crate) moments: Moments,
    pub(super) bells: Bells,
    pub(super) control: Arc<Control>,
    /// What it would bring to another master.
    pub(super) belongings: Arc<Belongings>,
}

impl Child {
    /// Reads the environment, takes the inherited descriptors and waits for the welcome.
    ///
    /// Call it first in `main` and once: it takes descriptors by their numbers.
    pub(crate) fn from_env() -> Result<Self, BadChild> {
        Self::from_variables(|name| std::env::var_os(name))
    }

    pub(super) fn from_variables(
        lookup: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, BadChild> {
        let variables = Variables { lookup };
        let sockets = variables.listeners()?;
        let control = variables.control()?;
        let (recorder, recording) = variables.recorder()?;
        let (welcome, mut fds) = welcome(&control)?;
        let (Some(config), Some(page), None) = (fds.pop(), fds.pop(), fds.pop()) else {
            return Err(BadChild(
                "the welcome comes without its two descriptors".into(),
            ));
        };
        if welcome.listeners.len() != sockets.len() {
            return Err(BadChild(format!(
                "{} listeners were announced and {} came",
                welcome.listeners.len(),
                sockets.len(),
            )));
        }
        let (bells, moments) = Bells::new();
        let belongings = variables.belongings(&welcome, &page, recording, &sockets)?;
        Ok(Self {
            app: variables.text(names::APP)?,
            env: variables.text(names::ENV)?,
            slot: variables.optional(names::SLOT)?,
            workers: variables.number(names::WORKERS)?,
            instance: variables.number(names::INSTANCE)?,
            generation: variables.number(names::GENERATION)?,
            page: Arc::new(StatsPage::map(page).map_err(|error| bad("stats page", &error))?),
            recorder: Arc::new(recorder),
            run_dir: variables.run_dir(),
            config: memfd::read(config).map_err(|error| bad("configuration", &error))?,
            listeners: sockets,
            heartbeat_interval: Duration::from_millis(welcome.heartbeat_interval_ms),
            idle_grace: Duration::from_millis(welcome.idle_grace_ms),
            drain_timeout: Duration::from_millis(welcome.drain_timeout_ms),
            moments,
            bells,
            control: Arc::new(Control::new(
                control,
                variables.optional(names::PROTOCOL)?.unwrap_or(VERSION_MIN),
            )),
            belongings: Arc::new(belongings),
        })
    }
}

struct Variables<L> {
    lookup: L,
}

impl<L: Fn(&str) -> Option<OsString>> Variables<L> {
    fn text(&self, name: &str) -> Result<String, BadChild> {
        let value = (self.lookup)(name).ok_or_else(|| BadChild(format!("{name} is not set")))?;
        value
            .into_string()
            .map_err(|_| BadChild(format!("{name} is no UTF-8")))
    }

    fn number<T: FromStr>(&self, name: &str) -> Result<T, BadChild> {
        let text = self.text(name)?;
        text.parse()
            .map_err(|_| BadChild(format!("{name}={text}: not such a number")))
    }

    fn optional<T: FromStr>(&self, name: &str) -> Result<Option<T>, BadChild> {
        (self.lookup)(name).map(|_| self.number(name)).transpose()
    }

    /// The descriptors that systemd's contract names. None is fine: the agent has none.
    fn listeners(&self) -> Result<Vec<OwnedFd>, BadChild> {
        let Some(count) = self.optional::<RawFd>(names::LISTEN_FDS)? else {
            return Ok(Vec::new());
        };
        let pid = self.number::<u32>(names::LISTEN_PID)?;
        if pid != std::process::id() {
            return Err(BadChild(format!(
                "{}={pid} is another process",
                names::LISTEN_PID
            )));
        }
        let first = names::LISTEN_FDS_START;
        (first..first.saturating_add(count))
            .map(|fd| process::take_fd(fd).map_err(|error| bad("listener", &error)))
            .collect()
    }

    /// The directory that the control socket is in.
    fn run_dir(&self) -> Option<PathBuf> {
        let socket = PathBuf::from((self.lookup)(names::CONTROL_SOCKET)?);
        socket.parent().map(Into::into)
    }

    /// The master's, or one that nobody will read but perhaps the next master: an older one has none,
    /// and a record that this version cannot write is no reason not to serve.
    fn recorder(&self) -> Result<(Recorder, OwnedFd), BadChild> {
        if let Some(fd) = self.optional::<RawFd>(names::RECORDER_FD)? {
            let mapped = process::take_fd(fd).and_then(|fd| Ok((Recorder::map(&fd)?, fd)));
            match mapped {
                Ok(recorder) => return Ok(recorder),
                Err(error) => complain(format_args!("{}={fd}: {error}", names::RECORDER_FD)),
            }
        }
        Recorder::create().map_err(|error| bad("recorder", &error))
    }

    /// What the next master will want to have, should this one die.
    fn belongings(
        &self,
        welcome: &Welcome,
        page: &OwnedFd,
        recording: OwnedFd,
        sockets: &[OwnedFd],
    ) -> Result<Belongings, BadChild> {
        let slot: Option<u32> = self.optional(names::SLOT)?;
        let mut listeners = Vec::new();
        for (address, socket) in welcome.listeners.iter().zip(sockets) {
            let kept = Kept {
                address: address.clone(),
                slot: slot.unwrap_or_default(),
                place: None,
            };
            let socket = socket
                .try_clone()
                .map_err(|error| bad("listener", &error))?;
            listeners.push((kept, socket));
        }
        Ok(Belongings {
            identity: Mutex::new(Orphan {
                role: self.text(names::ROLE)?,
                slot,
                instance: self.number(names::INSTANCE)?,
                generation: self.number(names::GENERATION)?,
                protocol: VERSION,
                draining: false,
            }),
            control_socket: (self.lookup)(names::CONTROL_SOCKET).map(PathBuf::from),
            grace: Duration::from_millis(welcome.orphan_grace_ms),
            page: page
                .try_clone()
                .map_err(|error| bad("stats page", &error))?,
            recording,
            listeners: Mutex::new(listeners),
            lock: Mutex::new(None),
        })
    }

    fn control(&self) -> Result<OwnedFd, BadChild> {
        let fd = self.number::<RawFd>(names::CONTROL_FD)?;
        let refuse = |why: &dyn fmt::Display| {
            BadChild(format!(
                "{}={fd} is not the control socket: {why}",
                names::CONTROL_FD
            ))
        };
        let socket = process::take_fd(fd).map_err(|error| refuse(&error))?;
        match socket_type(&socket) {
            Ok(SocketType::SEQPACKET) => Ok(socket),
            Ok(_) => Err(refuse(&"a socket of another type than SEQPACKET")),
            Err(error) => Err(refuse(&io::Error::from(error))),
        }
    }
}

/// The first message. It is in the socket before the process starts.
fn welcome(control: &OwnedFd) -> Result<(Welcome, Vec<OwnedFd>), BadChild> {
    let mut buffer = vec![0; PACKET_MAX];
    let received = packet::receive(control, &mut buffer, false);
    let Some(packet) = received.map_err(|error| bad("welcome", &error))? else {
        return Err(BadChild("the master is gone".into()));
    };
    match decode::<ToChild>(&buffer[..packet.len]) {
        Ok(ToChild::Welcome(welcome)) => Ok((welcome, packet.fds)),
        Ok(_) => Err(BadChild("the master's first message is no welcome".into())),
        Err(error) => Err(bad("welcome", &error)),
    }
}

fn bad(what: &str, error: &dyn fmt::Display) -> BadChild {
    BadChild(format!("{what}: {error}"))
}
