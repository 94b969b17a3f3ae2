//! A binary that is asked, in a process of its own, whether it could take over: with the
//! configuration on disk (`--check`), or with the state of this master (`--check-state`). And one that
//! is asked for the names of its functions (`--symbolise`).

use std::ffi::OsString;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd, RawFd};
use std::path::Path;

use hatchery_supervisor::{ExitStatus, Generation, InstanceId, Time};
use hatchery_sys::spawn::{Child, Program, Spawn};

use crate::lines::{Lines, Tail};
use crate::release::{nonblocking_pipe, with_tail};

/// Longest answer, bytes: a configuration and what goes with it.
const ANSWER_MAX: usize = 16 << 20;

/// Most reads from a check in one turn of the loop.
const READS_MAX: usize = 64;

/// Where a check writes its answer: the first descriptor after the standard ones.
const EMIT_FD: RawFd = 3;

/// Where a check finds the state of this master.
pub(crate) const STATE_FD: RawFd = 4;

/// What a passed check is followed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The supervisor decides.
    Reload(Generation),
    /// A stop, and a new start in the same process.
    Restart,
    /// The binary becomes the master.
    Upgrade,
    /// The stack of an instance gets names.
    Names(InstanceId),
}

impl Purpose {
    /// The question.
    pub(crate) const fn flag(self) -> &'static str {
        match self {
            Self::Reload(_) | Self::Restart => "--check",
            Self::Upgrade => "--check-state",
            Self::Names(_) => "--symbolise",
        }
    }
}

/// A pinned binary that runs with a question.
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

/// What is asked, and how.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    pub(crate) purpose: Purpose,
    /// The arguments after the program's name, the question among them.
    pub(crate) arguments: Vec<OsString>,
    /// The state that it is about, where it is.
    pub(crate) state: Option<BorrowedFd<'a>>,
    pub(crate) cwd: &'a Path,
    pub(crate) deadline: Time,
}

/// A binary that said yes.
#[derive(Debug)]
pub(crate) struct Passed {
    pub(crate) program: Program,
    /// What it wrote to the descriptor of `--emit-fd`.
    pub(crate) answer: Vec<u8>,
    /// Its last lines on stderr.
    pub(crate) tail: Tail,
}

impl Check {
    /// Starts `program` with the question.
    pub(crate) fn start(program: Program, question: Question<'_>) -> io::Result<Self> {
        let (emitted, emit) = nonblocking_pipe()?;
        let (stderr, stderr_write) = nonblocking_pipe()?;
        let null = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/null")?;
        let mut arguments = vec![program.path().as_os_str().to_owned()];
        arguments.extend(question.arguments);
        // Where names are asked for, offsets follow to the end.
        let place = match question.purpose {
            Purpose::Names(_) => 2,
            _ => arguments.len(),
        };
        let emit_fd = ["--emit-fd".into(), EMIT_FD.to_string().into()];
        arguments.splice(place..place, emit_fd);
        let env: Vec<_> = std::env::vars_os().collect();
        let mut fds = vec![
            (null.as_fd(), 0),
            (null.as_fd(), 1),
            (stderr_write.as_fd(), 2),
            (emit.as_fd(), EMIT_FD),
        ];
        fds.extend(question.state.map(|state| (state, STATE_FD)));
        let child = Spawn {
            program: &program,
            args: &arguments,
            env: &env,
            listen_pid: false,
            cwd: question.cwd,
            fds: &fds,
        }
        .start()?;
        Ok(Self {
            purpose: question.purpose,
            pid: child.pid,
            deadline: question.deadline,
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

    /// Whether it is about names alone.
    pub(crate) const fn is_lookup(&self) -> bool {
        matches!(self.purpose, Purpose::Names(_))
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
                Ok(n) if self.answer.len() + n <= ANSWER_MAX => self.answer.extend(&chunk[..n]),
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

    /// The process is gone: what it said, or why it is not to be.
    pub(crate) fn finish(mut self, status: ExitStatus) -> Result<Passed, String> {
        self.read();
        self.lines.finish(|line| self.tail.push(line));
        drop(self.child);
        if self.timed_out {
            return Err(with_tail("the check took too long".into(), &self.tail));
        }
        if status != ExitStatus::Code(0) {
            let (path, flag) = (self.program.path().display(), self.purpose.flag());
            let what = format!("{path} {flag} failed ({status})");
            // Who is asked for a state says in one line why not, and no user code runs.
            if let (Purpose::Upgrade, Some(why)) = (self.purpose, self.tail.iter().last()) {
                return Err(format!("{what}: {why}"));
            }
            return Err(with_tail(what, &self.tail));
        }
        Ok(Passed {
            program: self.program,
            answer: self.answer,
            tail: self.tail,
        })
    }
}
