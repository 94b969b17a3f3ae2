//! The crate's error.

use std::fmt;

/// A message that could not be written or understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    code: ErrorCode,
    detail: String,
}

/// What is wrong with a message. The names are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorCode {
    /// The bytes are not a message of this protocol.
    Malformed,
    /// The message is longer than its protocol allows.
    TooLong,
    /// The peer speaks a version that this side does not.
    Version,
}

impl Error {
    pub(crate) fn new(code: ErrorCode, detail: impl fmt::Display) -> Self {
        Self {
            code,
            detail: detail.to_string(),
        }
    }

    /// The stable code.
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// Whether the two sides are of versions that do not understand each other.
    pub fn is_version(&self) -> bool {
        self.code == ErrorCode::Version
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.code {
            ErrorCode::Malformed => "malformed message",
            ErrorCode::TooLong => "message too long",
            ErrorCode::Version => "protocol version",
        };
        write!(f, "{kind}: {}", self.detail)
    }
}

impl std::error::Error for Error {}
