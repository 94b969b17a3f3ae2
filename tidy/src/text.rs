//! Form and contents of all text files, documentation among them.

use crate::{File, Problem, Tree};

/// The two commands that a reader needs; continuous integration runs the second.
pub const COMMANDS: [&str; 2] = ["cargo run --release", "cargo test --workspace"];

/// Beginnings of paths that exist on one machine only.
const MACHINE_PATHS: [&str; 4] = [
    concat!("/ho", "me/"),
    concat!("/ro", "ot/"),
    concat!("/wo", "rk/"),
    concat!("/Us", "ers/"),
];

/// Documents whose paths in backticks must exist.
const DOCUMENTS: &[&str] = &[
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "README.md",
    "bench/README.md",
];

/// A path in backticks is one of the repository when it begins with one of these.
const PLACES: &[&str] = &[".ci/", "bench/", "crates/", "examples/", "tidy/"];

/// The same, below a heading that names a crate.
const CRATE_PLACES: &[&str] = &["config/", "examples/", "src/", "tests/"];

/// Tables of the configuration: where the type is, its name, and the table's.
const SETTINGS: &[(&str, &str, &str)] = &[
    (
        "crates/hatchery-master/src/settings/mod.rs",
        "Cluster",
        "cluster",
    ),
    (
        "crates/hatchery-master/src/settings/listen.rs",
        "Listen",
        "listen",
    ),
    ("crates/hatchery/src/serve/limits.rs", "Limits", "http"),
];

/// No tabs, no trailing spaces, one newline at the end.
pub fn whitespace(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in tree.files() {
        for (index, line) in file.text.lines().enumerate() {
            if line.contains('\t') {
                problems.push(file.problem(index + 1, "a tab; use spaces"));
            }
            if line.ends_with([' ', '\r']) {
                problems.push(file.problem(index + 1, "white space at the end; remove it"));
            }
        }
        if !file.text.is_empty() && (!file.text.ends_with('\n') || file.text.ends_with("\n\n")) {
            let message = "end the file with exactly one newline";
            problems.push(file.problem(file.text.lines().count(), message));
        }
    }
    problems
}

/// Nothing refers to a directory of the machine that it was written on.
pub fn machine_paths(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in tree.files() {
        for (index, line) in file.text.lines().enumerate() {
            for path in MACHINE_PATHS.iter().filter(|path| begins_path(line, path)) {
                let message = format!("`{path}…` exists on one machine; use a relative path");
                problems.push(file.problem(index + 1, message));
            }
        }
    }
    problems
}

/// Whether a path in `line` begins with `path`, rather than having it in its middle.
fn begins_path(line: &str, path: &str) -> bool {
    let inner = |c: char| c.is_alphanumeric() || "_-.}~".contains(c);
    line.match_indices(path)
        .any(|(at, _)| !line[..at].ends_with(inner))
}

/// The documents that everybody looks for are there and say what is looked for.
pub fn documents(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut require = |path: &str, needle: &str, advice: &str| {
        let found = tree
            .file(path)
            .is_some_and(|file| file.text.contains(needle));
        if !found {
            problems.push(Problem {
                path: path.to_owned(),
                line: 1,
                message: format!("no `{needle}`; {advice}"),
            });
        }
    };
    require(
        "CHANGELOG.md",
        "\n## [Unreleased]\n",
        "changes are collected there",
    );
    for command in COMMANDS {
        require("README.md", command, "a reader starts with this command");
    }
    require(
        ".ci/run",
        COMMANDS[1],
        "continuous integration runs what the README says",
    );
    require(
        "LICENSE-MIT",
        "Permission is hereby granted",
        "both licences are here in full",
    );
    require(
        "LICENSE-APACHE",
        "Version 2.0, January 2004",
        "both licences are here in full",
    );
    problems
}

/// Paths that documents name in backticks exist, and `ARCHITECTURE.md` names each crate.
pub fn code_map(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in DOCUMENTS.iter().filter_map(|path| tree.file(path)) {
        for named in paths_in_backticks(file) {
            if !tree.has(&named.path) && !tree.has(&format!("{}/{}", named.crate_path, named.path))
            {
                let message = format!("`{}` does not exist; put it right", named.path);
                problems.push(file.problem(named.line, message));
            }
        }
    }
    let Some(architecture) = tree.file("ARCHITECTURE.md") else {
        return problems;
    };
    for manifest in tree
        .below("crates/")
        .filter(|file| file.name() == "Cargo.toml")
    {
        if let Some((directory, _)) = manifest.path.rsplit_once('/')
            && !architecture.text.contains(&format!("`{directory}"))
        {
            let message = format!("`{directory}` is missing in the code map; describe it");
            problems.push(architecture.problem(1, message));
        }
    }
    problems
}

