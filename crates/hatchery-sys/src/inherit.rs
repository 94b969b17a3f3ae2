//! Descriptors that outlive the program: those that a process hands to its own next image.
//!
//! `execve` closes what is close-on-exec and keeps the numbers of the rest. The old image lifts the
//! mark from what it hands over ([`set`]), the new one claims the numbers that it was told of. What
//! it has not taken can be given up as it came: a new image that cannot go on hands all of them back
//! to the old program by another `execve`.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, IntoRawFd as _, OwnedFd, RawFd};

use rustix::io::FdFlags;

use crate::process::take_fd;

/// Lifts the close-on-exec mark (`true`), or sets it again.
///
/// # Errors
///
/// Of the first descriptor that fails; the others are done all the same.
pub fn set(fds: &[BorrowedFd<'_>], inheritable: bool) -> io::Result<()> {
    let flags = if inheritable {
        FdFlags::empty()
    } else {
        FdFlags::CLOEXEC
    };
    let mut result = Ok(());
    for fd in fds {
        let done = rustix::io::fcntl_setfd(fd, flags).map_err(io::Error::from);
        result = result.and(done);
    }
    result
}

/// Descriptors of the image before this one. Dropping it leaves those that were not taken open and
/// inheritable, as they came.
#[derive(Debug)]
pub struct Inherited {
    fds: BTreeMap<RawFd, OwnedFd>,
}

impl Inherited {
    /// Claims these numbers. Like [`take_fd`], call it early in `main`.
    ///
    /// # Errors
    ///
    /// `InvalidInput` unless each is 3 or more, open, not close-on-exec, and there once.
    pub fn claim(numbers: &[RawFd]) -> io::Result<Self> {
        let mut inherited = Self {
            fds: BTreeMap::new(),
        };
        for &number in numbers {
            if inherited.fds.contains_key(&number) {
                let what = format!("descriptor {number} is named twice");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
            }
            inherited.fds.insert(number, take_fd(number)?);
        }
        Ok(inherited)
    }

    /// Looks at one without taking it.
    ///
    /// # Errors
    ///
    /// `NotFound` when it was not claimed, or is taken.
    pub fn borrow(&self, number: RawFd) -> io::Result<BorrowedFd<'_>> {
        let fd = self.fds.get(&number).ok_or_else(|| missing(number))?;
        Ok(fd.as_fd())
    }

    /// Takes one; it is close-on-exec.
    ///
    /// # Errors
    ///
    /// `NotFound` when it was not claimed, or is taken.
    pub fn take(&mut self, number: RawFd) -> io::Result<OwnedFd> {
        self.fds.remove(&number).ok_or_else(|| missing(number))
    }
}

impl Drop for Inherited {
    fn drop(&mut self) {
        for (_, fd) in std::mem::take(&mut self.fds) {
            // Cannot fail for a descriptor that is open.
            let _ = rustix::io::fcntl_setfd(&fd, FdFlags::empty());
            let _ = fd.into_raw_fd();
        }
    }
}

fn missing(number: RawFd) -> io::Error {
    let what = format!("descriptor {number} was not handed over");
    io::Error::new(io::ErrorKind::NotFound, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::os::fd::AsRawFd as _;

    fn flags(fd: RawFd) -> Option<FdFlags> {
        let info = format!("/proc/self/fdinfo/{fd}");
        let text = std::fs::read_to_string(info).ok()?;
        let line = text.lines().find(|line| line.starts_with("flags:"))?;
        let bits = u32::from_str_radix(line.rsplit('\t').next()?.trim(), 8).ok()?;
        Some(if bits & 0o2_000_000 == 0 {
            FdFlags::empty()
        } else {
            FdFlags::CLOEXEC
        })
    }

    #[test]
    fn what_is_not_taken_stays_as_it_came() {
        let (reader, mut writer) = io::pipe().unwrap();
        let number = reader.as_raw_fd();
        assert!(Inherited::claim(&[number]).is_err(), "it is close-on-exec");
        set(&[reader.as_fd()], true).unwrap();
        let number = reader.into_raw_fd();
        assert!(Inherited::claim(&[number, number]).is_err());

        let mut inherited = Inherited::claim(&[number]).unwrap();
        inherited.borrow(number).unwrap();
        drop(inherited);
        assert_eq!(flags(number), Some(FdFlags::empty()));

        inherited = Inherited::claim(&[number]).unwrap();
        let taken = inherited.take(number).unwrap();
        assert!(inherited.take(number).is_err() && inherited.borrow(number).is_err());
        drop(inherited);
        assert_eq!(flags(number), Some(FdFlags::CLOEXEC));
        writer.write_all(b"x").unwrap();
        io::PipeReader::from(taken).read_exact(&mut [0]).unwrap();
    }

    #[test]
    fn numbers_that_nobody_handed_over_are_refused() {
        for wrong in [-1, 0, 2, 99_999] {
            let error = Inherited::claim(&[wrong]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{wrong}");
        }
    }

    #[test]
    fn the_mark_can_be_set_again() {
        let (reader, _writer) = io::pipe().unwrap();
        set(&[reader.as_fd()], true).unwrap();
        assert_eq!(flags(reader.as_raw_fd()), Some(FdFlags::empty()));
        set(&[reader.as_fd()], false).unwrap();
        assert_eq!(flags(reader.as_raw_fd()), Some(FdFlags::CLOEXEC));
    }
}
