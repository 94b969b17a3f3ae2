//! Unix sockets at paths of any length.
//!
//! A socket address holds 107 bytes. A longer path is reached through its directory's descriptor,
//! `/proc/self/fd/N/name`, which always fits.

use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

const PATH_MAX: usize = 107;

/// Connects to the socket at `path`.
pub(crate) fn connect(path: &Path) -> io::Result<UnixStream> {
    with_short(path, |short| UnixStream::connect(short))
}

/// Binds `path`, mode 0600 from its first moment.
pub(crate) fn bind_private(path: &Path) -> io::Result<UnixListener> {
    let umask = rustix::process::umask(Mode::from_raw_mode(0o177));
    let listener = with_short(path, |short| UnixListener::bind(short));
    rustix::process::umask(umask);
    listener
}

fn with_short<T>(path: &Path, open: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    if path.as_os_str().len() <= PATH_MAX {
        return open(path);
    }
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return open(path);
    };
    let directory = rustix::fs::open(
        directory,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    open(&Path::new(&format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_long_path_works_like_a_short_one() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["short", &"long".repeat(40)] {
            let deep = dir.path().join(name);
            std::fs::create_dir(&deep).unwrap();
            let path = deep.join("app.sock");
            let _listener = bind_private(&path).unwrap();
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            connect(&path).unwrap();
        }
    }
}
