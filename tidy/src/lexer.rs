//! Just enough of Rust's lexical rules to tell code from comments, literals and tests.

/// The source with comments and the contents of literals replaced by spaces. Lines stay in place.
pub fn code(source: &str) -> String {
    Masker::new(source).run()
}

/// What an item's attributes begin with that is compiled for tests only; `any` is for those of an
/// application, too (the feature `testing`).
const TEST_MARKERS: [&str; 3] = ["#[cfg(test)]", "#[cfg(all(test,", "#[cfg(any(test,"];

/// The code (as [`code`] gives it) with items for tests only replaced by spaces.
pub fn without_tests(code: &str) -> String {
    let mut rest = code.to_owned();
    for marker in TEST_MARKERS {
        while let Some(start) = rest.find(marker) {
            let end = item_end(&rest, start);
            let blank: String = rest[start..end]
                .chars()
                .map(|c| if c == '\n' { '\n' } else { ' ' })
                .collect();
            rest.replace_range(start..end, &blank);
        }
    }
    rest
}

/// The names of modules that are in files of their own and for tests only.
pub fn test_modules(code: &str) -> Vec<String> {
    let mut modules = Vec::new();
    let starts = TEST_MARKERS.map(|marker| code.match_indices(marker));
    for (start, marker) in starts.into_iter().flatten() {
        let item = &code[start..item_end(code, start)];
        let words: Vec<&str> = item[marker.len()..].split_whitespace().collect();
        if let Some(at) = words.iter().position(|&word| word == "mod")
            && let Some(name) = words.get(at + 1).and_then(|word| word.strip_suffix(';'))
        {
            modules.push(name.to_owned());
        }
    }
    modules
}

/// Whether `line` has `word` as a whole identifier, and where.
pub fn find_word(line: &str, word: &str) -> Option<usize> {
    let boundary = |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word)
        .find(|&(at, _)| {
            boundary(line[..at].chars().next_back())
                && boundary(line[at + word.len()..].chars().next())
        })
        .map(|(at, _)| at)
}

/// The modules of `std` that code names, with their lines: `std::fs::…` and `use std::{fs, …}`.
pub fn std_modules(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut line = 1;
    let mut seen = 0;
    for (at, path) in code.match_indices("std::") {
        line += code[seen..at].matches('\n').count();
        seen = at;
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at + path.len()..];
        let names = match rest.strip_prefix('{') {
            Some(group) => group_heads(group),
            None => vec![head(rest)],
        };
        found.extend(names.into_iter().map(|name| (line, name)));
    }
    found
}

/// The first identifiers of a `use` group's members: `fs, io::{self, Read}}` has `fs` and `io`.
fn group_heads(group: &str) -> Vec<String> {
    let mut heads = Vec::new();
    let mut depth = 0_usize;
    let mut start = 0;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                heads.push(head(&group[start..at]));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                heads.push(head(&group[start..at]));
                start = at + 1;
            }
            _ => {}
        }
    }
    heads.retain(|name| !name.is_empty());
    heads
}

fn head(text: &str) -> String {
    text.trim_start()
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

/// Where the item that begins (with its attributes) at `start` ends: behind its `;` or its block.
fn item_end(code: &str, start: usize) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code[start..].char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return start + at + 1;
                }
            }
            ';' if depth == 0 => return start + at + 1,
            _ => {}
        }
    }
    code.len()
}

struct Masker<'a> {
    source: &'a str,
    at: usize,
    out: String,
}

impl<'a> Masker<'a> {
    fn new(source: &'a str) -> Self {
        Self {
            source,
            at: 0,
            out: String::with_capacity(source.len()),
        }
    }

    fn run(mut self) -> String {
        while let Some(c) = self.rest().chars().next() {
            let rest = self.rest();
            if rest.starts_with("//") {
                self.blank(rest.find('\n').unwrap_or(rest.len()));
            } else if rest.starts_with("/*") {
                self.blank(block_comment_length(rest));
            } else if let Some(length) = raw_string_length(rest).filter(|_| !self.in_word()) {
                self.blank(length);
            } else if c == '"' {
                self.blank(quoted_length(rest, '"'));
            } else if c == '\'' && is_char_literal(rest) {
                self.blank(quoted_length(rest, '\''));
            } else {
                self.out.push(c);
                self.at += c.len_utf8();
            }
        }
        self.out
    }

    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    /// Whether the last character belongs to an identifier: the `r` of `for"` begins no raw string.
    fn in_word(&self) -> bool {
        self.out
            .ends_with(|c: char| c.is_alphanumeric() || c == '_')
    }

