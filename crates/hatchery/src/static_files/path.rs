//! From the path of a URL to the path of a file: pure, and the first of two walls. The second is
//! the kernel's, in `root.rs`.

use std::borrow::Cow;

/// Longest path, in bytes; the kernel's own limit.
const PATH_BYTES_MAX: usize = 4096;

/// Longest name of a file, in bytes; that of every usual file system.
const NAME_BYTES_MAX: usize = 255;

/// What `raw`, the part of a URL's path below a mount, names below a root: decoded once, relative,
/// without `.`, `..`, empty or hidden segments. It ends in `/`, or is empty, where a directory is
/// meant. `None` is what no file can be called, or may.
///
/// A path that is well without decoding is lent, not copied.
pub(super) fn resolve(raw: &str, dotfiles: bool) -> Option<Cow<'_, str>> {
    if raw.len() > PATH_BYTES_MAX {
        return None;
    }
    let mut segments = raw.split('/').peekable();
    let mut decoded = String::new();
    let is_encoded = raw.contains('%');
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        if segment.is_empty() && is_last {
            break;
        }
        if !is_encoded {
            is_name(segment, dotfiles).then_some(())?;
            continue;
        }
        let name = decode(segment)?;
        is_name(&name, dotfiles).then_some(())?;
        decoded.push_str(&name);
        if !is_last {
            decoded.push('/');
        }
    }
    Some(if is_encoded {
        Cow::Owned(decoded)
    } else {
        Cow::Borrowed(raw)
    })
}

/// Whether a file may be called so. `.` and `..` are names of no file, dotfiles or not.
fn is_name(name: &str, dotfiles: bool) -> bool {
    let is_plain = |byte: u8| !matches!(byte, b'/' | b'\\' | 0x7f) && byte >= b' ';
    !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && !matches!(name, "." | "..")
        && (dotfiles || !name.starts_with('.'))
        && name.bytes().all(is_plain)
}

/// Decodes once and strictly: a `%` without two digits is nothing that a client has encoded.
fn decode(segment: &str) -> Option<Cow<'_, str>> {
    let bytes = segment.as_bytes();
    let is_broken = |(at, _)| {
        let digits = bytes.get(at + 1..at + 3);
        !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if segment.match_indices('%').any(is_broken) {
        return None;
    }
    percent_encoding::percent_decode_str(segment)
        .decode_utf8()
        .ok()
}

#[cfg(test)]
mod tests {
    use std::path::{Component, Path};

    use super::*;
    use crate::static_files::tests::Random;

    #[test]
    fn what_is_well_is_lent() {
        for path in ["", "a.css", "a/b.css", "a/", "a b", "ü/ö", "a..b", "...x/b"] {
            let dotfiles = path.starts_with('.');
            assert!(
                matches!(resolve(path, dotfiles), Some(Cow::Borrowed(same)) if same == path),
                "{path}"
            );
        }
    }

    #[test]
    fn it_is_decoded_once() {
        for (raw, path) in [
            ("%61.css", "a.css"),
            ("a%20b/", "a b/"),
            ("%C3%BC", "ü"),
            ("%2561", "%61"),
            ("%252e%252e/x", "%2e%2e/x"),
        ] {
            assert_eq!(resolve(raw, false).as_deref(), Some(path), "{raw}");
        }
    }

    #[test]
    fn hidden_files_are_there_when_they_are_wanted() {
        assert_eq!(resolve(".env", false), None);
        assert_eq!(resolve("a/%2eenv", false), None);
        assert_eq!(resolve(".env", true).as_deref(), Some(".env"));
        assert_eq!(resolve("..", true), None);
        assert_eq!(resolve("%2e%2e/x", true), None);
        assert_eq!(resolve("./x", true), None);
    }

    /// Whatever a client writes, what comes of it stays below the root.
    #[test]
    fn nothing_that_comes_out_leads_out() {
        const PIECES: [&str; 24] = [
            "..", ".", "/", "//", "%2e", "%2E", "%2f", "%5c", "\\", "%00", "%", "%2", "%25", "%c0",
            "%af", "a", "etc", "passwd", "ü", "%C3%BC", " ", "%0a", ";", ":",
        ];
        let mut random = Random::new(7);
        let mut resolved = 0;
        for _ in 0..50_000 {
            let pieces = random.below(9);
            let raw: String = (0..pieces).map(|_| random.one_of(&PIECES)).collect();
            for dotfiles in [false, true] {
                let Some(path) = resolve(&raw, dotfiles) else {
                    continue;
                };
                resolved += 1;
                let names = Path::new(&*path).components();
                assert!(
                    names
                        .clone()
                        .all(|name| matches!(name, Component::Normal(_))),
                    "{raw}"
                );
                // Nothing that `Path` forgives: one spelling is one file.
                let again: Vec<_> = names
                    .map(|name| name.as_os_str().to_str().unwrap())
                    .collect();
                assert_eq!(again.join("/"), path.trim_end_matches('/'), "{raw}");
                assert!(!path.contains(['\0', '\\']), "{raw}");
                assert!(
                    dotfiles || !path.starts_with('.') && !path.contains("/."),
                    "{raw}"
                );
            }
        }
        assert!(resolved > 1000, "{resolved}");
    }
}
