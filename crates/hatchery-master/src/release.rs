//! A generation's files, pinned: what a crash restart runs, whatever is on disk by then.

use std::ffi::OsString;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::rc::Rc;

use hatchery_supervisor::{ExitStatus, Generation, Time};
use hatchery_sys::memfd;
use hatchery_sys::spawn::{Child, Program, Spawn};
use serde::{Deserialize, Serialize};

use crate::lines::{Lines, Tail};
use crate::settings::Settings;

/// Largest configuration that is handed to children, bytes.
const CONFIG_MAX: usize = 16 << 20;

/// Most reads from a check in one turn of the loop.
const READS_MAX: usize = 64;

/// Where a check writes its answer: the first descriptor after the standard ones.
const EMIT_FD: i32 = 3;

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
}

/// What a checked binary says of its configuration, on the descriptor of `--emit-fd`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Emitted {
    /// The master's part.
    pub settings: Settings,
    /// The whole effective configuration.
    pub config: serde_json::Value,
}

/// What a passed check is followed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The supervisor decides.
    Reload(Generation),
    /// A stop, and a new start in the same process.
    Restart,
}

/// A binary on its way to become a release: pinned, and running with `--check`.
#[derive(Debug)]
pub(crate) struct Check {
    pub(crate) purpose: Purpose,
    pub(crate) pid: u32,
    /// When it counts as failed.
    pub(crate) deadline: Time,
    program: Program,
    child: Child,
    emitted: io::PipeReader,
    answer: Vec<u8>,
    stderr: io::PipeReader,
    lines: Lines,
    tail: Tail,
    timed_out: bool,
}

impl Check {
    /// Pins the binary at `path` and starts `path <args> --check`.
    pub(crate) fn start(
        purpose: Purpose,
        path: &Path,
        args: &[OsString],
        cwd: &Path,
        deadline: Time,
    ) -> io::Result<Self> {
        let program = Program::open(path)?;
        let (emitted, emit) = nonblocking_pipe()?;
        let (stderr, stderr_write) = nonblocking_pipe()?;
        let null = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/null")?;
        let mut arguments = vec![path.as_os_str().to_owned()];
        arguments.extend_from_slice(args);
        arguments.extend(["--check", "--emit-fd"].map(OsString::from));
        arguments.push(EMIT_FD.to_string().into());
        let env: Vec<_> = std::env::vars_os().collect();
        let child = Spawn {
            program: &program,
            args: &arguments,
            env: &env,
            listen_pid: false,
            cwd,
            fds: &[
                (null.as_fd(), 0),
                (null.as_fd(), 1),
                (stderr_write.as_fd(), 2),
                (emit.as_fd(), EMIT_FD),
            ],
        }
        .start()?;
        Ok(Self {
            purpose,
            pid: child.pid,
            deadline,
            program,
            child,
            emitted,
            answer: Vec::new(),
            stderr,
            lines: Lines::default(),
            tail: Tail::default(),
            timed_out: false,
        })
    }

    /// The pipes to watch.
    pub(crate) fn pipes(&self) -> [&io::PipeReader; 2] {
        [&self.emitted, &self.stderr]
    }

    /// Takes what the pipes hold. Returns, for each of [`pipes`](Self::pipes), whether it still may
    /// get more: a pipe at its end is ready for ever.
    pub(crate) fn read(&mut self) -> [bool; 2] {
        let mut chunk = [0; 16 * 1024];
        let mut open = [false; 2];
        for _ in 0..READS_MAX {
            open[0] = true;
            match self.emitted.read(&mut chunk) {
                Ok(0) => {
                    open[0] = false;
                    break;
                }
                Ok(n) if self.answer.len() + n <= CONFIG_MAX => self.answer.extend(&chunk[..n]),
                Ok(_) => self.answer.clear(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    open[0] = error.kind() == io::ErrorKind::WouldBlock;
                    break;
                }
            }
        }
        match self.stderr.read(&mut chunk) {
            Ok(0) => {}
            Ok(n) => {
                self.lines.push(&chunk[..n], |line| self.tail.push(line));
                open[1] = true;
            }
            Err(error) => open[1] = error.kind() == io::ErrorKind::WouldBlock,
        }
        open
    }

    /// Ends a check that takes too long.
    pub(crate) fn time_out(&mut self) {
        self.timed_out = true;
        let _ = hatchery_sys::process::kill_group(self.pid, hatchery_sys::signals::Signal::Kill);
    }

    /// The process is gone: the release, or why there is none.
    pub(crate) fn finish(mut self, status: ExitStatus) -> Result<Rc<Release>, String> {
        self.read();
        self.lines.finish(|line| self.tail.push(line));
        drop(self.child);
        if self.timed_out {
            return Err(with_tail("the check took too long".into(), &self.tail));
        }
        if status != ExitStatus::Code(0) {
            let what = format!(
                "the check of {} failed ({status})",
                self.program.path().display()
            );
            return Err(with_tail(what, &self.tail));
        }
        let emitted: Emitted = serde_json::from_slice(&self.answer).map_err(|error| {
            let path = self.program.path().display();
            with_tail(
                format!("{path} --check did not say what it would run ({error})"),
                &self.tail,
            )
        })?;
        let config = emitted.config.to_string();
        Release::new(self.program, config.as_bytes(), emitted.settings)
            .map(Rc::new)
            .map_err(|error| format!("cannot keep the configuration: {error}"))
    }
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
