//! Starting a program with its descriptors, environment and signals in a known state.
//!
//! Why not `std::process::Command`: `LISTEN_PID` must hold the child's own pid, which nobody knows
//! before the fork and which cannot be set after it without allocating; `Command` inherits the
//! signal mask; its report pipe can be hit by the descriptors we place; and it starts a path, not
//! the file that was there when the generation began.
//!
//! All that can fail or allocate is done before the fork. The child then only makes system calls
//! (so the parent may have threads), and either becomes the program or reports the errno and the
//! step through a close-on-exec pipe.
//!
//! Kernel traps:
//! - `dup2(n, n)` does nothing and leaves close-on-exec set; a source may sit where another is to
//!   go. Both are avoided by duplicating all sources above all targets first;
//! - ignored signals and the mask survive `execve`, handlers do not: the child resets both, with
//!   all signals blocked until then, so that no handler of the parent's runs in it;
//! - a process group must be set on both sides of the fork, or either may act before it exists;
//! - a script (`#!`) started by descriptor is opened again by its interpreter, under a number that
//!   is closed by then: [`Program::open`] refuses scripts.

mod in_child;

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{Pid, PidfdFlags, WaitOptions};

use self::in_child::{Plan, STEPS};
use crate::cstrings::{self, CStrings};
use crate::signals;

/// The highest number that a descriptor can be placed at.
pub const TARGET_MAX: RawFd = 4095;

/// Duplicates of the sources go here at least, out of the way of usual targets.
const PARKING_MIN: RawFd = 100;

/// An executable pinned by descriptor: whatever happens to its path, this very file is started.
#[derive(Debug)]
pub struct Program {
    fd: OwnedFd,
    path: PathBuf,
}

impl Program {
    /// Pins the executable at `path`, following symbolic links.
    ///
    /// `InvalidInput` when it is not a regular file or is a script. Whether it can be executed shows
    /// when it is started.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let fd = retry_on_intr(|| rustix::fs::open(path, flags, Mode::empty()))?;
        let refuse = |why: &str| {
            let what = format!("{} is {why}", path.display());
            Err(io::Error::new(io::ErrorKind::InvalidInput, what))
        };
        if !FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode).is_file() {
            return refuse("not a regular file");
        }
        // An executable need not be readable; then this cannot tell, and `execveat` will.
        let mut start = [0; 2];
        let reopened = File::open(format!("/proc/self/fd/{}", fd.as_raw_fd()));
        let read = reopened.and_then(|mut file| file.read_exact(&mut start));
        if read.is_ok() && &start == b"#!" {
            return refuse("a script, not an executable");
        }
        Ok(Self {
            fd,
            path: path.to_owned(),
        })
    }

    /// Pins the executable that this process runs, whatever its path leads to by now.
    pub fn running() -> io::Result<Self> {
        Self::open(Path::new("/proc/self/exe"))
    }

    /// An executable that was [pinned](Self::open) before, by another image of this process.
    /// `path` is for people.
    pub fn from_fd(fd: OwnedFd, path: PathBuf) -> Self {
        Self { fd, path }
    }

    /// Pins the same file once more. Fails when the process is out of descriptors.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self {
            fd: self.fd.try_clone()?,
            path: self.path.clone(),
        })
    }

    /// Replaces this process by the program; returns only if that failed. See
    /// [`exec`](crate::process::exec) for what stays.
    pub fn exec(&self, args: &[OsString], env: &[(OsString, OsString)]) -> io::Error {
        let pinned = format!("/proc/self/fd/{}", self.fd.as_raw_fd());
        crate::process::exec(Path::new(&pinned), args, env)
    }

    /// Whether both are the same file with the same contents, as far as its size and its time of
    /// change tell. `false` too when it cannot be told.
    pub fn is_same(&self, other: &Self) -> bool {
        let stat = |program: &Self| {
            let stat = rustix::fs::fstat(&program.fd).ok()?;
            let changed = (stat.st_mtime, stat.st_mtime_nsec);
            Some((stat.st_dev, stat.st_ino, stat.st_size, changed))
        };
        stat(self).is_some_and(|ours| stat(other) == Some(ours))
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether `path` now leads to the very file that is pinned. `false` too when it cannot be told.
    ///
    /// The pinned file keeps its inode, so another file cannot have the same number meanwhile.
    pub fn same_file(&self, path: &Path) -> bool {
        let (Ok(pinned), Ok(other)) = (rustix::fs::fstat(&self.fd), std::fs::metadata(path)) else {
            return false;
        };
        (pinned.st_dev, pinned.st_ino) == (other.dev(), other.ino())
    }
}

