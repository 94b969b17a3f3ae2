//! What each crate may depend on and name.

use crate::lexer::{code, find_word, std_modules};
use crate::manifest::{Lock, dependencies};
use crate::{Problem, Tree};

/// The parts of `std` that reach the world outside the process, or another thread.
const OUTSIDE_WORLD: &[&str] = &["env", "fs", "io", "net", "os", "process", "thread"];

/// Types that read a clock.
const CLOCKS: &[&str] = &["Instant", "SystemTime"];

/// Macros that print.
const PRINTING: &[&str] = &["dbg", "eprint", "eprintln", "print", "println"];

/// What makes a program asynchronous or an HTTP server.
const RUNTIMES: &[&str] = &[
    "axum",
    "futures",
    "hyper",
    "hyper-util",
    "mio",
    "tokio",
    "tower",
];

/// What the facade gives to applications under its own name.
const BEHIND_THE_FACADE: &[&str] = &["axum", "axum-core", "hyper", "hyper-util"];

/// Native cryptography that needs a C toolchain or a system library.
const NATIVE_TLS: &[&str] = &["aws-lc", "native-tls", "openssl"];

/// The supervisor depends on no crate but serde, whose derive makes it its own snapshot, and neither it nor the message crate reaches the outside
/// world: a simulator can only replay what is decided by arguments.
pub fn pure_crates(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Some(manifest) = tree.file("crates/hatchery-supervisor/Cargo.toml") {
        for dependency in dependencies(&manifest.text) {
            if !dependency.dev && dependency.name != "serde" {
                let message = format!(
                    "the supervisor must not depend on `{}`; pass what it needs as an argument",
                    dependency.name
                );
                problems.push(manifest.problem(dependency.line, message));
            }
        }
    }
    for directory in [
        "crates/hatchery-supervisor/src/",
        "crates/hatchery-ipc/src/",
    ] {
        for file in tree.below(directory).filter(|file| file.is_rust()) {
            let code = code(&file.text);
            for (line, module) in std_modules(&code) {
                if OUTSIDE_WORLD.contains(&module.as_str()) {
                    let message = format!(
                        "`std::{module}` in a pure crate; let the master do it and pass the result"
                    );
                    problems.push(file.problem(line, message));
                }
            }
            for (index, line) in code.lines().enumerate() {
                for clock in CLOCKS
                    .iter()
                    .filter(|clock| find_word(line, clock).is_some())
                {
                    let message =
                        format!("`{clock}` in a pure crate; take the time as an argument");
                    problems.push(file.problem(index + 1, message));
                }
                for print in PRINTING {
                    if find_word(line, print)
                        .is_some_and(|at| line[at + print.len()..].starts_with('!'))
                    {
                        let message =
                            format!("`{print}!` in a pure crate; return what is to be said");
                        problems.push(file.problem(index + 1, message));
                    }
                }
            }
        }
    }
    problems
}

/// The master has no async runtime, no HTTP and no application code: nothing of that can block or
/// crash it. Its whole dependency graph is looked at, not only its manifest.
pub fn plain_master(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Some(manifest) = tree.file("crates/hatchery-master/Cargo.toml") {
        for dependency in dependencies(&manifest.text) {
            if RUNTIMES.contains(&dependency.name.as_str()) || dependency.name == "hatchery" {
                let message = format!(
                    "the master must not depend on `{}`; that belongs into `hatchery`",
                    dependency.name
                );
                problems.push(manifest.problem(dependency.line, message));
            }
        }
    }
    if let Some(lock) = tree.file("Cargo.lock") {
        for package in Lock::parse(&lock.text).closure("hatchery-master") {
            if RUNTIMES.contains(&package) {
                let message = format!(
                    "the master reaches `{package}` through a dependency; find it with \
                     `cargo tree -p hatchery-master -i {package}` and turn the feature off"
                );
                problems.push(lock.problem(1, message));
            }
        }
    }
    let forbidden = ["tokio", "hyper", "axum", "async", "await"];
    problems.extend(words_in_code(
        tree,
        "crates/hatchery-master/src/",
        &forbidden,
        "the master is one thread around epoll; do it there, or in a child",
    ));
    problems
}

/// Applications reach axum and hyper through `hatchery`: then their versions cannot part.
pub fn facade(tree: &Tree) -> Vec<Problem> {
    let mut problems = Vec::new();
    let is_manifest = |path: &str| path.ends_with("/Cargo.toml");
    for manifest in tree
        .below("examples/")
        .filter(|file| is_manifest(&file.path))
    {
        for dependency in dependencies(&manifest.text) {
            if BEHIND_THE_FACADE.contains(&dependency.name.as_str()) {
                let message = format!(
                    "an application must not depend on `{}`; use what `hatchery` re-exports",
                    dependency.name
                );
                problems.push(manifest.problem(dependency.line, message));
            }
        }
    }
    problems.extend(words_in_code(
        tree,
        "examples/",
        &["axum", "hyper"],
        "name it through `hatchery`",
    ));
    problems
}