/// Every key of the configuration stands in the README.
pub fn configuration_keys(tree: &Tree) -> Vec<Problem> {
    let Some(readme) = tree.file("README.md") else {
        return Vec::new();
    };
    let mut problems = Vec::new();
    for &(path, name, table) in SETTINGS {
        let keys = tree.file(path).map(|file| public_fields(&file.text, name));
        let Some(keys) = keys.filter(|keys| !keys.is_empty()) else {
            problems.push(Problem {
                path: path.to_owned(),
                line: 1,
                message: format!(
                    "no `struct {name}` with keys; put SETTINGS in tidy/src/text.rs right"
                ),
            });
            continue;
        };
        for key in keys
            .iter()
            .filter(|key| !readme.text.contains(&format!("`{key}`")))
        {
            let message = format!("the key `{key}` of `[{table}]` is missing; describe it");
            problems.push(readme.problem(1, message));
        }
    }
    problems
}

/// The names of a struct's fields that are visible outside its module: the keys of its table.
fn public_fields(source: &str, name: &str) -> Vec<String> {
    let Some(start) = source.find(&format!("struct {name} {{")) else {
        return Vec::new();
    };
    let visible = |line: &str| {
        let line = line.trim_start();
        let field = ["pub ", "pub(crate) "]
            .iter()
            .find_map(|visibility| line.strip_prefix(visibility))?;
        field.split_once(':').map(|(name, _)| name.to_owned())
    };
    source[start..]
        .lines()
        .take_while(|line| *line != "}")
        .filter_map(visible)
        .collect()
}

/// A path that a document names.
struct Named {
    line: usize,
    path: String,
    /// The crate that the section is about; empty when it is about none.
    crate_path: String,
}

/// The paths in backticks that are meant to be this repository's. Fenced blocks are skipped, and so
/// are patterns (`crates/*`) and the rest of commands (`bench/run --rounds 9` names `bench/run`).
/// Below a heading that names a crate in backticks, `src/…` and `tests/…` are that crate's.
fn paths_in_backticks(file: &File) -> Vec<Named> {
    let mut found = Vec::new();
    let mut fenced = false;
    let mut crate_path = "";
    for (index, line) in file.text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        if line.starts_with('#') {
            crate_path = line.split('`').nth(1).unwrap_or_default();
        }
        // The odd pieces are between backticks.
        for piece in line.split('`').skip(1).step_by(2) {
            let path = piece.split_whitespace().next().unwrap_or_default();
            let of_crate =
                !crate_path.is_empty() && CRATE_PLACES.iter().any(|p| path.starts_with(p));
            let meant = of_crate || PLACES.iter().any(|place| path.starts_with(place));
            if meant && !path.contains(['*', '{', '<', '…']) {
                found.push(Named {
                    line: index + 1,
                    path: path.to_owned(),
                    crate_path: crate_path.to_owned(),
                });
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::places;

    #[test]
    fn untidy_white_space_is_found() {
        let tree = Tree::of(&[
            ("a", "x\n\ty\nz \n"),
            ("b", "x"),
            ("c", "x\n\n"),
            ("d", "x\n"),
        ]);
        assert_eq!(places(&whitespace(&tree)), ["a:2", "a:3", "b:1", "c:2"]);
    }

    #[test]
    fn machine_paths_are_found_but_not_relative_ones() {
        let home = format!("x\nsee {}me\ncrates{0}x\n", MACHINE_PATHS[0]);
        let tree = Tree::of(&[("a.md", &home)]);
        assert_eq!(places(&machine_paths(&tree)), ["a.md:2"]);
    }

    #[test]
    fn missing_documents_and_commands_are_found() {
        let tree = Tree::of(&[
            ("CHANGELOG.md", "# Changelog\n\n## [Unreleased]\n"),
            ("README.md", "cargo run --release\n"),
            (".ci/run", "cargo test --workspace\n"),
            ("LICENSE-MIT", "Permission is hereby granted\n"),
        ]);
        assert_eq!(
            places(&documents(&tree)),
            ["README.md:1", "LICENSE-APACHE:1"]
        );
    }

    #[test]
    fn a_code_map_that_lags_behind_is_found() {
        let map = "# Map\n`src/x.rs` `crates/a/src/lib.rs` and `crates/a/src/gone.rs`, `crates/*`\n```\n`crates/no`\n```\n## `crates/a`: it\n`src/lib.rs` `src/no.rs`\n";
        let tree = Tree::of(&[
            ("ARCHITECTURE.md", map),
            ("crates/a/Cargo.toml", ""),
            ("crates/a/src/lib.rs", ""),
            ("crates/b/Cargo.toml", ""),
        ]);
        assert_eq!(
            places(&code_map(&tree)),
            [
                "ARCHITECTURE.md:2",
                "ARCHITECTURE.md:7",
                "ARCHITECTURE.md:1"
            ]
        );
    }
    #[test]
    fn a_key_that_the_readme_does_not_explain_is_found() {
        let fields = "pub struct Cluster {\n    /// Yes.\n    pub known: u32,\n    pub new: u32,\n    private: u32,\n}\n";
        let tree = Tree::of(&[
            ("README.md", "`known`\n"),
            (SETTINGS[0].0, fields),
            (
                SETTINGS[1].0,
                "pub struct Listen {\n    pub known: u32,\n}\n",
            ),
        ]);
        let expected = ["README.md:1", "crates/hatchery/src/serve/limits.rs:1"];
        assert_eq!(places(&configuration_keys(&tree)), expected);
    }
}
