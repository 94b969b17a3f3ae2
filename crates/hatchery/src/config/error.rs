//! The module's error: everything that is wrong with a configuration, at once.

use std::fmt;

use super::Place;

/// What is wrong with a configuration: at least one problem, each on a line of its own when shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Never empty.
    problems: Vec<ConfigProblem>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProblem {
    pub(super) code: ConfigErrorCode,
    pub(super) place: Option<Place>,
    /// Dotted; empty when it is about a whole file.
    pub(super) key: String,
    pub(super) message: String,
}

/// What kind of thing is wrong. The names are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ConfigErrorCode {
    /// A file exists but cannot be read.
    Unreadable,
    /// A file is not TOML, or a variable's name is not a key.
    Syntax,
    /// The name of the environment, or of the scope, is not one.
    EnvironmentName,
    /// A key that another load unit is to set: `middleware.order` is the application's.
    Misplaced,
    /// Nobody asks for this key.
    UnknownKey,
    /// A key without which it does not go.
    MissingKey,
    /// A value of the wrong kind, out of range, or at odds with another.
    InvalidValue,
}

impl ConfigErrorCode {
    /// The code as a word, for logs and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Syntax => "syntax",
            Self::EnvironmentName => "environment_name",
            Self::Misplaced => "misplaced",
            Self::UnknownKey => "unknown_key",
            Self::MissingKey => "missing_key",
            Self::InvalidValue => "invalid_value",
        }
    }
}

impl ConfigProblem {
    pub(crate) fn new(
        code: ConfigErrorCode,
        place: Option<Place>,
        key: &str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            code,
            place,
            key: key.to_owned(),
            message: message.into(),
        }
    }

    /// The stable code.
    pub fn code(&self) -> ConfigErrorCode {
        self.code
    }

    /// Where the cause was written; `None` when a default or an absence is the cause.
    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// The dotted key; empty when the problem is about a whole file.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What is wrong, on one line, without place and key.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl ConfigError {
    pub(super) fn one(problem: ConfigProblem) -> Self {
        Self {
            problems: vec![problem],
        }
    }

    /// All of `problems`, of which there must be one, in the order of layers and lines.
    pub(super) fn many(mut problems: Vec<ConfigProblem>) -> Self {
        debug_assert!(!problems.is_empty());
        problems.sort_by(|a, b| a.place.cmp(&b.place));
        Self { problems }
    }

    /// `Ok` when there are no problems; otherwise all of them.
    pub(crate) fn check(problems: Vec<ConfigProblem>) -> Result<(), Self> {
        if problems.is_empty() {
            return Ok(());
        }
        Err(Self::many(problems))
    }

    pub(super) fn into_problems(self) -> Vec<ConfigProblem> {
        self.problems
    }

    /// Everything that was found, in the order of layers and lines.
    pub fn problems(&self) -> &[ConfigProblem] {
        &self.problems
    }

    /// The stable code of the first problem.
    pub fn code(&self) -> ConfigErrorCode {
        let first = self.problems.first();
        first.map_or(ConfigErrorCode::InvalidValue, |problem| problem.code)
    }

    /// Whether a file or variable could not be understood at all.
    pub fn is_syntax(&self) -> bool {
        self.has(ConfigErrorCode::Syntax)
    }

    /// Whether a key is there that nobody asks for.
    pub fn is_unknown_key(&self) -> bool {
        self.has(ConfigErrorCode::UnknownKey)
    }

    /// Whether a value is of the wrong kind, out of range, or at odds with another.
    pub fn is_invalid_value(&self) -> bool {
        self.has(ConfigErrorCode::InvalidValue)
    }

    /// Whether a required key is not there.
    pub fn is_missing_key(&self) -> bool {
        self.has(ConfigErrorCode::MissingKey)
    }

    /// Whether a file exists but cannot be read.
    pub fn is_unreadable(&self) -> bool {
        self.has(ConfigErrorCode::Unreadable)
    }

    fn has(&self, code: ConfigErrorCode) -> bool {
        self.problems.iter().any(|problem| problem.code == code)
    }
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        // The message about an unknown key names it.
        if !self.key.is_empty() && self.code != ConfigErrorCode::UnknownKey {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