/// Each crate takes the workspace's lints; `hatchery-sys`, which may be unsafe, has its own copy.
pub fn shared_lints(tree: &Tree) -> Vec<Problem> {
    tree.files()
        .filter(|file| file.name() == "Cargo.toml" && !file.path.starts_with("bench/"))
        .filter(|file| file.path != "Cargo.toml" && file.path != "crates/hatchery-sys/Cargo.toml")
        .filter(|file| !file.text.contains("[lints]\nworkspace = true\n"))
        .map(|file| file.problem(1, "add `[lints]` with `workspace = true`"))
        .collect()
}

/// No library of the system and no C toolchain for cryptography: the binary is one static file.
pub fn no_native_tls(tree: &Tree) -> Vec<Problem> {
    let Some(lock) = tree.file("Cargo.lock") else {
        return Vec::new();
    };
    Lock::parse(&lock.text)
        .names()
        .filter(|name| NATIVE_TLS.iter().any(|prefix| name.starts_with(prefix)))
        .map(|name| {
            let message = format!("`{name}` is in the graph; `cargo tree -i {name}` says why");
            lock.problem(1, message)
        })
        .collect()
}

fn words_in_code(tree: &Tree, directory: &str, words: &[&str], advice: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in tree.below(directory).filter(|file| file.is_rust()) {
        for (index, line) in code(&file.text).lines().enumerate() {
            for word in words.iter().filter(|word| find_word(line, word).is_some()) {
                problems.push(file.problem(index + 1, format!("`{word}` here; {advice}")));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::places;

    #[test]
    fn a_supervisor_that_reads_the_world_is_found() {
        let tree = Tree::of(&[
            (
                "crates/hatchery-supervisor/Cargo.toml",
                "[dependencies]\nserde.workspace = true\nrand = \"1\"\n",
            ),
            (
                "crates/hatchery-supervisor/src/lib.rs",
                "//! `std::fs` in prose is fine.\nuse std::{fmt, time::Instant};\nuse std::fs;\n\nfn f() { println!(); }\n",
            ),
            ("crates/hatchery-ipc/src/lib.rs", "use std::fmt;\n"),
        ]);
        let expected = [
            "crates/hatchery-supervisor/Cargo.toml:3",
            "crates/hatchery-supervisor/src/lib.rs:3",
            "crates/hatchery-supervisor/src/lib.rs:2",
            "crates/hatchery-supervisor/src/lib.rs:5",
        ];
        assert_eq!(places(&pure_crates(&tree)), expected);
    }

    #[test]
    fn a_master_with_a_runtime_is_found_in_manifest_graph_and_source() {
        let tree = Tree::of(&[
            (
                "Cargo.lock",
                "name = \"hatchery-master\"\ndependencies = [\n \"x\",\n]\nname = \"x\"\ndependencies = [\n \"mio\",\n]\nname = \"mio\"\n",
            ),
            (
                "crates/hatchery-master/Cargo.toml",
                "[dependencies]\nx = \"1\"\ntokio.workspace = true\n",
            ),
            (
                "crates/hatchery-master/src/lib.rs",
                "// no tokio\nasync fn f() {}\n",
            ),
        ]);
        let expected = [
            "crates/hatchery-master/Cargo.toml:3",
            "Cargo.lock:1",
            "crates/hatchery-master/src/lib.rs:2",
        ];
        assert_eq!(places(&plain_master(&tree)), expected);
    }

    #[test]
    fn an_application_that_goes_around_the_facade_is_found() {
        let tree = Tree::of(&[
            (
                "examples/a/Cargo.toml",
                "[dependencies]\nhatchery = \"1\"\naxum = \"1\"\n",
            ),
            (
                "examples/a/src/main.rs",
                "use hatchery::Router;\nuse axum::Json;\n",
            ),
        ]);
        let expected = ["examples/a/Cargo.toml:3", "examples/a/src/main.rs:2"];
        assert_eq!(places(&facade(&tree)), expected);
    }

    #[test]
    fn a_crate_with_lints_of_its_own_and_native_cryptography_are_found() {
        let tree = Tree::of(&[
            ("Cargo.lock", "name = \"aws-lc-rs\"\n"),
            ("crates/a/Cargo.toml", "[lints]\nworkspace = true\n"),
            ("crates/b/Cargo.toml", "[package]\n"),
        ]);
        assert_eq!(places(&shared_lints(&tree)), ["crates/b/Cargo.toml:1"]);
        assert_eq!(places(&no_native_tls(&tree)), ["Cargo.lock:1"]);
    }
}