    fn blank(&mut self, length: usize) {
        let masked = self.rest()[..length].chars();
        self.out
            .extend(masked.map(|c| if c == '\n' { '\n' } else { ' ' }));
        self.at += length;
    }
}

/// Block comments nest.
fn block_comment_length(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let mut depth = 0_usize;
    let mut at = 0;
    while at < bytes.len() {
        match &bytes[at..] {
            [b'/', b'*', ..] => {
                depth += 1;
                at += 2;
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The length of a raw string such as `r"…"`, `br#"…"#` or `cr"…"`, if one begins here.
fn raw_string_length(rest: &str) -> Option<usize> {
    let prefix = ["r", "br", "cr"]
        .into_iter()
        .find(|prefix| rest.starts_with(prefix))?;
    let after = &rest[prefix.len()..];
    let hashes = after.len() - after.trim_start_matches('#').len();
    let body = after[hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let end = body
        .find(&close)
        .map_or(body.len(), |end| end + close.len());
    Some(prefix.len() + hashes + 1 + end)
}

/// The length of a literal with escapes that begins and ends with `quote`.
fn quoted_length(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            return at + c.len_utf8();
        }
    }
    rest.len()
}

/// `'a'` and `'\n'` are characters, `'a` in `&'a str` is a lifetime.
fn is_char_literal(rest: &str) -> bool {
    let mut chars = rest.chars().skip(1);
    match (chars.next(), chars.next()) {
        (Some('\\'), _) => true,
        (Some(_), Some(next)) => next == '\'',
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_not_code() {
        let source = "a(); // unsafe\n/* b /* nested */ still */ c(\"un\\\"safe\", 'x', '\\'');";
        let masked = code(source);
        assert!(
            !masked.contains("safe") && !masked.contains("still"),
            "{masked}"
        );
        assert!(masked.contains("a();") && masked.contains("c("), "{masked}");
        assert_eq!(masked.matches('\n').count(), 1);
    }

    #[test]
    fn raw_strings_and_lifetimes_are_told_apart_from_what_looks_like_them() {
        assert_eq!(code("f(r#\"a \"b\" c\"#, z)"), "f(            , z)");
        assert_eq!(code("fn f<'a>(x: &'a str) {}"), "fn f<'a>(x: &'a str) {}");
        assert!(code("for_r\"text\" end").contains("end"));
    }

    #[test]
    fn test_items_are_blanked_and_the_rest_stays() {
        let source = "fn a() {}\n#[cfg(test)]\n#[rustfmt::skip]\nmod tests {\n fn b() { c() } }\nfn d() {}\n";
        let rest = without_tests(&code(source));
        assert!(rest.contains("fn a()") && rest.contains("fn d()"), "{rest}");
        assert!(!rest.contains("fn b()") && !rest.contains("c()"), "{rest}");
        assert_eq!(rest.lines().count(), source.lines().count());
    }

    #[test]
    fn test_modules_in_files_are_named() {
        let source = "#[cfg(test)]\nmod tests;\n#[cfg(test)]\npub(crate) mod fixtures;\nmod x;\n\
                      #[cfg(any(test, feature = \"testing\"))]\npub mod testing;\nmod y;";
        assert_eq!(
            test_modules(&code(source)),
            ["tests", "fixtures", "testing"]
        );
    }

    #[test]
    fn std_modules_are_found_in_paths_and_groups() {
        let source = "use std::fmt;\nuse std::{fs, io::{self, Read}, sync::Arc};\nlet x = std::env::var(1);\nmystd::net();";
        let modules = std_modules(&code(source));
        let expected = [(1, "fmt"), (2, "fs"), (2, "io"), (2, "sync"), (3, "env")];
        assert_eq!(
            modules,
            expected.map(|(line, name)| (line, name.to_owned()))
        );
    }

    #[test]
    fn words_have_boundaries() {
        assert_eq!(find_word("a unsafe_code unsafe", "unsafe"), Some(14));
        assert_eq!(find_word("unsafe_code", "unsafe"), None);
    }
}
