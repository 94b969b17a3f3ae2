//! `unsafe`, panics, sizes and headings of source files.

use std::collections::BTreeSet;

use crate::lexer::{code, find_word, test_modules, without_tests};
use crate::{File, Problem, Tree};

/// Longest source file, in lines. Write about 500 at most; a little more is no reason to split.
const LINES_MAX: usize = 600;

/// Files that may be longer, each with its reason. An entry that is no longer needed is an error.
const LONG_FILES: &[(&str, &str)] = &[];

/// The only place for `unsafe`.
const UNSAFE_CRATE: &str = "crates/hatchery-sys/";

/// Lines of code that may stand between a SAFETY comment and its block: the statement's head.
const SAFETY_DISTANCE_MAX: usize = 3;

/// `unsafe` stands in one crate only, and each use there says why it is sound.
pub fn unsafe_code(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in tree.rust() {
        let code = code(&file.text);
        let lines: Vec<&str> = file.text.lines().collect();
        for (index, line) in code.lines().enumerate() {
            let Some(at) = find_word(line, "unsafe") else {
                continue;
            };
            if !file.path.starts_with(UNSAFE_CRATE) {
                let message =
                    "`unsafe` outside hatchery-sys; move it there, behind a safe function";
                problems.push(file.problem(index + 1, message));
                continue;
            }
            let after = line[at + "unsafe".len()..].trim_start();
            let needs_reason =
                after.starts_with('{') || after.starts_with("impl") || after.is_empty();
            if needs_reason && !has_safety_comment(&lines, index) {
                let message = "no `// SAFETY:` above; say why each requirement of the call holds";
                problems.push(file.problem(index + 1, message));
            }
        }
    }
    problems
}

/// Looks upwards, past the head of the statement and attributes, for a comment with `SAFETY:`.
fn has_safety_comment(lines: &[&str], index: usize) -> bool {
    if lines[index].contains("SAFETY:") {
        return true;
    }
    let mut code_lines = 0;
    for line in lines[..index].iter().rev().map(|line| line.trim()) {
        if line.starts_with("//") {
            if line.contains("SAFETY:") {
                return true;
            }
        } else if line.is_empty() || code_lines == SAFETY_DISTANCE_MAX {
            return false;
        } else {
            code_lines += 1;
        }
    }
    false
}

/// Code that input or the system can reach does not panic for want of a value.
pub fn panics(tree: &Tree) -> Vec<Problem> {
    let tests = test_files(tree);
    let mut problems = Vec::new();
    for file in tree.rust() {
        let place = (file.path.starts_with("crates/") || file.path.starts_with("examples/"))
            && file.path.contains("/src/");
        if !place || is_test_file(&tests, &file.path) {
            continue;
        }
        for (index, line) in without_tests(&code(&file.text)).lines().enumerate() {
            for call in [".unwrap()", ".expect("] {
                if line.contains(call) {
                    let message =
                        format!("`{call}` outside tests; return an error or use a default");
                    problems.push(file.problem(index + 1, message));
                }
            }
        }
    }
    problems
}

/// The modules that are in files of their own and compiled for tests only, without `.rs`.
fn test_files(tree: &Tree) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for file in tree.rust() {
        let directory = match file.path.rsplit_once('/') {
            Some((parent, "lib.rs" | "main.rs" | "mod.rs")) => parent.to_owned(),
            _ => file.path.trim_end_matches(".rs").to_owned(),
        };
        for module in test_modules(&code(&file.text)) {
            found.insert(format!("{directory}/{module}"));
        }
    }
    found
}

fn is_test_file(tests: &BTreeSet<String>, path: &str) -> bool {
    tests.iter().any(|module| {
        path.strip_prefix(module.as_str())
            .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
    })
}

/// Files stay readable in one sitting.
pub fn lengths(tree: &Tree) -> Vec<Problem> {
    lengths_except(tree, LONG_FILES)
}

