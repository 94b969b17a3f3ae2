//! From the name of a route to a URL.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::pattern::{Pattern, encoded};
use super::table::RouteTable;
use super::{Routes, Source};
use crate::config::suggest::did_you_mean;
use crate::{Application, Context};

/// There is no such URL.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UrlError {
    /// No route has this name.
    UnknownRoute {
        /// The name.
        name: String,
        /// `, did you mean …`, or nothing.
        hint: String,
    },
    /// The path has a parameter for which there is no value, or an empty one.
    MissingParameter {
        /// The route's name.
        name: String,
        /// Its path.
        path: String,
        /// Where it was added.
        source: String,
        /// Which parameter.
        parameter: String,
    },
    /// Something that cannot be a parameter.
    NotPlain {
        /// Its name; empty when it is about all of them.
        parameter: String,
    },
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownRoute { name, hint } => write!(f, "no route is called `{name}`{hint}"),
            Self::MissingParameter {
                name,
                path,
                source,
                parameter,
            } => write!(
                f,
                "the route `{name}` ({path}, {source}) needs the parameter `{parameter}`"
            ),
            Self::NotPlain { parameter } if parameter.is_empty() => {
                f.write_str("a URL's parameters must be a table, or pairs of names and values")
            }
            Self::NotPlain { parameter } => write!(
                f,
                "a URL's parameter `{parameter}` must be a plain value or a list of them"
            ),
        }
    }
}

impl std::error::Error for UrlError {}

impl Application {
    /// The URL (path and query) of the route that is called `name`. `params` are a table: a
    /// structure, `json!({…})`, a map, pairs, or `()`. Those that the path has stand in it, the
    /// rest is the query; a list is repeated there, `None` left out.
    ///
    /// ```
    /// # use hatchery::{Application, BoxError};
    /// # fn link(app: &Application) -> Result<(), BoxError> {
    /// // With `routes.get("/posts/{id}", show).name("post")`:
    /// let url = app.url_for("post", [("id", "a b"), ("page", "2")])?;
    /// assert_eq!(url, "/posts/a%20b?page=2");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// A name that no route has (with the one that may be meant), a parameter that is missing.
    pub fn url_for(&self, name: &str, params: impl Serialize) -> Result<String, UrlError> {
        match self.routes() {
            Some(table) => table.url_for(name, params),
            None => Err(unknown(name, [].into_iter())),
        }
    }

    /// [`url_for`](Self::url_for) for templates: empty where there is no such URL.
    pub fn url_or_empty(&self, name: &str, params: impl Serialize) -> String {
        self.url_for(name, params).unwrap_or_default()
    }
}

impl Context {
    /// [`Application::url_for`].
    pub fn url_for(&self, name: &str, params: impl Serialize) -> Result<String, UrlError> {
        self.app().url_for(name, params)
    }

    /// [`Application::url_or_empty`].
    pub fn url_or_empty(&self, name: &str, params: impl Serialize) -> String {
        self.app().url_or_empty(name, params)
    }
}

impl Routes {
    /// [`Application::url_for`], of the routes that have been added so far.
    pub fn url_for(&self, name: &str, params: impl Serialize) -> Result<String, UrlError> {
        let find = |wanted: &str| {
            let route = self
                .added
                .iter()
                .find(|route| route.name.as_deref() == Some(wanted))?;
            let pattern = Pattern::parse(&route.path).ok()?;
            Some((pattern, route.path.clone(), route.source.clone()))
        };
        let Some((pattern, path, source)) = find(name) else {
            let names = self.added.iter().filter_map(|route| route.name.as_deref());
            return Err(unknown(name, names));
        };
        build(name, &pattern, &path, &source, params)
    }
}

impl RouteTable {
    pub(super) fn url_for(&self, name: &str, params: impl Serialize) -> Result<String, UrlError> {
        let Some((pattern, row)) = self.named(name) else {
            return Err(unknown(name, self.names()));
        };
        build(name, pattern, &row.path, &row.added, params)
    }
}

fn unknown<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> UrlError {
    UrlError::UnknownRoute {
        name: name.to_owned(),
        hint: did_you_mean(name, names),
    }
}

fn build(
    name: &str,
    pattern: &Pattern,
    path: &str,
    source: &Source,
    params: impl Serialize,
) -> Result<String, UrlError> {
    let mut params = pairs(&params)?;
    let filled = pattern.fill(|parameter| {
        let at = params.iter().position(|(name, _)| name == parameter)?;
        Some(params.remove(at).1.join("/"))
    });
    let mut url = filled.map_err(|parameter| UrlError::MissingParameter {
        name: name.to_owned(),
        path: path.to_owned(),
        source: source.to_string(),
        parameter: parameter.to_owned(),
    })?;
    let mut mark = '?';
    for (name, values) in &params {
        for value in values {
            url.push(mark);
            url.extend(encoded(name));
            url.push('=');
            url.extend(encoded(value));
            mark = '&';
        }
    }
    Ok(url)
}

/// The parameters, each with its values.
fn pairs(params: &impl Serialize) -> Result<Vec<(String, Vec<String>)>, UrlError> {
    let no_table = || UrlError::NotPlain {
        parameter: String::new(),
    };
    match serde_json::to_value(params).map_err(|_| no_table())? {
        Value::Null => Ok(Vec::new()),
        Value::Object(table) => table
            .iter()
            .map(|(name, value)| Ok((name.clone(), values(name, value)?)))
            .collect(),
        Value::Array(list) => list
            .iter()
            .map(|pair| match pair.as_array().map(Vec::as_slice) {
                Some([Value::String(name), value]) => Ok((name.clone(), values(name, value)?)),
                _ => Err(no_table()),
            })
            .collect(),
        _ => Err(no_table()),
    }
}

fn values(name: &str, value: &Value) -> Result<Vec<String>, UrlError> {
    let not_plain = || UrlError::NotPlain {
        parameter: name.to_owned(),
    };
    Ok(match value {
        Value::Null => Vec::new(),
        Value::Array(list) => {
            let plain = list.iter().filter(|value| !value.is_null()).map(plain);
            plain.collect::<Option<_>>().ok_or_else(not_plain)?
        }
        value => vec![plain(value).ok_or_else(not_plain)?],
    })
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    }
}
