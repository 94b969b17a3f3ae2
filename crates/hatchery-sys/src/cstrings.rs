//! The arrays of C strings that `execve` wants, prepared before a fork.

use std::ffi::{CString, OsString, c_char};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::ptr;

/// C strings and the null-terminated array of pointers to them.
pub(crate) struct CStrings {
    /// From `CString::into_raw`, so that they may be written through; null at the end.
    pointers: Vec<*mut c_char>,
}

impl CStrings {
    pub(crate) fn new(strings: Vec<CString>) -> Self {
        let owned = strings.into_iter().map(CString::into_raw);
        Self {
            pointers: owned.chain([ptr::null_mut()]).collect(),
        }
    }

    /// Arguments; `InvalidInput` for one with NUL.
    pub(crate) fn args(args: &[OsString]) -> io::Result<Self> {
        let strings = args.iter().map(|arg| Ok(CString::new(arg.as_bytes())?));
        Ok(Self::new(strings.collect::<io::Result<_>>()?))
    }

    /// An environment; see [`variable`].
    pub(crate) fn env(env: &[(OsString, OsString)]) -> io::Result<Self> {
        Ok(Self::new(
            env.iter().map(variable).collect::<io::Result<_>>()?,
        ))
    }

    /// The array for `execve`, valid as long as `self`.
    pub(crate) fn pointers(&self) -> *const *const c_char {
        self.pointers.as_ptr().cast()
    }

    /// The last string's first byte. It may be written through, while nobody reads the string; its
    /// length must be what it was when `self` is dropped.
    pub(crate) fn last(&self) -> Option<*mut u8> {
        self.pointers
            .iter()
            .rev()
            .nth(1)
            .map(|string| string.cast())
    }
}

impl Drop for CStrings {
    fn drop(&mut self) {
        for string in self.pointers.drain(..).filter(|string| !string.is_null()) {
            // SAFETY: it came from `into_raw` in `new`, and is given back once.
            drop(unsafe { CString::from_raw(string) });
        }
    }
}

/// A path; `InvalidInput` for one with NUL.
pub(crate) fn path(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

/// `name=value`; `InvalidInput` for NUL in either, and for a name that is empty or has `=` in it.
pub(crate) fn variable((name, value): &(OsString, OsString)) -> io::Result<CString> {
    if name.is_empty() || name.as_bytes().contains(&b'=') {
        let what = format!("\"{}\" cannot be the name of a variable", name.display());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    let bytes = [name.as_bytes(), b"=", value.as_bytes()].concat();
    Ok(CString::new(bytes)?)
}
