//! Conditional requests (RFC 9110, 13): what a client has already, and whether it still counts.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderValue, header};

/// What a file is recognised by.
#[derive(Debug)]
pub(super) struct Validators {
    /// As in the header: `"…"`, or `W/"…"` where it may be that of two contents.
    pub(super) etag: HeaderValue,
    /// Its last change, in whole seconds since 1970; `None` where that is no date of a header.
    pub(super) modified: Option<u64>,
    /// Whether the last change is so long ago that another one would have another date.
    pub(super) is_settled: bool,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Answer,
    /// 304.
    NotModified,
    /// 412.
    Failed,
}

/// The conditions in `headers`, in the order of the RFC: an entity tag counts, and a date only where
/// there is none.
pub(super) fn verdict(headers: &HeaderMap, file: &Validators) -> Verdict {
    let failed = if headers.contains_key(header::IF_MATCH) {
        !any_tag(headers, &header::IF_MATCH, |tag| file.is_strongly(tag))
    } else {
        let since = date(headers, &header::IF_UNMODIFIED_SINCE);
        since.is_some_and(|since| file.modified.is_some_and(|modified| modified > since))
    };
    if failed {
        return Verdict::Failed;
    }
    let has_it = if headers.contains_key(header::IF_NONE_MATCH) {
        any_tag(headers, &header::IF_NONE_MATCH, |tag| file.is_weakly(tag))
    } else {
        let since = date(headers, &header::IF_MODIFIED_SINCE);
        since.is_some_and(|since| file.modified.is_some_and(|modified| modified <= since))
    };
    if has_it {
        Verdict::NotModified
    } else {
        Verdict::Answer
    }
}

/// Whether `If-Range`, if there is one, lets a range be one: its client has the rest of this very
/// content.
pub(super) fn range_counts(headers: &HeaderMap, file: &Validators) -> bool {
    let Some(value) = headers.get(header::IF_RANGE) else {
        return true;
    };
    let bytes = value.as_bytes();
    if bytes.starts_with(b"\"") || bytes.starts_with(b"W/") {
        return file.is_strongly(bytes);
    }
    file.is_settled
        && date(headers, &header::IF_RANGE).is_some_and(|date| file.modified == Some(date))
}

impl Validators {
    /// A weak tag says too little for this, on either side.
    fn is_strongly(&self, tag: &[u8]) -> bool {
        tag.starts_with(b"\"") && tag == self.etag.as_bytes()
    }

    fn is_weakly(&self, tag: &[u8]) -> bool {
        let opaque = |tag: &[u8]| tag.strip_prefix(b"W/").unwrap_or(tag).to_vec();
        opaque(tag) == opaque(self.etag.as_bytes())
    }
}

/// Whether `is_it` holds for a tag in all lines of the header, or one of them is `*`.
fn any_tag(headers: &HeaderMap, name: &header::HeaderName, is_it: impl Fn(&[u8]) -> bool) -> bool {
    headers.get_all(name).iter().any(|line| {
        let mut rest = line.as_bytes();
        if rest.trim_ascii() == b"*" {
            return true;
        }
        while let Some((tag, after)) = next_tag(rest) {
            if is_it(tag) {
                return true;
            }
            rest = after;
        }
        false
    })
}

/// The first entity tag and what comes after it; `None` where there is none or something else.
fn next_tag(list: &[u8]) -> Option<(&[u8], &[u8])> {
    let begin = list
        .iter()
        .position(|byte| !matches!(byte, b' ' | b'\t' | b','))?;
    let list = &list[begin..];
    let quoted = list.strip_prefix(b"W/").unwrap_or(list);
    let inner = quoted.strip_prefix(b"\"")?;
    // A tag may have commas in it, but no quotes.
    let end = inner.iter().position(|byte| *byte == b'"')?;
    Some(list.split_at(list.len() - inner.len() + end + 1))
}

/// The date in a header, in seconds since 1970; `None` where it is none, or there are several.
fn date(headers: &HeaderMap, name: &header::HeaderName) -> Option<u64> {
    let mut lines = headers.get_all(name).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return None;
    };
    let date = httpdate::parse_http_date(line.to_str().ok()?).ok()?;
    Some(date.duration_since(UNIX_EPOCH).ok()?.as_secs())
}

/// A date as headers have it. `seconds` are since 1970, and not after now.
pub(super) fn written(seconds: u64) -> Option<HeaderValue> {
    let date: SystemTime = UNIX_EPOCH.checked_add(Duration::from_secs(seconds))?;
    HeaderValue::try_from(httpdate::fmt_http_date(date)).ok()
}
