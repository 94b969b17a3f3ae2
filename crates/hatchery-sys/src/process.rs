//! Watching, signalling and ending processes, this one included.
//!
//! Kernel traps:
//! - a pid is free for others once it is reaped: look with [`next_exit`], kill what is left of the
//!   group, and [`reap`] last;
//! - a pidfd always means the process it was opened for, so signals go by pidfd; groups have no
//!   such handle, hence the order above;
//! - a process's name (`comm`) is that of its main thread.

use std::ffi::OsString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, FdFlags, retry_on_intr};

use crate::cstrings::{self, CStrings};
use crate::peer::to_pid;
use crate::signals::Signal;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// It exited with this code, 0 to 255.
    Code(i32),
    /// A signal killed it.
    Signal {
        /// The kernel's number (see [`Signal::from_raw`]).
        signal: i32,
        /// Whether it left a core dump.
        core_dumped: bool,
    },
}

/// A dead child that was not reaped yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The child, or an orphan adopted as [subreaper](become_subreaper).
    pub pid: u32,
    /// How it ended.
    pub status: ExitStatus,
}

/// Looks at the next dead child without reaping it; `None` when no child is dead.
///
/// Until [`reap`] its pid, and so its group's number, cannot be given to anyone else. The same child
/// comes again and again until it is reaped. It sees every child of the process, those started by
/// other means too: a process that uses this must not wait for children elsewhere.
pub fn next_exit() -> io::Result<Option<Exit>> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    loop {
        // SAFETY: `info` has room for what the kernel writes.
        if unsafe { libc::waitid(libc::P_ALL, 0, info.as_mut_ptr(), options) } == 0 {
            break;
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINTR) => {}
            // No children at all.
            Some(libc::ECHILD) => return Ok(None),
            _ => return Err(error),
        }
    }
    // SAFETY: zeroed at first; all zeroes are a valid value of it.
    let info = unsafe { info.assume_init() };
    // SAFETY: `waitid` has filled the fields of a child's notice, or left the zeroes.
    let pid = u32::try_from(unsafe { info.si_pid() }).unwrap_or(0);
    if pid == 0 {
        return Ok(None);
    }
    // SAFETY: as above.
    let value = unsafe { info.si_status() };
    let status = match info.si_code {
        libc::CLD_EXITED => ExitStatus::Code(value),
        code => ExitStatus::Signal {
            signal: value,
            core_dumped: code == libc::CLD_DUMPED,
        },
    };
    Ok(Some(Exit { pid, status }))
}