impl AsFd for Program {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A program about to be started. Nothing is inherited but what is named here, and those of the
/// descriptors 0, 1 and 2 that are not placed.
#[derive(Debug)]
pub struct Spawn<'a> {
    /// What to start.
    pub program: &'a Program,
    /// Its arguments, its own name first.
    pub args: &'a [OsString],
    /// Its whole environment.
    pub env: &'a [(OsString, OsString)],
    /// Adds `LISTEN_PID`, with the child's own pid (systemd's contract for inherited listeners).
    pub listen_pid: bool,
    /// Its working directory.
    pub cwd: &'a Path,
    /// Descriptors and the numbers they get; those are not close-on-exec in the child. One source
    /// may be placed several times.
    pub fds: &'a [(BorrowedFd<'a>, RawFd)],
}

/// A child that has become its program, in a process group of its own (of the same number).
#[derive(Debug)]
pub struct Child {
    /// Its pid; it means this child until it is [reaped](crate::process::reap).
    pub pid: u32,
    /// Readable when it is dead.
    pub pidfd: OwnedFd,
}

impl Spawn<'_> {
    /// Starts it, and returns once `execve` has succeeded or failed.
    ///
    /// On an error no child is left, not even a zombie. Besides what the kernel reports:
    /// `InvalidInput` for strings with NUL, variables without a name or with `=` in it, and for
    /// targets that are negative, above [`TARGET_MAX`] or named twice. The mask of the calling
    /// thread and its signal handlers are as before.
    pub fn start(&self) -> io::Result<Child> {
        let (plan, report) = prepare(self)?;
        // No handler of ours may run in the child, where it would act on the parent's descriptors.
        let mask = signals::change_mask(libc::SIG_SETMASK, &signals::full_set());
        // SAFETY: the child does nothing but `Plan::run`, which only makes async-signal-safe calls.
        let forked = unsafe { libc::fork() };
        if forked == 0 {
            plan.run();
        }
        let error = io::Error::last_os_error();
        signals::change_mask(libc::SIG_SETMASK, &mask);
        // Our copy of the report pipe's write end must go, or its end would never be read.
        drop(plan);
        match Pid::from_raw(forked) {
            Some(pid) if forked > 0 => finish(pid, report, self),
            _ => Err(error),
        }
    }
}

/// Builds what the child needs; the second part is the end of the report pipe to read from.
fn prepare(spawn: &Spawn<'_>) -> io::Result<(Plan, File)> {
    let parking = parking(spawn.fds)?;
    let placed = spawn
        .fds
        .iter()
        .map(|(source, target)| Ok((rustix::io::fcntl_dupfd_cloexec(source, parking)?, *target)));
    let placed = placed.collect::<io::Result<Vec<_>>>()?;
    let program = rustix::io::fcntl_dupfd_cloexec(&spawn.program.fd, parking)?;
    let (reader, writer) = io::pipe()?;
    let (env, pid_digits) = environment(spawn)?;
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let plan = Plan {
        args: CStrings::args(spawn.args)?,
        env,
        pid_digits,
        cwd: cstrings::path(spawn.cwd)?,
        program_path: CString::new(format!("/proc/self/fd/{}", program.as_raw_fd()))?,
        program,
        placed,
        report: rustix::io::fcntl_dupfd_cloexec(&writer, parking)?,
        mask: signals::empty_set(),
        fd_limit: limit
            .and_then(|limit| RawFd::try_from(limit).ok())
            .unwrap_or(65_536),
    };
    Ok((plan, File::from(OwnedFd::from(reader))))
}

