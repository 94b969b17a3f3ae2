//! `match` and `ignore`: which requests a middleware sees.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::Request;
use http::request::Parts;
use percent_encoding::percent_decode_str;
use regex_lite::Regex;
use serde_json::Value;

use super::Next;
use crate::config::suggest::did_you_mean;

/// Conditions by their names.
pub(super) type Predicates = BTreeMap<&'static str, fn(&Parts) -> bool>;

/// Which requests a middleware sees.
pub(super) struct Filter {
    /// Any of them is enough.
    conditions: Vec<Condition>,
    /// Whether it sees those that meet one, or those that meet none.
    sees: bool,
}

/// Where the ways of two kinds of requests part.
pub(super) struct Fork {
    filter: Arc<Filter>,
    with: Next,
    without: Next,
}

impl Fork {
    /// Where a request goes on.
    pub(super) fn choose(&self, request: &mut Request) -> &Next {
        if self.filter.sees(request) {
            &self.with
        } else {
            &self.without
        }
    }
}

enum Condition {
    /// Whole segments of the path, without a slash at the end.
    Prefix(String),
    /// Somewhere in the path.
    Regex(Regex),
    Predicate(fn(&Parts) -> bool),
}

impl Filter {
    /// Of the value of `match` (`sees`) or `ignore`; the error says what is wrong with it.
    pub(super) fn new(value: &Value, sees: bool, known: &Predicates) -> Result<Self, String> {
        let conditions = match value {
            Value::Array(items) => items
                .iter()
                .map(|item| Condition::new(item, known))
                .collect(),
            one => Condition::new(one, known).map(|condition| vec![condition]),
        };
        let conditions = conditions?;
        Ok(Self { conditions, sees })
    }

    /// Sends those that it sees one way and the others the other way.
    pub(super) fn between(self: Arc<Self>, with: Next, without: Next) -> Next {
        Next::fork(Fork {
            filter: self,
            with,
            without,
        })
    }

    /// The request is whole again afterwards.
    fn sees(&self, request: &mut Request) -> bool {
        let others = readings(request.uri().path());
        for condition in &self.conditions {
            let is_met = match condition {
                Condition::Prefix(prefix) => {
                    self.fits(request, &others, |path| is_below(path, prefix, self.sees))
                }
                Condition::Regex(regex) => self.fits(request, &others, |path| regex.is_match(path)),
                Condition::Predicate(predicate) => {
                    let (parts, body) = std::mem::take(request).into_parts();
                    let is_met = predicate(&parts);
                    *request = Request::from_parts(parts, body);
                    is_met
                }
            };
            if is_met {
                return self.sees;
            }
        }
        !self.sees
    }

    /// In doubt the middleware sees the request: one reading of the path is enough for `match`,
    /// `ignore` needs all of them.
    fn fits(&self, request: &Request, others: &[String], fits: impl Fn(&str) -> bool) -> bool {
        let raw = fits(request.uri().path());
        if self.sees {
            raw || others.iter().any(|path| fits(path))
        } else {
            raw && others.iter().all(|path| fits(path))
        }
    }
}

impl Condition {
    fn new(value: &Value, known: &Predicates) -> Result<Self, String> {
        if let Value::String(prefix) = value {
            return Self::prefix(prefix);
        }
        let table = value.as_object().filter(|table| table.len() == 1);
        let entry = table.and_then(|table| table.iter().next());
        let entry = entry.and_then(|(key, value)| Some((key.as_str(), value.as_str()?)));
        match entry {
            Some(("regex", pattern)) => Regex::new(pattern)
                .map(Self::Regex)
                .map_err(|error| format!("`{pattern}` is no regular expression: {error}")),
            Some(("predicate", name)) => {
                let predicate = known.get(name).ok_or_else(|| {
                    let hint = did_you_mean(name, known.keys().copied());
                    format!("no predicate is called `{name}`{hint}")
                });
                predicate.map(|predicate| Self::Predicate(*predicate))
            }
            _ => Err(format!(
                "{value} is no condition: it is a path prefix, `{{ regex = \"…\" }}`, \
                 `{{ predicate = \"name\" }}`, or an array of these"
            )),
        }
    }

    fn prefix(prefix: &str) -> Result<Self, String> {
        if !prefix.starts_with('/') {
            return Err(format!("the path prefix `{prefix}` must begin with `/`"));
        }
        if prefix.contains('{') || prefix.contains("/:") {
            return Err(format!(
                "the path prefix `{prefix}` cannot have parameters: use `{{ regex = \"…\" }}`"
            ));
        }
        Ok(Self::Prefix(prefix.trim_end_matches('/').to_owned()))
    }
}

/// What else handlers may take `path` for, since parameters and nested services see it decoded:
/// without escapes and repeated slashes, and with `.` and `..` followed. Mostly nothing.
fn readings(path: &str) -> Vec<String> {
    let is_other = |pair: &[u8]| pair == b"//" || pair == b"/.";
    if !path.contains('%') && !path.as_bytes().windows(2).any(is_other) {
        return Vec::new();
    }
    let decoded = percent_decode_str(path).decode_utf8_lossy();
    let mut plain = String::with_capacity(decoded.len());
    for character in decoded.chars() {
        if character != '/' || !plain.ends_with('/') {
            plain.push(character);
        }
    }
    let mut followed = Vec::new();
    for segment in plain.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => drop(followed.pop()),
            _ => followed.push(segment),
        }
    }
    let followed = format!("/{}", followed.join("/"));
    vec![plain, followed]
}

/// Whether `path` is `prefix` or goes on after it with another segment. Routes tell upper and lower
/// case apart. `match` does not (`any_case`), so that what it protects is not escaped; `ignore`
/// does, so that a route that differs only in its case is not left without the middleware.
fn is_below(path: &str, prefix: &str, any_case: bool) -> bool {
    let (path, prefix) = (path.as_bytes(), prefix.as_bytes());
    let Some((begin, rest)) = path.split_at_checked(prefix.len()) else {
        return false;
    };
    let is_same = begin == prefix || any_case && begin.eq_ignore_ascii_case(prefix);
    is_same && (rest.is_empty() || rest[0] == b'/')
}
