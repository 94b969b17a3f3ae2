//! Pages of which origins may connect.

use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// Pages of which origins may connect. Browsers say it (`Origin`), and ask nobody before they
/// connect: without a check, any page could use its visitors' cookies here. What is no browser
/// says nothing, or what it likes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Origins {
    /// Only of the host that is asked.
    #[default]
    Same,
    /// All.
    Any,
    /// Only these, `https://example.com` or `https://example.com:8443`.
    These(Vec<String>),
}

impl<'de> Deserialize<'de> for Origins {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Word(String),
            List(Vec<String>),
        }
        const WANTED: &str =
            "`origins` is \"same\", \"any\" or a list such as [\"https://example.com\"]";
        match Written::deserialize(deserializer).map_err(|_| D::Error::custom(WANTED))? {
            Written::Word(word) if word == "same" => Ok(Self::Same),
            Written::Word(word) if word == "any" => Ok(Self::Any),
            Written::Word(_) => Err(D::Error::custom(WANTED)),
            Written::List(list) => match list.iter().find(|origin| !is_origin(origin)) {
                None => Ok(Self::These(list)),
                Some(wrong) => Err(D::Error::custom(format!(
                    "`{wrong}` is no origin: write a scheme, a host and at most a port, as in \
                     \"https://example.com\""
                ))),
            },
        }
    }
}

/// Whether browsers could say that.
fn is_origin(text: &str) -> bool {
    match split(text) {
        Some((_, host)) => !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ']),
        None => text == "null",
    }
}

#[cfg(feature = "websocket")]
impl Origins {
    /// Whether a page of `origin` may connect to `host`, which is what the client has asked for.
    pub(crate) fn allow(&self, origin: &str, host: Option<&str>) -> bool {
        match self {
            Self::Any => true,
            Self::Same => match (split(origin), host) {
                (Some((scheme, page)), Some(host)) => {
                    let bare = |host: &str| without_port_of(scheme, host);
                    bare(page).eq_ignore_ascii_case(&bare(host))
                }
                _ => false,
            },
            Self::These(list) => list.iter().any(|one| same(one, origin)),
        }
    }
}

#[cfg(feature = "websocket")]
fn same(one: &str, other: &str) -> bool {
    match (split(one), split(other)) {
        (Some((scheme, one)), Some((other_scheme, other))) => {
            let bare = |host: &str| without_port_of(scheme, host);
            scheme.eq_ignore_ascii_case(other_scheme)
                && bare(one).eq_ignore_ascii_case(&bare(other))
        }
        _ => one == other,
    }
}

fn split(origin: &str) -> Option<(&str, &str)> {
    origin.split_once("://")
}

/// A host without the port that its scheme has anyway.
#[cfg(feature = "websocket")]
fn without_port_of(scheme: &str, host: &str) -> String {
    let port = if scheme.eq_ignore_ascii_case("https") {
        ":443"
    } else {
        ":80"
    };
    host.strip_suffix(port).unwrap_or(host).to_owned()
}

#[cfg(all(test, feature = "websocket"))]
mod tests {
    use super::*;

    #[test]
    fn same_is_the_host_that_was_asked() {
        let allows = |origin, host| Origins::Same.allow(origin, Some(host));
        assert!(allows("http://example.com", "example.com"));
        assert!(allows("https://Example.com", "example.com:443"));
        assert!(allows("http://[::1]:7001", "[::1]:7001"));
        assert!(!allows("http://example.com", "example.com:7001"));
        assert!(!allows("http://example.com:443", "example.com"));
        assert!(!allows("https://example.com.evil.net", "example.com"));
        assert!(!allows("null", "example.com"));
        assert!(!Origins::Same.allow("http://example.com", None));
    }

    #[test]
    fn a_list_is_all_of_it() {
        let list = Origins::These(vec!["https://example.com".into(), "null".into()]);
        assert!(list.allow("https://example.com:443", Some("other")));
        assert!(list.allow("null", None));
        assert!(!list.allow("http://example.com", Some("example.com")));
        assert!(!list.allow("https://other", Some("other")));
    }
}
