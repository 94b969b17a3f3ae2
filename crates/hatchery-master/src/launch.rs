//! What a master is started with, and what it ends with.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;

use hatchery_sys::inherit::Inherited;
use serde::{Deserialize, Serialize};

use crate::settings::Settings;
use crate::state::{self, Bag, Fd};

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
    /// The arguments of this process, its name first, without what is true only once: with
    /// `--resume-fd N` behind them, another image of this master goes on.
    pub arguments: Vec<OsString>,
    /// The master's part of the configuration.
    pub settings: Settings,
    /// The whole effective configuration, JSON, for the children.
    pub config: Vec<u8>,
    /// The files that it was read from, for the log.
    pub config_files: Vec<PathBuf>,
    /// Where to say, once, `ready ADDRESSES` or `failed REASON`: one line. For `--daemon`.
    pub ready_fd: Option<OwnedFd>,
}

/// A [`Launch`] for the next image, which knows its own version and arguments.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SavedLaunch {
    pub(crate) app: String,
    env: String,
    title: String,
    #[serde(with = "state::path")]
    base_dir: PathBuf,
    #[serde(with = "state::path")]
    run_dir: PathBuf,
    #[serde(with = "state::path")]
    binary: PathBuf,
    check_args: Vec<OsString>,
    settings: serde_json::Value,
    config_files: Vec<OsString>,
}

impl SavedLaunch {
    /// Whether this build can read the settings.
    pub(crate) fn understand(&self) -> Result<(), String> {
        Settings::restore(self.settings.clone()).map(drop)
    }
}

impl Launch {
    pub(crate) fn save(&self) -> Result<SavedLaunch, String> {
        let Self {
            app,
            env,
            version: _,
            title,
            base_dir,
            run_dir,
            binary,
            check_args,
            arguments: _,
            settings,
            // The first release has it.
            config: _,
            config_files,
            // The announcer has it.
            ready_fd: _,
        } = self;
        Ok(SavedLaunch {
            app: app.clone(),
            env: env.clone(),
            title: title.clone(),
            base_dir: base_dir.clone(),
            run_dir: run_dir.clone(),
            binary: binary.clone(),
            check_args: check_args.clone(),
            settings: settings.save()?,
            config_files: config_files.iter().map(OsString::from).collect(),
        })
    }

    pub(crate) fn restore(
        saved: SavedLaunch,
        version: &str,
        arguments: Vec<OsString>,
    ) -> Result<Self, String> {
        Ok(Self {
            app: saved.app,
            env: saved.env,
            version: version.to_owned(),
            title: saved.title,
            base_dir: saved.base_dir,
            run_dir: saved.run_dir,
            binary: saved.binary,
            check_args: saved.check_args,
            arguments,
            settings: Settings::restore(saved.settings)?,
            config: Vec::new(),
            config_files: saved.config_files.into_iter().map(PathBuf::from).collect(),
            ready_fd: None,
        })
    }
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

    pub(crate) fn save<'a>(&'a self, bag: &mut Bag<'a>) -> Option<Fd> {
        let Self(file) = self;
        file.as_ref().map(|file| bag.put(file.as_fd()))
    }

    pub(crate) fn restore(saved: Option<Fd>, inherited: &mut Inherited) -> io::Result<Self> {
        let fd = saved.map(|fd| inherited.take(fd.number())).transpose()?;
        Ok(Self::new(fd))
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
