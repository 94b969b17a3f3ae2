//! Who is at the other end, and whether a process that is not our child still lives.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags};

use crate::sockopt;

/// The process that connected a unix socket, as the kernel recorded it then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Its process; 0 when it lives in a pid namespace that we cannot see into.
    pub pid: u32,
    /// Its effective user when it connected.
    pub uid: u32,
}

/// Who is at the other end of a connected unix socket (`SO_PEERCRED`).
///
/// The process may be gone since, and its number used again; the user is what it was. `NotConnected`
/// when there is no other end.
pub fn credentials(fd: impl AsFd) -> io::Result<Credentials> {
    // The safe wrapper hands out the pid as a non-zero type, but the kernel does report 0.
    let creds: libc::ucred = sockopt::get(fd.as_fd(), libc::SOL_SOCKET, libc::SO_PEERCRED)?;
    if creds.uid == u32::MAX {
        return Err(io::ErrorKind::NotConnected.into());
    }
    Ok(Credentials {
        pid: u32::try_from(creds.pid).unwrap_or(0),
        uid: creds.uid,
    })
}

/// The user whose rights this process has.
pub fn effective_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// A descriptor for a process, which no later process of the same number can be confused with.
///
/// It becomes readable when the process is dead (reaped or not). `InvalidInput` when `pid` is 0 or
/// too large, the kernel's "no such process" when there is none.
pub fn pidfd_open(pid: u32) -> io::Result<OwnedFd> {
    Ok(rustix::process::pidfd_open(
        to_pid(pid)?,
        PidfdFlags::empty(),
    )?)
}

/// Waits until the process of a pidfd is dead; `false` when `timeout` is over first.
///
/// A zombie counts as dead. Works for any process, not only children.
pub fn wait_gone(pidfd: impl AsFd, timeout: Duration) -> io::Result<bool> {
    let pidfd = pidfd.as_fd();
    let deadline = Instant::now().checked_add(timeout);
    loop {
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
        match rustix::event::poll(&mut fds, left.as_ref()) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// A process number from outside as the kernel's type; 0 and what exceeds it are `InvalidInput`.
pub(crate) fn to_pid(pid: u32) -> io::Result<Pid> {
    i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("no process {pid}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::os::unix::net::UnixStream;
    use std::process::{Command, Stdio};

    #[test]
    fn a_pair_made_here_is_ours() {
        let (near, _far) = UnixStream::pair().unwrap();
        let expected = Credentials {
            pid: std::process::id(),
            uid: effective_uid(),
        };
        assert_eq!(credentials(&near).unwrap(), expected);
    }

    #[test]
    fn without_another_end_there_are_no_credentials() {
        let lonely = std::os::unix::net::UnixDatagram::unbound().unwrap();
        assert_eq!(
            credentials(&lonely).unwrap_err().kind(),
            io::ErrorKind::NotConnected
        );
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(credentials(&tcp).is_err());
    }

    #[test]
    fn a_process_is_gone_when_it_is_dead() {
        let mut child = Command::new("/bin/cat")
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let pidfd = pidfd_open(child.id()).unwrap();
        assert!(!wait_gone(&pidfd, Duration::from_millis(1)).unwrap());
        drop(child.stdin.take());
        assert!(wait_gone(&pidfd, Duration::from_secs(10)).unwrap());
        child.wait().unwrap();
        assert!(wait_gone(&pidfd, Duration::ZERO).unwrap());
        assert!(pidfd_open(child.id()).is_err());
    }

    #[test]
    fn numbers_that_are_no_process_are_refused() {
        for pid in [0, u32::MAX, 1 << 31] {
            assert_eq!(
                pidfd_open(pid).unwrap_err().kind(),
                io::ErrorKind::InvalidInput
            );
        }
    }
}
