//! The path of a route, taken apart: what it must look like, and how a URL is made of it.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What `encodeURIComponent` leaves as it is.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// The path of a route, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// `{name}`.
    Parameter(String),
    /// `{*name}`: the rest of the path, at its end.
    Rest(String),
}

impl Pattern {
    /// The pattern of `path`, or what is wrong with it and how to write it.
    pub(super) fn parse(path: &str) -> Result<Self, String> {
        if !path.starts_with('/') {
            return Err(format!("must begin with `/`: write `/{path}`"));
        }
        let segments: Vec<_> = path.split('/').collect();
        let mut pieces = Vec::new();
        let mut text = String::new();
        for (index, segment) in segments.iter().enumerate().skip(1) {
            text.push('/');
            let last = index == segments.len() - 1;
            segment_pieces(segment, last, &mut text, &mut pieces)?;
        }
        if !text.is_empty() {
            pieces.push(Piece::Text(text));
        }
        let pattern = Self { pieces };
        pattern.has_no_name_twice()?;
        Ok(pattern)
    }

    /// The names of its parameters, from left to right.
    pub(super) fn parameters(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Text(_) => None,
            Piece::Parameter(name) | Piece::Rest(name) => Some(name.as_str()),
        })
    }

    /// Whether it ends in `{*rest}`.
    pub(super) fn has_rest(&self) -> bool {
        matches!(self.pieces.last(), Some(Piece::Rest(_)))
    }

    /// It without the parameters' names: patterns of the same shape match the same requests.
    pub(super) fn shape(&self) -> String {
        let pieces = self.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => text.as_str(),
            Piece::Parameter(_) => "{}",
            Piece::Rest(_) => "{*}",
        });
        pieces.collect()
    }

    /// The path with `value` of each parameter, encoded; or the parameter that has none.
    pub(super) fn fill(
        &self,
        mut value: impl FnMut(&str) -> Option<String>,
    ) -> Result<String, &str> {
        let mut path = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => path.push_str(text),
                Piece::Parameter(name) => {
                    let value = value(name).filter(|value| !value.is_empty());
                    path.extend(encoded(&value.ok_or(name.as_str())?));
                }
                Piece::Rest(name) => {
                    let value = value(name).filter(|value| !value.is_empty());
                    let value = value.ok_or(name.as_str())?;
                    for (index, part) in value.split('/').enumerate() {
                        path.push_str(if index > 0 { "/" } else { "" });
                        path.extend(encoded(part));
                    }
                }
            }
        }
        // `//host` would be another site's address.
        let slashes = path.len() - path.trim_start_matches('/').len();
        Ok(path.split_off(slashes.saturating_sub(1)))
    }

    fn has_no_name_twice(&self) -> Result<(), String> {
        let names: Vec<_> = self.parameters().collect();
        let twice = |(index, name): &(usize, &&str)| names[..*index].contains(*name);
        match names.iter().enumerate().find(twice) {
            Some((_, name)) => Err(format!("has two parameters `{name}`: rename one")),
            None => Ok(()),
        }
    }
}

/// Takes one segment apart. `text` is what has not become a piece yet.
fn segment_pieces(
    segment: &str,
    last: bool,
    text: &mut String,
    pieces: &mut Vec<Piece>,
) -> Result<(), String> {
    if let Some(name) = segment.strip_prefix(':') {
        return Err(format!("has `:{name}`: write `{{{name}}}`"));
    }
    if let Some(name) = segment.strip_prefix('*') {
        let name = if name.is_empty() { "rest" } else { name };
        return Err(format!("has `{segment}`: write `{{*{name}}}`"));
    }
    let mut rest = segment;
    while let Some(at) = rest.find(['{', '}']) {
        text.push_str(&rest[..at]);
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            // `{{` is a brace.
            text.push_str(brace);
            rest = after;
            continue;
        }
        let Some((name, after)) = rest.split_once('}').filter(|_| brace == "{") else {
            return Err("has a brace without the other: write `{{` or `}}` for a plain one".into());
        };
        if !after.is_empty() {
            return Err(format!(
                "has `{after}` behind `{{{name}}}`: a parameter ends its segment"
            ));
        }
        pieces.push(Piece::Text(std::mem::take(text)));
        pieces.push(parameter(name, last)?);
        return Ok(());
    }
    text.push_str(rest);
    Ok(())
}

fn parameter(name: &str, last: bool) -> Result<Piece, String> {
    match name.strip_prefix('*') {
        Some("") | None if matches!(name, "" | "*") => {
            Err(format!("has `{{{name}}}`: a parameter needs a name"))
        }
        Some(rest) if !last => Err(format!(
            "has `{{*{rest}}}` before its end: write `{{{rest}}}`"
        )),
        Some(rest) => Ok(Piece::Rest(rest.to_owned())),
        None if name.contains(['{', '*']) => Err(format!(
            "has `{{{name}}}`: a parameter's name has no `{{` and no `*`"
        )),
        None => Ok(Piece::Parameter(name.to_owned())),
    }
}

/// As `encodeURIComponent` does it.
pub(super) fn encoded(text: &str) -> impl Iterator<Item = &str> {
    utf8_percent_encode(text, COMPONENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(path: &str) -> String {
        Pattern::parse(path).unwrap_err()
    }

    #[test]
    fn a_wrong_path_says_how_to_write_it() {
        for (path, expected) in [
            ("posts", "must begin with `/`: write `/posts`"),
            ("", "must begin with `/`: write `/`"),
            ("/posts/:id", "has `:id`: write `{id}`"),
            ("/files/*", "has `*`: write `{*rest}`"),
            ("/files/*path", "has `*path`: write `{*path}`"),
            ("/a/{id}/b/{id}", "has two parameters `id`: rename one"),
            ("/a/{}", "has `{}`: a parameter needs a name"),
            ("/a/{*}", "has `{*}`: a parameter needs a name"),
            (
                "/a/{*rest}/b",
                "has `{*rest}` before its end: write `{rest}`",
            ),
            (
                "/a/{id}.json",
                "has `.json` behind `{id}`: a parameter ends its segment",
            ),
            (
                "/a/{id",
                "has a brace without the other: write `{{` or `}}` for a plain one",
            ),
            (
                "/a/id}",
                "has a brace without the other: write `{{` or `}}` for a plain one",
            ),
        ] {
            assert_eq!(problem(path), expected, "{path}");
        }
    }

    #[test]
    fn what_passes_here_passes_in_matchit() {
        for path in [
            "/",
            "/a",
            "/a/",
            "/a/{id}",
            "/v{n}",
            "/a/{id}/b",
            "/{*all}",
            "/{{x}}/{id}",
        ] {
            assert!(Pattern::parse(path).is_ok(), "{path}");
            assert!(matchit::Router::new().insert(path, ()).is_ok(), "{path}");
        }
    }

    #[test]
    fn shapes_have_no_names() {
        let shape = |path| Pattern::parse(path).unwrap().shape();
        assert_eq!(shape("/a/{id}/b"), shape("/a/{name}/b"));
        assert_ne!(shape("/a/{id}"), shape("/a/{*id}"));
    }
}
