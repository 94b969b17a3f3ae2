//! What a master is started with, and what it ends with.

use std::ffi::OsString;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use crate::settings::Settings;

/// Everything that a master must know. The application's runtime fills it from the command line
/// and the configuration; the master itself reads neither.
#[derive(Debug)]
pub struct Launch {
    /// The application's name: names its files in `run_dir`.
    pub app: String,
    /// The environment's name, handed down to every child.
    pub env: String,
    /// The application's version, for `status`.
    pub version: String,
    /// What processes are called in `ps`.
    pub title: String,
    /// Where children work.
    pub base_dir: PathBuf,
    /// Where the control socket, the lock and the pid file are.
    pub run_dir: PathBuf,
    /// The executable, by the path through which a reload finds the next release (symbolic links
    /// not resolved).
    pub binary: PathBuf,
    /// Flags with which `binary --check` sees the same configuration as this master.
    pub check_args: Vec<OsString>,
    /// The master's part of the configuration.
    pub settings: Settings,
    /// The whole effective configuration, JSON, for the children.
    pub config: Vec<u8>,
    /// The files that it was read from, for the log.
    pub config_files: Vec<PathBuf>,
    /// Where to say, once, `ready ADDRESSES` or `failed REASON`: one line. For `--daemon`.
    pub ready_fd: Option<OwnedFd>,
}

/// How a master ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As asked.
    Stopped,
    /// Stopped as asked, to be started anew by this same process (`restart`).
    Restart,
}

/// Tells whoever started a daemon how it went.
#[derive(Debug)]
pub(crate) struct Announcer(Option<std::fs::File>);

impl Announcer {
    pub(crate) fn new(fd: Option<OwnedFd>) -> Self {
        Self(fd.map(Into::into))
    }

    pub(crate) fn ready(&mut self, addresses: &str) {
        self.say(&format!("ready {addresses}"));
    }

    pub(crate) fn failed(&mut self, reason: &str) {
        self.say(&format!("failed {}", reason.replace('\n', " | ")));
    }

    fn say(&mut self, text: &str) {
        if let Some(mut file) = self.0.take() {
            // The one who started us may be gone; then nobody waits for this.
            let _ = writeln!(file, "{text}");
        }
    }
}