/// The parent's part after the fork: waits for the report, and leaves no child behind unless all is
/// well.
fn finish(pid: Pid, report: File, spawn: &Spawn<'_>) -> io::Result<Child> {
    // The child does this too; here it is for what we do to its group next. It fails when the
    // child was faster and has become the program, which is fine.
    let _ = rustix::process::setpgid(Some(pid), Some(pid));
    let started = rustix::process::pidfd_open(pid, PidfdFlags::empty())
        .map_err(io::Error::from)
        .and_then(|pidfd| Ok((pidfd, read_report(report)?)));
    match started {
        Ok((pidfd, None)) => Ok(Child {
            pid: pid.as_raw_nonzero().get().unsigned_abs(),
            pidfd,
        }),
        Ok((_, Some((step, errno)))) => {
            bury(pid);
            Err(describe(spawn, step, errno))
        }
        Err(error) => {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            bury(pid);
            Err(error)
        }
    }
}

/// The lowest number above all targets, once they are valid.
fn parking(fds: &[(BorrowedFd<'_>, RawFd)]) -> io::Result<RawFd> {
    let refuse = |what: String| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    let mut targets: Vec<RawFd> = fds.iter().map(|(_, target)| *target).collect();
    targets.sort_unstable();
    if let Some(target) = targets
        .iter()
        .find(|target| !(0..=TARGET_MAX).contains(*target))
    {
        return refuse(format!("no descriptor can be placed at {target}"));
    }
    if let Some(pair) = targets.windows(2).find(|pair| pair.first() == pair.last()) {
        return refuse(format!("two descriptors are to be placed at {pair:?}"));
    }
    Ok(targets
        .last()
        .map_or(PARKING_MIN, |last| PARKING_MIN.max(last + 1)))
}

/// The environment, and where the digits of the pid go in it.
fn environment(spawn: &Spawn<'_>) -> io::Result<(CStrings, Option<*mut u8>)> {
    const LISTEN_PID: &[u8] = b"LISTEN_PID";
    const PLACEHOLDER: &[u8] = b"LISTEN_PID=0000000000";
    if !spawn.listen_pid {
        return Ok((CStrings::env(spawn.env)?, None));
    }
    let others = spawn
        .env
        .iter()
        .filter(|(name, _)| name.as_bytes() != LISTEN_PID);
    let mut strings = others
        .map(cstrings::variable)
        .collect::<io::Result<Vec<_>>>()?;
    // The bytes are written through the pointer that `into_raw` gives, the only one there is.
    strings.push(CString::new(PLACEHOLDER)?);
    let env = CStrings::new(strings);
    let digits = env
        .last()
        .map(|start| start.wrapping_add(LISTEN_PID.len() + 1));
    Ok((env, digits))
}

/// The step and errno that the child reported; `None` when it became the program.
fn read_report(reader: File) -> io::Result<Option<(i32, i32)>> {
    let mut report = Vec::new();
    // Bounded: the child writes eight bytes at most, and the program has no such pipe.
    reader.take(64).read_to_end(&mut report)?;
    let Some((step, rest)) = report.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let errno = rest
        .first_chunk()
        .map_or(0, |errno| i32::from_ne_bytes(*errno));
    Ok(Some((i32::from_ne_bytes(*step), errno)))
}

fn describe(spawn: &Spawn<'_>, step: i32, errno: i32) -> io::Error {
    let error = io::Error::from_raw_os_error(errno);
    let name = usize::try_from(step)
        .ok()
        .and_then(|step| STEPS.get(step))
        .unwrap_or(&"start");
    let path = spawn.program.path.display();
    let what = format!(
        "{path} in {} could not {name}: {error}",
        spawn.cwd.display()
    );
    io::Error::new(error.kind(), what)
}

/// Reaps a child that is dead or about to be.
fn bury(pid: Pid) {
    let wait = || rustix::process::waitpid(Some(pid), WaitOptions::empty());
    // "No such child" would mean that somebody else has reaped it.
    let _: Result<_, Errno> = retry_on_intr(wait);
}
