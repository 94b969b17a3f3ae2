//! A file as the answer to a request.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::conditional::{self, Verdict};
use super::encoding;
use super::found::{Content, Found, Representation};
use super::range::{self, Ranged};
use super::stream::FileBody;

/// What a 304 says of the file, too (RFC 9110, 15.4.5).
const OF_THE_FILE: [header::HeaderName; 4] = [
    header::ETAG,
    header::LAST_MODIFIED,
    header::CACHE_CONTROL,
    header::VARY,
];

/// What a GET or a HEAD with these headers gets.
pub(super) fn respond(found: &Found, method: &Method, headers: &HeaderMap) -> Response {
    let all = &found.representations;
    let chosen = if all.len() > 1 {
        encoding::choose(headers, all.iter().map(|one| one.encoding))
    } else {
        0
    };
    let Some(file) = all.get(chosen) else {
        return empty(StatusCode::NOT_FOUND);
    };
    match conditional::verdict(headers, &file.validators) {
        Verdict::Answer => {}
        Verdict::NotModified => return not_modified(file),
        Verdict::Failed => return empty(StatusCode::PRECONDITION_FAILED),
    }
    let is_get = *method == Method::GET;
    let ranged = if is_get
        && headers.contains_key(header::RANGE)
        && conditional::range_counts(headers, &file.validators)
    {
        range::of(headers, file.size)
    } else {
        Ranged::Whole
    };
    match ranged {
        Ranged::Whole => whole(file, is_get),
        Ranged::Part { start, length } => part(file, start, length),
        Ranged::Unsatisfiable => {
            let mut response = empty(StatusCode::RANGE_NOT_SATISFIABLE);
            insert(
                &mut response,
                header::CONTENT_RANGE,
                format!("bytes */{}", file.size),
            );
            response
        }
    }
}

fn whole(file: &Representation, is_get: bool) -> Response {
    let body = if is_get {
        body(file, 0, file.size)
    } else {
        Body::empty()
    };
    let mut response = Response::new(body);
    *response.headers_mut() = file.headers.clone();
    response
}

fn part(file: &Representation, start: u64, length: u64) -> Response {
    let mut response = Response::new(body(file, start, length));
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    *response.headers_mut() = file.headers.clone();
    let size = HeaderValue::from(length);
    response.headers_mut().insert(header::CONTENT_LENGTH, size);
    let range = format!("bytes {start}-{}/{}", start + length - 1, file.size);
    insert(&mut response, header::CONTENT_RANGE, range);
    response
}

/// A part that lies within the file.
fn body(file: &Representation, start: u64, length: u64) -> Body {
    match &file.content {
        Content::Memory(bytes) => slice(bytes, start, length).into(),
        Content::File(file) => Body::new(FileBody::new(file.clone(), start, length)),
    }
}

fn slice(bytes: &Bytes, start: u64, length: u64) -> Bytes {
    let at = |place: u64| {
        usize::try_from(place)
            .unwrap_or(usize::MAX)
            .min(bytes.len())
    };
    bytes.slice(at(start)..at(start + length))
}

/// The client has it, and learns how long that counts.
fn not_modified(file: &Representation) -> Response {
    let mut response = empty(StatusCode::NOT_MODIFIED);
    for name in OF_THE_FILE {
        if let Some(value) = file.headers.get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}

/// A status alone; what says so is up to whoever shapes errors.
pub(super) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

fn insert(response: &mut Response, name: header::HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        response.headers_mut().insert(name, value);
    }
}
