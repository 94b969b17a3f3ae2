//! Why a value could not be read, and which one.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{Error, Expected, Unexpected};

use super::super::suggest::did_you_mean;
use super::super::tree::{Node, join};
use super::super::{ConfigErrorCode, ConfigProblem, Place};

/// An error on its way from the value that caused it.
#[derive(Debug)]
pub(super) struct Fault {
    code: ConfigErrorCode,
    /// What is wrong; with an unknown key, only the suggestion.
    message: String,
    /// The key within the table where the error came up, when it is about one.
    field: Option<String>,
    /// Path and place, as soon as the innermost value has added them.
    at: Option<(String, Option<Place>)>,
}

impl Fault {
    fn new(code: ConfigErrorCode, message: String) -> Self {
        Self {
            code,
            message,
            field: None,
            at: None,
        }
    }

    /// Adds path and place of the value at which the error is passed on, unless one further in
    /// has done so.
    pub(super) fn locate(mut self, node: Option<&Node>, path: &str) -> Self {
        if self.at.is_none() {
            self.at = Some((path.to_owned(), self.place(node)));
            let from_variable = node.is_some_and(|node| node.place.is_environment());
            if from_variable && self.message.starts_with("expected a string, found") {
                self.message
                    .push_str(" (put the variable's value into double quotes)");
            }
        }
        self
    }

    fn place(&self, node: Option<&Node>) -> Option<Place> {
        let node = node?;
        let child = self
            .field
            .as_ref()
            .and_then(|field| node.table()?.get(field));
        Some(child.map_or(&node.place, |child| &child.key_place).clone())
    }

    /// The path of the value that has to be left out for the others to be read.
    pub(super) fn path(&self) -> &str {
        self.at.as_ref().map_or("", |(path, _)| path)
    }

    /// Whether it came up only because a value was left out.
    pub(super) fn follows_from(&self, skipped: &BTreeSet<String>) -> bool {
        let path = self.path();
        if self.code == ConfigErrorCode::MissingKey {
            let field = self.field.as_deref().unwrap_or_default();
            return skipped.contains(&join(path, field));
        }
        skipped
            .iter()
            .any(|skipped| match skipped.strip_prefix(path) {
                Some(rest) => rest.is_empty() || rest.starts_with(['.', '[']),
                None => false,
            })
    }

    pub(super) fn into_problem(self) -> ConfigProblem {
        let (path, place) = self.at.unwrap_or_default();
        let key = match &self.field {
            Some(field) => join(&path, field),
            None => path,
        };
        let message = match self.code {
            ConfigErrorCode::UnknownKey => format!("unknown key `{key}`{}", self.message),
            _ => self.message,
        };
        ConfigProblem::new(self.code, place, &key, message)
    }
}

/// Names in backticks, with commas.
pub(super) fn list(names: &[&str]) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

impl Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        // One line for one problem, whatever a type's own error looks like.
        let message = message.to_string().lines().collect::<Vec<_>>().join(", ");
        Self::new(ConfigErrorCode::InvalidValue, message)
    }

    /// Shows what was found, but of a text only that it is one: it may be a secret.
    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let found = match found {
            Unexpected::Str(_) => "a string".to_owned(),
            Unexpected::Map => "a table".to_owned(),
            Unexpected::Seq => "an array".to_owned(),
            Unexpected::Unit => "nothing".to_owned(),
            Unexpected::Bool(yes) => format!("`{yes}`"),
            Unexpected::Unsigned(number) => format!("`{number}`"),
            Unexpected::Signed(number) => format!("`{number}`"),
            Unexpected::Float(number) => format!("`{number}`"),
            other => other.to_string(),
        };
        Self::custom(format!("expected {expected}, found {found}"))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn missing_field(field: &'static str) -> Self {
        Self {
            field: Some(field.to_owned()),
            ..Self::new(
                ConfigErrorCode::MissingKey,
                "required, but missing".to_owned(),
            )
        }
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let suggestion = did_you_mean(field, expected.iter().copied());
        Self {
            field: Some(field.to_owned()),
            ..Self::new(ConfigErrorCode::UnknownKey, suggestion)
        }
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let suggestion = did_you_mean(variant, expected.iter().copied());
        let expected = list(expected);
        Self::custom(format!("`{variant}` is not one of {expected}{suggestion}"))
    }
}
