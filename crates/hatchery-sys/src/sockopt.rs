//! Socket options that the safe wrappers lack, or whose values they cannot represent.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, BorrowedFd};

/// A structure of the kernel's that any bytes are a valid value of.
///
/// # Safety
/// All bit patterns, all zeroes included, are valid; it has no pointers.
pub(crate) unsafe trait Plain: Copy {}

// SAFETY: three integers.
unsafe impl Plain for libc::ucred {}
// SAFETY: integers only.
unsafe impl Plain for libc::tcp_info {}

/// Reads an option. A kernel that knows fewer fields leaves the last ones zero.
pub(crate) fn get<T: Plain>(fd: BorrowedFd<'_>, level: i32, name: i32) -> io::Result<T> {
    let mut value = MaybeUninit::<T>::zeroed();
    let mut length = libc::socklen_t::try_from(size_of::<T>())
        .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: `value` has room for the `length` bytes that the kernel may write at most, and the
    // descriptor is borrowed, so it is open.
    let result = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            level,
            name,
            value.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it was zeroed at first, and the implementor of `Plain` says that any bytes are valid.
    Ok(unsafe { value.assume_init() })
}
