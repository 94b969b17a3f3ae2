//! Signals as events of a loop, by name.
//!
//! Kernel traps:
//! - the mask belongs to a thread and is inherited by the threads it starts: make the [`SignalFd`]
//!   before any other thread exists, or the kernel delivers to a thread that does not block;
//! - signals of one kind that come before they are read are one: after [`Signal::Chld`] ask for
//!   exits until there are none;
//! - `execve` keeps the mask and resets handlers. A process that replaces itself keeps its signals
//!   blocked and pending, so that none kills the new image before it is ready for it; its children
//!   must not inherit that mask, which [`spawn`](crate::spawn) sees to;
//! - a parent that ignores `SIGCHLD` makes us ignore it too, and then the kernel throws exit
//!   statuses away; the [`SignalFd`] resets that.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd as _, OwnedFd};

use rustix::io::{Errno, retry_on_intr};

/// A signal that Hatchery sends, receives or names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signal {
    /// The terminal is gone; by custom: reload.
    Hup,
    /// Ctrl-C.
    Int,
    /// Ctrl-\.
    Quit,
    /// An illegal instruction.
    Ill,
    /// A breakpoint.
    Trap,
    /// The process gave itself up.
    Abrt,
    /// A bad access to mapped memory.
    Bus,
    /// An arithmetic error.
    Fpe,
    /// Ends a process; cannot be caught.
    Kill,
    /// By custom: reopen the logs.
    Usr1,
    /// Free for the application.
    Usr2,
    /// A bad access to memory.
    Segv,
    /// A write that nobody can read.
    Pipe,
    /// A timer is over.
    Alrm,
    /// Stop, please.
    Term,
    /// A child has died.
    Chld,
    /// Go on after a stop.
    Cont,
    /// Stops a process; cannot be caught.
    Stop,
    /// Ctrl-Z.
    Tstp,
    /// A read from the terminal in the background; by custom: one worker more.
    Ttin,
    /// A write to the terminal in the background; by custom: one worker less.
    Ttou,
    /// Too much processor time was used.
    Xcpu,
    /// A file grew too large.
    Xfsz,
    /// The terminal's size has changed.
    Winch,
    /// A system call that is not allowed.
    Sys,
}

const NAMES: [(Signal, i32, &str); 25] = [
    (Signal::Hup, libc::SIGHUP, "SIGHUP"),
    (Signal::Int, libc::SIGINT, "SIGINT"),
    (Signal::Quit, libc::SIGQUIT, "SIGQUIT"),
    (Signal::Ill, libc::SIGILL, "SIGILL"),
    (Signal::Trap, libc::SIGTRAP, "SIGTRAP"),
    (Signal::Abrt, libc::SIGABRT, "SIGABRT"),
    (Signal::Bus, libc::SIGBUS, "SIGBUS"),
    (Signal::Fpe, libc::SIGFPE, "SIGFPE"),
    (Signal::Kill, libc::SIGKILL, "SIGKILL"),
    (Signal::Usr1, libc::SIGUSR1, "SIGUSR1"),
    (Signal::Usr2, libc::SIGUSR2, "SIGUSR2"),
    (Signal::Segv, libc::SIGSEGV, "SIGSEGV"),
    (Signal::Pipe, libc::SIGPIPE, "SIGPIPE"),
    (Signal::Alrm, libc::SIGALRM, "SIGALRM"),
    (Signal::Term, libc::SIGTERM, "SIGTERM"),
    (Signal::Chld, libc::SIGCHLD, "SIGCHLD"),
    (Signal::Cont, libc::SIGCONT, "SIGCONT"),
    (Signal::Stop, libc::SIGSTOP, "SIGSTOP"),
    (Signal::Tstp, libc::SIGTSTP, "SIGTSTP"),
    (Signal::Ttin, libc::SIGTTIN, "SIGTTIN"),
    (Signal::Ttou, libc::SIGTTOU, "SIGTTOU"),
    (Signal::Xcpu, libc::SIGXCPU, "SIGXCPU"),
    (Signal::Xfsz, libc::SIGXFSZ, "SIGXFSZ"),
    (Signal::Winch, libc::SIGWINCH, "SIGWINCH"),
    (Signal::Sys, libc::SIGSYS, "SIGSYS"),
];

impl Signal {
    /// The kernel's number on this machine.
    pub fn as_raw(self) -> i32 {
        // Each variant is in the table (a test goes through them); 0 would be no signal at all.
        NAMES
            .iter()
            .find(|(signal, ..)| *signal == self)
            .map_or(0, |(_, raw, _)| *raw)
    }

    /// The signal of a number; `None` for those not named here (real-time signals, for instance).
    pub fn from_raw(raw: i32) -> Option<Self> {
        NAMES
            .iter()
            .find(|(_, number, _)| *number == raw)
            .map(|(signal, ..)| *signal)
    }

    /// Its usual name, as in `SIGTERM`.
    pub fn name(self) -> &'static str {
        NAMES
            .iter()
            .find(|(signal, ..)| *signal == self)
            .map_or("", |(.., name)| *name)
    }

    pub(crate) fn to_rustix(self) -> io::Result<rustix::process::Signal> {
        rustix::process::Signal::from_named_raw(self.as_raw())
            .ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }
}