fn lengths_except(tree: &Tree, long_files: &[(&str, &str)]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in tree.files().filter(|file| is_source(file)) {
        let lines = file.text.lines().count();
        let allowed = long_files.iter().any(|&(path, _)| path == file.path);
        if lines > LINES_MAX && !allowed {
            let message = format!(
                "{lines} lines, more than {LINES_MAX}; split it, or add it to LONG_FILES in \
                 tidy/src/code.rs with the reason"
            );
            problems.push(file.problem(LINES_MAX + 1, message));
        } else if lines <= LINES_MAX && allowed {
            let message = "short enough now; take it off LONG_FILES in tidy/src/code.rs";
            problems.push(file.problem(1, message));
        }
    }
    for &(path, _) in long_files {
        if tree.file(path).is_none() {
            problems.push(Problem {
                path: path.to_owned(),
                line: 1,
                message: "gone; take it off LONG_FILES in tidy/src/code.rs".to_owned(),
            });
        }
    }
    problems
}

/// Rust, Python and shell; scripts without an extension begin with `#!`.
fn is_source(file: &File) -> bool {
    let extension = file.name().rsplit_once('.').map(|(_, extension)| extension);
    matches!(extension, Some("rs" | "py" | "sh")) || file.text.starts_with("#!/")
}

/// The first line of each Rust file says what the file is for.
pub fn headings(tree: &Tree) -> Vec<Problem> {
    tree.rust()
        .filter(|file| {
            let first = file.text.lines().next().unwrap_or_default();
            let documented = first
                .strip_prefix("//!")
                .is_some_and(|text| !text.trim().is_empty());
            !documented && !first.starts_with("#![doc = include_str!")
        })
        .map(|file| file.problem(1, "begin with a `//!` line that says what the file is for"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::places;

    #[test]
    fn unsafe_in_the_wrong_place_or_without_a_reason_is_found() {
        let tree = Tree::of(&[
            (
                "crates/a/src/lib.rs",
                "#![forbid(unsafe_code)]\n// unsafe\nfn f() { unsafe { g() } }\n",
            ),
            (
                "crates/hatchery-sys/src/lib.rs",
                "// SAFETY: fine\nunsafe { a() };\n\n// SAFETY: fine\nlet x =\n    unsafe { b() };\n\nunsafe { c() };\n\
                 // SAFETY: of d only\n\nunsafe impl D for E {}\nunsafe extern \"C\" {}\n",
            ),
        ]);
        let expected = [
            "crates/a/src/lib.rs:3",
            "crates/hatchery-sys/src/lib.rs:8",
            "crates/hatchery-sys/src/lib.rs:11",
        ];
        assert_eq!(places(&unsafe_code(&tree)), expected);
    }

    #[test]
    fn panics_are_found_outside_tests_only() {
        let tree = Tree::of(&[
            (
                "crates/a/src/lib.rs",
                "#[cfg(test)]\nmod fixtures;\n/// `x.unwrap()`\nfn f() { x.expect(\"y\") }\n#[cfg(test)]\nmod tests { fn g() { x.unwrap() } }\n",
            ),
            ("crates/a/src/fixtures.rs", "fn f() { x.unwrap() }\n"),
            ("crates/a/src/b.rs", "fn f() { x\n.unwrap() }\n"),
            ("crates/a/tests/c.rs", "fn f() { x.unwrap() }\n"),
        ]);
        let expected = ["crates/a/src/lib.rs:4", "crates/a/src/b.rs:2"];
        assert_eq!(places(&panics(&tree)), expected);
    }

    #[test]
    fn long_files_need_a_reason_and_reasons_need_a_long_file() {
        let long = "//! A\n".repeat(LINES_MAX + 1);
        let tree = Tree::of(&[("a.rs", &long), ("b.rs", &long), ("c.rs", "//! C\n")]);
        let allowed = [
            ("b.rs", "a table"),
            ("c.rs", "was long"),
            ("d.rs", "was here"),
        ];
        let expected = ["a.rs:601", "c.rs:1", "d.rs:1"];
        assert_eq!(places(&lengths_except(&tree, &allowed)), expected);
    }

    #[test]
    fn a_file_without_a_heading_is_found() {
        let tree = Tree::of(&[("a.rs", "//! A\n"), ("b.rs", "use c;\n"), ("d.rs", "//!\n")]);
        assert_eq!(places(&headings(&tree)), ["b.rs:1", "d.rs:1"]);
    }
}
