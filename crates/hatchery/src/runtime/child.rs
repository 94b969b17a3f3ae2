//! What the master handed down to this process.

use std::env;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use hatchery_ipc::child::{self, ToChild, ToMaster, Welcome};
use hatchery_ipc::environment as names;
use hatchery_sys::page::StatsPage;
use hatchery_sys::{memfd, packet, process};

use super::control::Control;
use super::guarded;
use crate::BoxError;

/// A process that a master started: its names, its configuration, its descriptors.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) app: String,
    pub(crate) env: String,
    /// `None` for the agent.
    pub(crate) slot: Option<u32>,
    pub(crate) workers: u32,
    pub(crate) instance: u64,
    pub(crate) generation: u64,
    /// The effective configuration, JSON.
    pub(crate) config: Vec<u8>,
    /// Shared with the master, which reads it.
    pub(crate) page: Arc<StatsPage>,
    /// Bound and listening already.
    pub(crate) listeners: Vec<OwnedFd>,
    pub(crate) master: Master,
    welcome: Welcome,
}

/// The socket to the master. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Master {
    socket: Arc<OwnedFd>,
}

impl Child {
    /// Takes over what was handed down. Called once, before anything else opens descriptors.
    ///
    /// # Errors
    ///
    /// The environment or the descriptors are not what a master hands down.
    pub(crate) fn from_env() -> io::Result<Self> {
        let listeners: i32 = optional(names::LISTEN_FDS)?.unwrap_or(0);
        let first = names::LISTEN_FDS_START;
        let listeners = (first..first.saturating_add(listeners))
            .map(process::take_fd)
            .collect::<io::Result<_>>()?;
        let socket = process::take_fd(required(names::CONTROL_FD)?)?;
        let (welcome, page, config) = receive_welcome(&socket)?;
        Ok(Self {
            app: required(names::APP)?,
            env: required(names::ENV)?,
            slot: optional(names::SLOT)?,
            workers: required(names::WORKERS)?,
            instance: required(names::INSTANCE)?,
            generation: required(names::GENERATION)?,
            config: memfd::read(&config)?,
            page: Arc::new(StatsPage::map(&page)?),
            listeners,
            master: Master {
                socket: Arc::new(socket),
            },
            welcome,
        })
    }

    /// How often the serving loops tick.
    pub(crate) fn heartbeat(&self) -> Duration {
        Duration::from_millis(self.welcome.heartbeat_interval_ms)
    }

    /// How long idle connections are kept while draining.
    pub(crate) fn idle_grace(&self) -> Duration {
        Duration::from_millis(self.welcome.idle_grace_ms)
    }

    /// How long to go on serving without a master.
    fn orphan_grace(&self) -> Duration {
        Duration::from_millis(self.welcome.orphan_grace_ms)
    }

    /// Begins to listen to the master, then builds what this process is there for. A failure is
    /// told, and leaves the exit code.
    pub(crate) fn boot<T>(
        &self,
        build: impl FnOnce(&Self) -> Result<T, BoxError>,
    ) -> Result<(Control, T), ExitCode> {
        let control = Control::listen(self.master.clone(), self.orphan_grace())
            .map_err(|error| self.boot_failed(format!("no thread can be started: {error}")))?;
        let product = guarded(|| build(self)).map_err(|reason| self.boot_failed(reason))?;
        Ok((control, product))
    }

    /// Tells the master, and whoever reads the log, why this process cannot start.
    pub(crate) fn boot_failed(&self, reason: String) -> ExitCode {
        eprintln!("cannot start: {reason}");
        self.master.say(&ToMaster::BootFailed { reason });
        ExitCode::FAILURE
    }
}

impl Master {
    /// Sends a message. A master that is gone or does not read cannot be told anything; its end is
    /// noticed elsewhere.
    pub(crate) fn say(&self, message: &ToMaster) {
        let Ok(packet) = child::encode(message) else {
            return;
        };
        let _ = packet::send(self.socket.as_fd(), &packet, &[], true);
    }

    /// Waits for the next message and the descriptors that ride along. `None`: the master is gone.
    pub(crate) fn hear(&self) -> io::Result<Option<(ToChild, Vec<OwnedFd>)>> {
        receive(&self.socket)
    }
}

fn receive_welcome(socket: &OwnedFd) -> io::Result<(Welcome, OwnedFd, OwnedFd)> {
    let Some((ToChild::Welcome(welcome), fds)) = receive(socket)? else {
        return Err(io::Error::other("the master did not begin with a welcome"));
    };
    let [page, config] = <[OwnedFd; 2]>::try_from(fds)
        .map_err(|fds| io::Error::other(format!("{} descriptors with the welcome", fds.len())))?;
    Ok((welcome, page, config))
}

fn receive(socket: &OwnedFd) -> io::Result<Option<(ToChild, Vec<OwnedFd>)>> {
    let mut buffer = [0; child::PACKET_MAX];
    let Some(packet) = packet::receive(socket.as_fd(), &mut buffer, false)? else {
        return Ok(None);
    };
    let message = child::decode(&buffer[..packet.len]).map_err(io::Error::other)?;
    Ok(Some((message, packet.fds)))
}

fn required<T: FromStr>(name: &str) -> io::Result<T> {
    optional(name)?.ok_or_else(|| io::Error::other(format!("{name} is not set")))
}

fn optional<T: FromStr>(name: &str) -> io::Result<Option<T>> {
    let Ok(text) = env::var(name) else {
        return Ok(None);
    };
    text.parse()
        .map(Some)
        .map_err(|_| io::Error::other(format!("{name}={text} makes no sense")))
}
