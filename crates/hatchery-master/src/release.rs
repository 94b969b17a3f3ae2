//! A generation's files, pinned: what a crash restart runs, whatever is on disk by then.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::rc::Rc;

use hatchery_supervisor::Generation;
use hatchery_sys::inherit::Inherited;
use hatchery_sys::memfd;
use hatchery_sys::spawn::Program;
use serde::{Deserialize, Serialize};

use crate::check::Passed;
use crate::lines::Tail;
use crate::settings::Settings;
use crate::state::{self, Bag, Fd};

/// One generation's binary and configuration. Open descriptors, so that they stay what they were
/// when the generation was made.
#[derive(Debug)]
pub(crate) struct Release {
    /// The executable.
    pub(crate) program: Program,
    /// The effective configuration, JSON, as a sealed memfd.
    pub(crate) config: OwnedFd,
    /// The master's part of it.
    pub(crate) settings: Settings,
}

impl Release {
    pub(crate) fn new(program: Program, config: &[u8], settings: Settings) -> io::Result<Self> {
        Ok(Self {
            program,
            config: memfd::with("hatchery-config", config)?,
            settings,
        })
    }

    pub(crate) fn save<'a>(
        &'a self,
        generation: Generation,
        bag: &mut Bag<'a>,
    ) -> Result<SavedRelease, String> {
        let Self {
            program,
            config,
            settings,
        } = self;
        Ok(SavedRelease {
            generation,
            program: bag.put(program.as_fd()),
            path: program.path().to_owned(),
            config: bag.put(config.as_fd()),
            settings: settings.save()?,
        })
    }

    /// `settings` are the saved ones, read.
    pub(crate) fn restore(
        saved: SavedRelease,
        settings: Settings,
        inherited: &mut Inherited,
    ) -> io::Result<Self> {
        Ok(Self {
            program: Program::from_fd(inherited.take(saved.program.number())?, saved.path),
            config: inherited.take(saved.config.number())?,
            settings,
        })
    }

    /// The release that a passed `--check` speaks of.
    pub(crate) fn checked(passed: Passed) -> Result<Rc<Self>, String> {
        let emitted: Emitted = serde_json::from_slice(&passed.answer).map_err(|error| {
            let path = passed.program.path().display();
            with_tail(
                format!("{path} --check did not say what it would run ({error})"),
                &passed.tail,
            )
        })?;
        let config = emitted.config.to_string();
        Self::new(passed.program, config.as_bytes(), emitted.settings)
            .map(Rc::new)
            .map_err(|error| format!("cannot keep the configuration: {error}"))
    }
}

/// A [`Release`] for the next image.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SavedRelease {
    pub(crate) generation: Generation,
    program: Fd,
    #[serde(with = "state::path")]
    path: PathBuf,
    config: Fd,
    pub(crate) settings: serde_json::Value,
}

/// What a checked binary says of its configuration, on the descriptor of `--emit-fd`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Emitted {
    /// The master's part.
    pub settings: Settings,
    /// The whole effective configuration.
    pub config: serde_json::Value,
}

/// A reason, followed by the last lines of stderr where there are any.
pub(crate) fn with_tail(reason: String, tail: &Tail) -> String {
    let mut text = reason;
    if !tail.is_empty() {
        text.push_str("; its last lines:");
        for line in tail.iter() {
            text.push_str("\n  ");
            text.push_str(line);
        }
    }
    text
}

/// A pipe whose reading end does not block; both ends are closed on exec.
pub(crate) fn nonblocking_pipe() -> io::Result<(io::PipeReader, io::PipeWriter)> {
    let (reader, writer) = io::pipe()?;
    rustix::io::ioctl_fionbio(&reader, true)?;
    Ok((reader, writer))
}
