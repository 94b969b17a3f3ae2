//! The invariants of absence in `ARCHITECTURE.md`, and the house's rules of form, as tests.
//!
//! A rule is a function from the [`Tree`] to the [`Problem`]s that it finds; `tests/tidy.rs` runs
//! each of them over this repository. Rules read text, they do not build anything: they see what
//! the compiler cannot object to, above all what a crate must *not* know.
//!
//! - [`boundaries`]: what each crate may depend on and name.
//! - [`code`]: `unsafe`, panics, sizes and headings of source files.
//! - [`text`]: form and contents of all text files, documentation among them.
//! - [`lexer`] and [`manifest`]: just enough understanding of Rust and TOML for the rules.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

pub mod boundaries;
pub mod code;
pub mod lexer;
pub mod manifest;
pub mod text;

/// Directories that are never part of the tree.
const SKIPPED_DIRECTORIES: &[&str] = &[".git", "target", "__pycache__"];

/// What a running application writes: a directory of this name beside its sources, not among them.
const RUN_DIRECTORY: &str = "run";

/// Text larger than this is data, not source (Cargo.lock is some tens of KiB).
const FILE_BYTES_MAX: u64 = 1 << 20;

/// All text files of the repository.
#[derive(Debug, Default)]
pub struct Tree {
    files: Vec<File>,
}

/// One text file.
#[derive(Debug)]
pub struct File {
    /// The path from the repository's root, with `/`.
    pub path: String,
    /// The contents.
    pub text: String,
}

/// Something that a rule objects to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The path from the repository's root.
    pub path: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, and what to do about it.
    pub message: String,
}

impl Tree {
    /// Reads the tree below `root`.
    pub fn read(root: &Path) -> io::Result<Self> {
        let mut tree = Self::default();
        tree.read_directory(root, "")?;
        tree.files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(tree)
    }

    /// A tree in memory, for the tests of rules.
    pub fn of(files: &[(&str, &str)]) -> Self {
        let file = |&(path, text): &(&str, &str)| File {
            path: path.into(),
            text: text.into(),
        };
        Self {
            files: files.iter().map(file).collect(),
        }
    }

    fn read_directory(&mut self, directory: &Path, prefix: &str) -> io::Result<()> {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let path = format!("{prefix}{name}");
            let kind = entry.file_type()?;
            if kind.is_dir() {
                let made_by_runs = name == RUN_DIRECTORY && !path.contains("/src/");
                if !made_by_runs && !SKIPPED_DIRECTORIES.contains(&name.as_str()) {
                    self.read_directory(&entry.path(), &format!("{path}/"))?;
                }
            } else if kind.is_file() && entry.metadata()?.len() <= FILE_BYTES_MAX {
                // What is not UTF-8 is an image or the like. `.git` is a file in a linked tree.
                if let Ok(text) = String::from_utf8(fs::read(entry.path())?)
                    && name != ".git"
                    && entry
                        .path()
                        .extension()
                        .is_none_or(|extension| extension != "log")
                {
                    self.files.push(File { path, text });
                }
            }
        }
        Ok(())
    }

    /// All files, by path.
    pub fn files(&self) -> impl Iterator<Item = &File> {
        self.files.iter()
    }

    /// The file at `path`.
    pub fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// The files below a directory, which is written with a `/` at its end.
    pub fn below<'a>(&'a self, directory: &'a str) -> impl Iterator<Item = &'a File> {
        self.files()
            .filter(move |file| file.path.starts_with(directory))
    }

    /// Whether a file or a directory has this path.
    pub fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        self.files().any(|file| {
            file.path
                .strip_prefix(path)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    /// All Rust sources.
    pub fn rust(&self) -> impl Iterator<Item = &File> {
        self.files().filter(|file| file.is_rust())
    }
}

impl File {
    /// Whether it is Rust source.
    pub fn is_rust(&self) -> bool {
        Path::new(&self.path)
            .extension()
            .is_some_and(|extension| extension == "rs")
    }

    /// Its last path segment.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// A problem in this file.
    pub fn problem(&self, line: usize, message: impl Into<String>) -> Problem {
        Problem {
            path: self.path.clone(),
            line,
            message: message.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// Fails the test with all problems, one a line.
///
/// # Panics
///
/// Panics when there is any problem.
#[track_caller]
pub fn assert_none(problems: &[Problem]) {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert!(
        problems.is_empty(),
        "{} to be put right:\n{}",
        problems.len(),
        lines.join("\n")
    );
}

/// The problems of a tree in memory as `path:line`, for the tests of rules.
#[cfg(test)]
pub(crate) fn places(problems: &[Problem]) -> Vec<String> {
    problems
        .iter()
        .map(|problem| format!("{}:{}", problem.path, problem.line))
        .collect()
}