/// Reaps a dead child: its pid is free afterwards. Returns the most memory that it has had resident
/// at once, in bytes.
///
/// `WouldBlock` when it is not dead; the kernel's "no child processes" when it is not our child.
pub fn reap(pid: u32) -> io::Result<u64> {
    let pid = to_pid(pid)?.as_raw_nonzero().get();
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    let reaped = retry_raw(|| {
        // SAFETY: the kernel takes no status where there is no room for one, and `usage` has room
        // for what it writes.
        unsafe { libc::wait4(pid, std::ptr::null_mut(), libc::WNOHANG, usage.as_mut_ptr()) }
    })?;
    if reaped == 0 {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    // SAFETY: zeroed at first; all zeroes are a valid value of it.
    let peak_kib = unsafe { usage.assume_init() }.ru_maxrss;
    Ok(u64::try_from(peak_kib).unwrap_or(0).saturating_mul(1024))
}

/// Signals the process of a pidfd. One that is dead already is no error.
pub fn signal(pidfd: impl AsFd, signal: Signal) -> io::Result<()> {
    gone_is_fine(rustix::process::pidfd_send_signal(
        pidfd,
        signal.to_rustix()?,
    ))
}

/// Signals each process of another group. A group without processes is no error.
///
/// The number must not have been given away: signal before the group's leader is [reaped](reap).
/// `InvalidInput` for 0, 1 and our own group, all of which would hit other processes than meant.
pub fn kill_group(pgid: u32, signal: Signal) -> io::Result<()> {
    let group = to_pid(pgid)?;
    if pgid == 1 || group == rustix::process::getpgrp() {
        let what = format!("process group {pgid} is not a child's");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    gone_is_fine(rustix::process::kill_process_group(
        group,
        signal.to_rustix()?,
    ))
}

/// From now on orphans among our descendants become our children, instead of those of process 1.
///
/// It is not inherited, and `execve` keeps it.
pub fn become_subreaper() -> io::Result<()> {
    Ok(rustix::process::set_child_subreaper(Some(
        rustix::process::getpid(),
    ))?)
}

/// Ends the process at once: no destructors, no exit handlers, nothing flushed.
///
/// For when those might block; any thread may call it.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` takes any number and does not return.
    unsafe { libc::_exit(code) }
}

/// Kills each process of our own group, this one included.
pub fn kill_own_group() -> ! {
    // The signal is not to be survived, so what follows is for a kernel that refused it.
    let _ = rustix::process::kill_current_process_group(rustix::process::Signal::KILL);
    exit_now(libc::EXIT_FAILURE)
}

/// Makes standard descriptors (0, 1, 2) lead to `/dev/null`; others are `InvalidInput`.
///
/// For a child whose pipes have lost their reader: writing would only fail, or kill it.
pub fn redirect_to_null(fds: &[RawFd]) -> io::Result<()> {
    // Other numbers may belong to an `OwnedFd` that would then be something else than it was.
    if let Some(fd) = fds.iter().find(|fd| !(0..=2).contains(*fd)) {
        let what = format!("descriptor {fd} is not a standard one");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let opened = retry_on_intr(|| rustix::fs::open("/dev/null", flags, Mode::empty()))?;
    // If a standard descriptor was closed, the file just opened has taken its number, and would be
    // closed again at the end: so it goes now, and a duplicate stays.
    let null = rustix::io::fcntl_dupfd_cloexec(&opened, 3)?;
    drop(opened);
    for fd in fds {
        retry_raw(|| {
            // SAFETY: nobody owns the standard descriptors, and each stays open throughout.
            unsafe { libc::dup2(null.as_raw_fd(), *fd) }
        })?;
    }
    Ok(())
}

/// Another descriptor of what this number stands for, close-on-exec.
///
/// For a descriptor whose owner lives on another thread: the caller must see to it that the owner
/// does not close it meanwhile. If it does, the call fails or duplicates something else.
pub fn duplicate(raw: RawFd) -> io::Result<OwnedFd> {
    if raw < 0 {
        return Err(Errno::BADF.into());
    }
    // SAFETY: not -1, and only used for `fcntl`, which reports a number that is not open and touches no memory.
    let borrowed = unsafe { BorrowedFd::borrow_raw(raw) };
    Ok(rustix::io::fcntl_dupfd_cloexec(borrowed, 3)?)
}

/// Takes possession of a descriptor that was inherited under a known number, and makes it
/// close-on-exec.
///
/// `InvalidInput` unless it is 3 or more, open, and *not* close-on-exec yet. The last tells what was
/// inherited from what this process has opened (all close-on-exec) or has taken before, which thus
/// cannot get two owners. Call it early, before code that opens descriptors without that flag.
pub fn take_fd(raw: RawFd) -> io::Result<OwnedFd> {
    let refuse = |why: &str| {
        let what = format!("descriptor {raw} {why}");
        Err(io::Error::new(io::ErrorKind::InvalidInput, what))
    };
    if raw < 3 {
        return refuse("is not an inherited one");
    }
    // SAFETY: only used for `fcntl`, which reports a number that is not open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(raw) };
    match rustix::io::fcntl_getfd(borrowed) {
        Err(Errno::BADF) => return refuse("is not open"),
        Err(error) => return Err(error.into()),
        Ok(flags) if flags.contains(FdFlags::CLOEXEC) => {
            return refuse("was not inherited, or is taken already");
        }
        Ok(_) => {}
    }
    rustix::io::fcntl_setfd(borrowed, FdFlags::CLOEXEC)?;
    // SAFETY: it is open, and by the check above nobody in this process owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Names the process (`ps -o comm`, `top`), whichever thread calls.
///
/// The kernel keeps 15 bytes: the rest is cut, at a character's boundary, and so is all after a NUL.
pub fn set_name(name: &str) -> io::Result<()> {
    let name = name.split('\0').next().unwrap_or_default();
    let name = name.get(..name.floor_char_boundary(15)).unwrap_or_default();
    // The system call would name the calling thread; this names the main one. The end of a C string
    // goes along, so that an empty name is written at all.
    std::fs::write("/proc/self/comm", format!("{name}\0"))
}

/// Replaces this process by the program at `path`; returns only if that failed.
///
/// `args` includes the program's own name, and `env` is the whole environment. Blocked signals stay
/// blocked, pending ones pending, children remain children, and descriptors without close-on-exec
/// stay open. All other threads vanish without cleaning up.
pub fn exec(path: &Path, args: &[OsString], env: &[(OsString, OsString)]) -> io::Error {
    let prepare = || {
        let path = cstrings::path(path)?;
        Ok((path, CStrings::args(args)?, CStrings::env(env)?))
    };
    let (path, args, env) = match prepare() {
        Ok(prepared) => prepared,
        Err(error) => return error,
    };
    // SAFETY: a C string, and two arrays of such that end in a null pointer; all live.
    unsafe { libc::execve(path.as_ptr(), args.pointers(), env.pointers()) };
    io::Error::last_os_error()
}

fn gone_is_fine(result: Result<(), Errno>) -> io::Result<()> {
    match result {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn retry_raw(mut call: impl FnMut() -> i32) -> io::Result<i32> {
    loop {
        let result = call();
        if result >= 0 {
            return Ok(result);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};

    #[test]
    fn a_duplicate_is_of_the_same_file_and_a_closed_number_an_error() {
        let (mut reader, writer) = io::pipe().unwrap();
        let number = writer.as_raw_fd();
        let copy = duplicate(number).unwrap();
        assert_ne!(copy.as_raw_fd(), number);
        drop(writer);
        io::PipeWriter::from(copy).write_all(b"x").unwrap();
        let mut byte = [0];
        assert_eq!(reader.read(&mut byte).unwrap(), 1);
        assert_eq!(reader.read(&mut byte).unwrap(), 0, "nobody else holds it");
        assert!(duplicate(-1).is_err());
        assert!(duplicate(i32::MAX).is_err());
    }

    #[test]
    fn a_name_is_cut_where_the_kernel_would_but_not_within_a_character() {
        let table = [
            ("shop: worker 0", "shop: worker 0"),
            ("0123456789abcdefgh", "0123456789abcde"),
            ("0123456789abcd\u{e9}", "0123456789abcd"),
            ("before\0after", "before"),
            ("", ""),
        ];
        for (name, kept) in table {
            set_name(name).unwrap();
            let comm = std::fs::read_to_string("/proc/self/comm").unwrap();
            assert_eq!(comm.trim_end_matches('\n'), kept);
        }
    }
}
