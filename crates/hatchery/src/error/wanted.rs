//! Which form of an error a client prefers.

use http::{HeaderValue, Uri};

/// The forms there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Text,
    Html,
    Json,
}

/// In this order where a client has no preference.
const FORMS: [(Wanted, &str, &str); 3] = [
    (Wanted::Text, "text", "plain"),
    (Wanted::Html, "text", "html"),
    (Wanted::Json, "application", "json"),
];

impl Wanted {
    /// JSON when the path ends in `.json`, else what the `Accept` header prefers, else text.
    #[expect(
        clippy::case_sensitive_file_extension_comparisons,
        reason = "as paths of routes are"
    )]
    pub(crate) fn of(uri: &Uri, accept: Option<&HeaderValue>) -> Self {
        if uri.path().ends_with(".json") {
            return Self::Json;
        }
        let accept = accept.and_then(|accept| accept.to_str().ok());
        let Some(accept) = accept else {
            return Self::Text;
        };
        let ranges: Vec<_> = accept.split(',').filter_map(Range::parse).collect();
        let mut best = (Self::Text, Rank::default());
        for (form, kind, subtype) in FORMS {
            let ranks = ranges.iter().enumerate();
            let rank = ranks.filter_map(|(place, range)| range.rank(kind, subtype, place));
            // The most specific range speaks for a form, and of those the first.
            let rank = rank.max_by_key(|rank| (rank.specificity, rank.earliness));
            if let Some(rank) = rank
                && rank > best.1
            {
                best = (form, rank);
            }
        }
        best.0
    }
}

/// How much a client wants something: what counts first comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    /// Thousandths; 0 is "not at all".
    quality: u16,
    specificity: u8,
    /// The earlier in the header, the greater.
    earliness: usize,
}

/// One range of an `Accept` header.
struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    quality: u16,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let quality = parts.find_map(|part| part.strip_prefix("q="));
        Some(Self {
            kind,
            subtype,
            quality: quality.map_or(Some(1000), thousandths)?,
        })
    }

    fn rank(&self, kind: &str, subtype: &str, place: usize) -> Option<Rank> {
        let specificity = match (self.kind, self.subtype) {
            ("*", "*") => 0,
            (its, "*") if its.eq_ignore_ascii_case(kind) => 1,
            (its, sub) if its.eq_ignore_ascii_case(kind) && sub.eq_ignore_ascii_case(subtype) => 2,
            _ => return None,
        };
        Some(Rank {
            quality: self.quality,
            specificity,
            earliness: usize::MAX - place,
        })
    }
}

/// `0.85` as 850: at most three digits count.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let fraction = format!("{fraction:0<3}");
    let fraction: u16 = fraction.get(..3)?.parse().ok()?;
    Some((whole.parse::<u16>().ok()?.min(1) * 1000 + fraction).min(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(path: &'static str, accept: &'static str) -> Wanted {
        let accept = HeaderValue::from_static(accept);
        Wanted::of(&Uri::from_static(path), Some(&accept))
    }

    #[test]
    fn semantic_41_json_is_wanted_by_the_path_or_by_accept() {
        assert_eq!(wanted("/posts.json", "text/html"), Wanted::Json);
        assert_eq!(wanted("/posts", "application/json"), Wanted::Json);
        assert_eq!(
            wanted("/posts", "text/html, application/json"),
            Wanted::Html
        );
        assert_eq!(
            wanted("/posts", "text/html;q=0.8, application/json;q=0.9"),
            Wanted::Json
        );
    }

    #[test]
    fn well_known_clients_get_their_form() {
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        assert_eq!(wanted("/", browser), Wanted::Html);
        assert_eq!(wanted("/", "*/*"), Wanted::Text);
        let axios = "application/json, text/plain, */*";
        assert_eq!(wanted("/", axios), Wanted::Json);
        assert_eq!(Wanted::of(&Uri::from_static("/"), None), Wanted::Text);
    }

    #[test]
    fn refused_forms_and_rubbish_do_not_count() {
        assert_eq!(wanted("/", "text/plain;q=0, text/*"), Wanted::Html);
        assert_eq!(wanted("/", "image/png"), Wanted::Text);
        assert_eq!(
            wanted("/", ",;/,a/b;q=z,application/json;q=9"),
            Wanted::Json
        );
    }
}
