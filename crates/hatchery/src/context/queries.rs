//! The query of a request, with all values of each name.

use std::collections::BTreeMap;
use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::request::Parts;

use super::Context;

/// The query, every value of every name: `?a=1&a=2`. An extractor that never fails. What is in
/// brackets, `b[]=1`, is found with and without them.
///
/// ```
/// use hatchery::Queries;
///
/// let queries = Queries::parse("a=1&a=2&b[]=3");
/// assert_eq!(queries.get("a"), Some("1"));
/// assert_eq!(queries.all("a"), ["1", "2"]);
/// assert_eq!(queries.all("b"), ["3"]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Queries(BTreeMap<String, Vec<String>>);

impl Queries {
    /// Of the text after the question mark.
    pub fn parse(query: &str) -> Self {
        let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if let Some(bare) = name.strip_suffix("[]") {
                let same = values.entry(bare.to_owned()).or_default();
                same.push(value.clone().into_owned());
            }
            let same = values.entry(name.into_owned()).or_default();
            same.push(value.into_owned());
        }
        Self(values)
    }

    /// The first value of a name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).first().map(String::as_str)
    }

    /// All values of a name, in their order.
    pub fn all(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// The names, sorted, and their values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[String])> {
        let values = self.0.iter();
        values.map(|(name, values)| (name.as_str(), values.as_slice()))
    }
}

impl Context {
    /// The first value of a name in the query.
    pub fn query(&self, name: &str) -> Option<String> {
        self.queries().get(name).map(str::to_owned)
    }

    /// The whole query.
    pub fn queries(&self) -> Queries {
        Queries::parse(self.uri().query().unwrap_or_default())
    }
}

impl<S: Sync> FromRequestParts<S> for Queries {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default()))
    }
}