impl std::fmt::Display for Signal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Signals that are read instead of delivered. Non-blocking and close-on-exec; wait for it with
/// [`Epoll`](crate::epoll::Epoll). Dropping it leaves the signals blocked.
#[derive(Debug)]
pub struct SignalFd {
    fd: OwnedFd,
}

impl SignalFd {
    /// Blocks `signals` in the calling thread, and reads them from now on.
    ///
    /// Call it before other threads are started. [`Signal::Kill`] and [`Signal::Stop`] cannot be
    /// blocked and are left out. If [`Signal::Chld`] is among them and was ignored, it no longer is.
    pub fn new(signals: &[Signal]) -> io::Result<Self> {
        let set = set_of(signals);
        if signals.contains(&Signal::Chld) {
            // SAFETY: setting the default action of a valid signal touches no memory of ours.
            unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
        }
        change_mask(libc::SIG_BLOCK, &set);
        // SAFETY: `set` is an initialised signal set; -1 asks for a new descriptor.
        let raw =
            unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call succeeded, so `raw` is an open descriptor that nobody else owns.
        let fd = unsafe { OwnedFd::from_raw_fd(raw) };
        Ok(Self { fd })
    }

    /// The next signal that came; `None` when there is none now.
    pub fn read(&self) -> io::Result<Option<Signal>> {
        let mut record = [0; size_of::<libc::signalfd_siginfo>()];
        loop {
            match retry_on_intr(|| rustix::io::read(&self.fd, &mut record)) {
                Ok(0) | Err(Errno::AGAIN) => return Ok(None),
                Ok(_) => {}
                Err(error) => return Err(error.into()),
            }
            // The number is the record's first field.
            let number = record
                .first_chunk()
                .map_or(0, |raw| u32::from_ne_bytes(*raw));
            if let Some(signal) = i32::try_from(number).ok().and_then(Signal::from_raw) {
                return Ok(Some(signal));
            }
        }
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Empties the calling thread's mask: signals that were blocked and are pending arrive now.
pub fn unblock_all() {
    change_mask(libc::SIG_SETMASK, &empty_set());
}

/// The signal set of these signals.
fn set_of(signals: &[Signal]) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: `sigemptyset` initialises the set it is given room for.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: just initialised.
    let mut set = unsafe { set.assume_init() };
    for signal in signals {
        // SAFETY: the set is initialised; a number that is no signal would only be refused.
        unsafe { libc::sigaddset(&raw mut set, signal.as_raw()) };
    }
    set
}

/// No signal.
pub(crate) fn empty_set() -> libc::sigset_t {
    set_of(&[])
}

/// Each signal there is.
pub(crate) fn full_set() -> libc::sigset_t {
    let mut set = empty_set();
    // SAFETY: the set is initialised.
    unsafe { libc::sigfillset(&raw mut set) };
    set
}

/// Changes the calling thread's mask and returns what it was. Async-signal-safe.
pub(crate) fn change_mask(how: i32, set: &libc::sigset_t) -> libc::sigset_t {
    let mut before = *set;
    // SAFETY: both point to live signal sets. It can fail only for a wrong `how`.
    unsafe { libc::pthread_sigmask(how, set, &raw mut before) };
    before
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raise(signal: Signal) {
        // SAFETY: raises a valid signal in this thread, which has blocked it.
        assert_eq!(unsafe { libc::raise(signal.as_raw()) }, 0);
    }

    fn blocked() -> String {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("SigBlk:"));
        line.unwrap().trim().to_owned()
    }

    // Each test has a thread of its own, so masks do not meet.
    #[test]
    fn blocked_signals_are_read_and_like_ones_merge() {
        let signals = SignalFd::new(&[Signal::Usr1, Signal::Usr2, Signal::Kill]).unwrap();
        assert_eq!(signals.read().unwrap(), None);
        raise(Signal::Usr1);
        raise(Signal::Usr1);
        raise(Signal::Usr2);
        assert_eq!(signals.read().unwrap(), Some(Signal::Usr1));
        assert_eq!(signals.read().unwrap(), Some(Signal::Usr2));
        assert_eq!(signals.read().unwrap(), None);
    }

    #[test]
    fn a_mask_is_emptied() {
        let _signals = SignalFd::new(&[Signal::Term, Signal::Hup]).unwrap();
        assert_eq!(blocked(), "0000000000004001");
        unblock_all();
        assert_eq!(blocked(), "0000000000000000");
    }

    #[test]
    fn a_set_mask_gives_back_the_one_before() {
        let before = change_mask(libc::SIG_SETMASK, &full_set());
        assert_ne!(blocked(), "0000000000000000");
        change_mask(libc::SIG_SETMASK, &before);
        assert_eq!(blocked(), "0000000000000000");
    }

    #[test]
    fn each_signal_has_its_own_number_and_name() {
        for (signal, raw, name) in NAMES {
            assert_eq!((signal.as_raw(), signal.name()), (raw, name));
            assert_eq!(Signal::from_raw(raw), Some(signal));
            assert_eq!(signal.to_rustix().unwrap().as_raw(), raw);
            assert_eq!(
                format!("{signal:?}").to_uppercase(),
                name.trim_start_matches("SIG")
            );
        }
        assert_eq!(Signal::from_raw(0), None);
        assert_eq!(Signal::from_raw(libc::SIGRTMIN()), None);
    }
}
