//! Unix sockets: their files, their short names, and what a dead master leaves behind.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::Options;

/// The longest path that the kernel's socket address holds besides its NUL.
const NAME_MAX: usize = 107;

/// A socket is bound to its path with this and our pid added, and renamed when it listens.
const TEMPORARY: &str = ".hatchery-";

pub(super) fn bind(path: &Path, options: &Options) -> io::Result<OwnedFd> {
    // A name that nobody could connect to, ourselves included when the file is stale, is refused.
    drop(Name::new(path)?);
    if in_use(path)? {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    let temporary = temporary(path);
    // Left by an earlier process of our number, if at all.
    if let Err(error) = std::fs::remove_file(&temporary)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let fd = socket()?;
    rustix::net::bind(&fd, &Name::new(&temporary)?.address)?;
    let published = publish(&fd, &temporary, path, options);
    if published.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    published.map(|()| fd)
}

/// Where the socket is bound at first, in the directory of `path`: its name and more, from which
/// [`path_of`] can tell the path; or where that is too long, a short name, from which it cannot.
fn temporary(path: &Path) -> PathBuf {
    let suffix = format!("{TEMPORARY}{}", std::process::id());
    let mut telling = path.as_os_str().to_owned();
    telling.push(&suffix);
    if telling.len() <= NAME_MAX {
        PathBuf::from(telling)
    } else {
        path.with_file_name(suffix)
    }
}

/// The file gets its rights before anybody can connect, and its name when everybody can.
fn publish(fd: &OwnedFd, temporary: &Path, path: &Path, options: &Options) -> io::Result<()> {
    let rights = std::fs::Permissions::from_mode(options.unix_mode & 0o777);
    std::fs::set_permissions(temporary, rights)?;
    rustix::net::listen(fd, options.backlog)?;
    std::fs::rename(temporary, path)
}

/// Whether somebody listens there. What is not a socket is an error: it is not ours to replace.
pub(super) fn in_use(path: &Path) -> io::Result<bool> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            let what = "the path exists and is not a socket";
            return Err(io::Error::new(io::ErrorKind::AddrInUse, what));
        }
        Ok(_) => {}
    }
    match rustix::net::connect(socket()?, &Name::new(path)?.address) {
        // The last two: its queue is full, or it is a socket of another type.
        Ok(()) | Err(Errno::AGAIN | Errno::PROTOTYPE) => Ok(true),
        // Nobody listens, or it went away meanwhile.
        Err(Errno::CONNREFUSED | Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Connects without waiting.
pub(super) fn connect(path: &Path) -> io::Result<OwnedFd> {
    let socket = socket()?;
    rustix::net::connect(&socket, &Name::new(path)?.address)?;
    Ok(socket)
}

/// The path that a socket was bound to by [`bind`], or by anybody else; `None` if it cannot be told.
pub(super) fn path_of(name: &SocketAddrUnix) -> Option<PathBuf> {
    let bytes = name.path_bytes()?.split(|byte| *byte == 0).next()?;
    // Bound through a directory's descriptor, whose number tells nobody anything.
    if bytes.starts_with(b"/proc/self/fd/") {
        return None;
    }
    let path = without_temporary(bytes).unwrap_or(bytes);
    let path = Path::new(OsStr::from_bytes(path));
    (!path.as_os_str().is_empty() && !path.as_os_str().as_bytes().ends_with(b"/"))
        .then(|| path.to_owned())
}

/// Takes away the marker and the pid, if that is how the path ends.
fn without_temporary(path: &[u8]) -> Option<&[u8]> {
    let digits = path
        .iter()
        .rev()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let end = path.len() - digits;
    if digits == 0 {
        return None;
    }
    path.get(..end)?.strip_suffix(TEMPORARY.as_bytes())
}

fn socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        flags,
        None,
    )?)
}

/// A path as a socket address. One that is too long goes through its directory's descriptor, which
/// must stay open while the address is used.
struct Name {
    address: SocketAddrUnix,
    _directory: Option<OwnedFd>,
}

impl Name {
    fn new(path: &Path) -> io::Result<Self> {
        if path.as_os_str().len() <= NAME_MAX {
            return Ok(Self {
                address: SocketAddrUnix::new(path)?,
                _directory: None,
            });
        }
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(directory, flags, Mode::empty())?;
        let short = Path::new("/proc/self/fd")
            .join(directory.as_raw_fd().to_string())
            .join(name);
        Ok(Self {
            address: SocketAddrUnix::new(short)?,
            _directory: Some(directory),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_told_without_what_was_added() {
        let table = [
            ("/run/app.sock", Some("/run/app.sock")),
            ("/run/app.sock.hatchery-123", Some("/run/app.sock")),
            ("/run/app.sock.hatchery-", Some("/run/app.sock.hatchery-")),
            (
                "/run/app.sock.hatchery-1x",
                Some("/run/app.sock.hatchery-1x"),
            ),
            ("/run/app.sock.7", Some("/run/app.sock.7")),
            ("/run/.hatchery-123", None),
            ("/proc/self/fd/7/app.sock.hatchery-123", None),
        ];
        for (bound, told) in table {
            let name = SocketAddrUnix::new(bound).unwrap();
            assert_eq!(path_of(&name), told.map(PathBuf::from), "{bound}");
        }
        assert_eq!(path_of(&SocketAddrUnix::new_unnamed()), None);
        assert_eq!(
            path_of(&SocketAddrUnix::new_abstract_name(b"x").unwrap()),
            None
        );
    }

    #[test]
    fn the_first_name_is_in_the_same_directory_and_short_enough() {
        for length in [1, 50, 90, 107, 200] {
            let path = Path::new("/run").join("s".repeat(length));
            let first = temporary(&path);
            assert_eq!(first.parent(), path.parent());
            assert!(first.as_os_str().len() <= NAME_MAX);
        }
    }
}
