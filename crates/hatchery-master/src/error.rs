//! The crate's error.

use std::fmt;
use std::io;

/// Why a master could not start, or a running one could not be reached.
#[derive(Debug)]
pub struct Error {
    code: ErrorCode,
    detail: String,
    source: Option<io::Error>,
}

/// What went wrong. The names are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorCode {
    /// Another master of this application holds the run directory.
    AlreadyRunning,
    /// A listener could not be made: address in use, not ours, malformed.
    Listen,
    /// The run directory, or a file in it, cannot be used.
    RunDir,
    /// The pool could not be brought up.
    StartFailed,
    /// No master answers at that place.
    NotRunning,
    /// A master is there and does not answer as it should.
    Protocol,
    /// A master is there and has not answered in time.
    Timeout,
    /// The system refused something that a master cannot do without.
    System,
}

impl Error {
    pub(crate) fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            source: None,
        }
    }

    pub(crate) fn io(code: ErrorCode, detail: impl Into<String>, source: io::Error) -> Self {
        Self {
            code,
            detail: detail.into(),
            source: Some(source),
        }
    }

    /// The stable code.
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// Whether the application is not running there.
    pub fn is_not_running(&self) -> bool {
        self.code == ErrorCode::NotRunning
    }

    /// Whether the master has not answered in time.
    pub fn is_timeout(&self) -> bool {
        self.code == ErrorCode::Timeout
    }

    /// Whether it runs already.
    pub fn is_already_running(&self) -> bool {
        self.code == ErrorCode::AlreadyRunning
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)?;
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

// The system's error is part of the text, so it is no `source` of its own.
impl std::error::Error for Error {}

/// Adds what was being done to an I/O error.
pub(crate) trait Context<T> {
    fn context(self, code: ErrorCode, detail: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, code: ErrorCode, detail: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|source| Error::io(code, detail(), source))
    }
}
