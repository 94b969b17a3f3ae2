//! Which one process plays a part, as a lock that ends with the process.
//!
//! A record lock belongs to a process and is gone with it, however it ends; unlike a pid in a file
//! it cannot be stale, and the kernel tells who holds it.
//!
//! Kernel traps:
//! - it is lost when the process closes *any* descriptor of the file: nobody else opens it;
//! - children do not inherit it;
//! - a process does not see its own lock.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Flock, FlockType, fcntl_getlk};

/// The file that an agent locks, from its application's control socket.
#[must_use]
pub fn agent_file(control_socket: &Path) -> PathBuf {
    control_socket.with_extension("agent")
}

/// Locks the file at `path` for the life of this process, or until the descriptor is closed; makes
/// the file where there is none.
///
/// `WouldBlock` when another process has it.
pub fn claim(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?;
    match rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::ACCESS | Errno::AGAIN) => Err(io::ErrorKind::WouldBlock.into()),
        Err(error) => Err(error.into()),
    }
}

/// The other process that has locked the file at `path`; `None` when nobody has, or there is no
/// such file. It may be gone a moment later.
pub fn holder(path: &Path) -> io::Result<Option<u32>> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let held = fcntl_getlk(&file, &Flock::from(FlockType::WriteLock))?;
    Ok(held.and_then(|lock| lock.pid).and_then(|pid| {
        // The kernel says 0 or less for a process that we cannot see.
        u32::try_from(pid.as_raw_nonzero().get()).ok()
    }))
}
