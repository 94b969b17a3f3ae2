//! Bytes handed to a child as an anonymous, sealed file: its configuration, for one.
//!
//! A pipe or the environment would do for small things; a memory file has no size limit worth
//! naming, leaves nothing on disk, and once sealed no holder can change or shorten it, so that a
//! reader cannot be tricked into reading something else the second time.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::io::{Errno, retry_on_intr};

/// The most that [`read`] takes from a file, and [`with`] puts into one.
pub const BYTES_MAX: usize = 16 * 1024 * 1024;

/// Makes a memory file with these bytes, sealed against any change.
///
/// `name` is only for people (`/proc/PID/fd`), at most 249 bytes and without NUL
/// (`InvalidInput` otherwise). More than [`BYTES_MAX`] bytes are `InvalidInput` too.
pub fn with(name: &str, bytes: &[u8]) -> io::Result<OwnedFd> {
    if bytes.len() > BYTES_MAX {
        let what = format!(
            "{} bytes are too many for {name} ({BYTES_MAX})",
            bytes.len()
        );
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    let fd = create(name)?;
    let mut rest = bytes;
    while !rest.is_empty() {
        let written = retry_on_intr(|| rustix::io::write(&fd, rest))?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        rest = rest.get(written..).unwrap_or_default();
    }
    let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&fd, seals)?;
    Ok(fd)
}

/// The whole contents of a memory file (or any file), from its start, whatever its position is.
///
/// More than [`BYTES_MAX`] bytes are `InvalidData`.
pub fn read(fd: impl AsFd) -> io::Result<Vec<u8>> {
    let fd = fd.as_fd();
    let size = usize::try_from(rustix::fs::fstat(fd)?.st_size).unwrap_or(0);
    if size > BYTES_MAX {
        return Err(too_large());
    }
    // One more than the size, so that the read that finds the end needs no second buffer.
    let mut bytes = vec![0; size + 1];
    let mut length = 0;
    loop {
        let free = bytes.get_mut(length..).unwrap_or_default();
        let count = retry_on_intr(|| rustix::io::pread(fd, &mut *free, length as u64))?;
        length += count;
        if count == 0 {
            bytes.truncate(length);
            return Ok(bytes);
        }
        if length == bytes.len() {
            // An unsealed file that grew while it was read.
            if length > BYTES_MAX {
                return Err(too_large());
            }
            bytes.resize((length * 2).min(BYTES_MAX + 1), 0);
        }
    }
}

/// An empty memory file that can be sealed.
pub(crate) fn create(name: &str) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Hardened systems refuse memory files that could be executed; kernels before 6.3 do not know
    // how to ask for one that cannot.
    match rustix::fs::memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL) {
        Err(Errno::INVAL) => Ok(rustix::fs::memfd_create(name, flags)?),
        made => Ok(made?),
    }
}

fn too_large() -> io::Error {
    let what = format!("the file is larger than {BYTES_MAX} bytes");
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Seek as _, SeekFrom, Write as _};
    use std::os::fd::AsRawFd as _;

    #[test]
    fn gives_back_what_was_put_in_and_ignores_the_position() {
        for bytes in [vec![], vec![1], vec![7; 100_000]] {
            let mut file = File::from(with("test", &bytes).unwrap());
            assert_eq!(read(&file).unwrap(), bytes);
            file.seek(SeekFrom::End(0)).unwrap();
            assert_eq!(read(&file).unwrap(), bytes);
        }
    }

    #[test]
    fn nobody_can_change_it() {
        let mut file = File::from(with("test", b"fixed").unwrap());
        file.seek(SeekFrom::Start(0)).unwrap();
        assert_eq!(
            file.write(b"other").unwrap_err().kind(),
            io::ErrorKind::PermissionDenied
        );
        assert!(file.set_len(1).is_err() && file.set_len(100).is_err());
        // Not even through a new open of the same file.
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let again = File::options().write(true).open(path);
        assert!(again.and_then(|mut file| file.write(b"other")).is_err());
        assert_eq!(read(&file).unwrap(), b"fixed");
    }

    #[test]
    fn limits_hold() {
        assert_eq!(
            with("big", &vec![0; BYTES_MAX + 1]).unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
        assert!(with("nul\0name", b"").is_err());
        let file = tempfile::tempfile().unwrap();
        file.set_len(BYTES_MAX as u64 + 1).unwrap();
        assert_eq!(read(&file).unwrap_err().kind(), io::ErrorKind::InvalidData);
        file.set_len(BYTES_MAX as u64).unwrap();
        assert_eq!(read(&file).unwrap().len(), BYTES_MAX);
        // Files of /proc have size 0 and contents all the same.
        let status = File::open("/proc/self/status").unwrap();
        assert!(read(&status).unwrap().len() > 100);
    }
}
