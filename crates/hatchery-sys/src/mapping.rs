//! Memory that a child and its master share: a sealed memory file, mapped by both.
//!
//! The file is sealed against shrinking, so no access can fault whatever the other side does, and
//! it lives as long as anyone holds its descriptor or a mapping: what a child wrote outlives it.

use std::io;
use std::marker::PhantomData;
use std::ops::Deref;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;

use rustix::fs::SealFlags;
use rustix::mm::{MapFlags, ProtFlags};

use crate::memfd;

/// What may lie in shared memory.
///
/// # Safety
/// The type consists of atomics alone, so that any bits are a valid value and shared references
/// allow no other access; its alignment is that of a page at most.
pub(crate) unsafe trait Shared: Send + Sync {}

/// A mapped `T`; dropping it unmaps.
pub(crate) struct Mapping<T: Shared> {
    layout: NonNull<T>,
    _owns: PhantomData<T>,
}

// SAFETY: the mapping belongs to the process, not to a thread, and `T` is atomics alone.
unsafe impl<T: Shared> Send for Mapping<T> {}
// SAFETY: as above: shared references only ever do atomic accesses.
unsafe impl<T: Shared> Sync for Mapping<T> {}

impl<T: Shared> Mapping<T> {
    /// A `T` of zeroes, and the descriptor that the other process [maps](Self::map).
    pub(crate) fn create(name: &str) -> io::Result<(Self, OwnedFd)> {
        let fd = memfd::create(name)?;
        rustix::fs::ftruncate(&fd, size_of::<T>() as u64)?;
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        rustix::fs::fcntl_add_seals(&fd, seals)?;
        Ok((Self::map(&fd)?, fd))
    }

    /// Maps the file of another process. It may be longer than a `T`.
    ///
    /// `InvalidData` when it is shorter, or not sealed against shrinking.
    pub(crate) fn map(fd: impl AsFd) -> io::Result<Self> {
        let fd = fd.as_fd();
        let size = rustix::fs::fstat(fd)?.st_size;
        if usize::try_from(size).is_ok_and(|size| size < size_of::<T>()) {
            let what = format!("{size} bytes, not {}", size_of::<T>());
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        // A file that its other holder could shorten would fault at the next access. Files that
        // know no seals at all report an error, which means the same.
        let seals = rustix::fs::fcntl_get_seals(fd).unwrap_or(SealFlags::empty());
        if !seals.contains(SealFlags::SHRINK) {
            let what = "not sealed against shrinking";
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        // SAFETY: a new mapping at an address of the kernel's choice disturbs no other memory.
        let address = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                size_of::<T>(),
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                fd,
                0,
            )
        }?;
        Ok(Self {
            layout: NonNull::new(address.cast()).ok_or(io::ErrorKind::OutOfMemory)?,
            _owns: PhantomData,
        })
    }
}

impl<T: Shared> Deref for Mapping<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the address is that of a live mapping of a `T`'s size, aligned to a page. Any bits
        // are valid for it (`Shared`), and the file is sealed against shrinking, so the memory
        // stays. It is unmapped only by `drop`.
        unsafe { self.layout.as_ref() }
    }
}

impl<T: Shared> Drop for Mapping<T> {
    fn drop(&mut self) {
        // SAFETY: `map` made this mapping, nobody else knows it, and all borrows have ended, as
        // `drop` has the only reference. Nothing is to be done about a failure.
        let _ = unsafe { rustix::mm::munmap(self.layout.as_ptr().cast(), size_of::<T>()) };
    }
}
