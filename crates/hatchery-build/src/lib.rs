//! Finds the files of an application's `src/app` when it is built.
//!
//! Its build script, `build.rs`, is `fn main() { hatchery_build::scan(); }`.
//!
//! `hatchery::app!();` in `src/main.rs` (or `src/lib.rs`) then makes a module `app` with a module
//! for each file and directory below `src/app`. A file that is put there is found by the next build
//! without being named anywhere.
//!
//! - Names begin with a letter and have letters, digits, `_` and `-`; `blog-posts.rs` is the module
//!   `blog_posts`. Files that do not end in `.rs`, and those that begin with a dot, are left alone.
//! - In `extend`, `context.unittest.rs` is `context.rs` for the environment `unittest`: the module
//!   `context_unittest`.
//! - `app::prelude` has everything of `extend`: `use crate::app::prelude::*;` brings the methods
//!   that extensions add.
//! - A directory that has a `mod.rs`, or a file of its name beside it, belongs to that file: it names
//!   what is in the directory itself, as everywhere in Rust, and one that it forgets is an error.

mod found;
#[cfg(test)]
mod tests;
mod write;

use std::path::{Path, PathBuf};
use std::process::exit;

/// Looks through `src/app` of the crate whose build script calls it, and has cargo look again when
/// something is added or removed there.
///
/// A name that cannot be a module ends the build with an error that says which file, and why.
pub fn scan() {
    let root = directory("CARGO_MANIFEST_DIR");
    let out = directory("OUT_DIR");
    println!("cargo::rerun-if-changed=build.rs");
    let found = found::find(&root.join("src/app"));
    for directory in &found.directories {
        println!("cargo::rerun-if-changed={}", directory.display());
    }
    if !found.problems.is_empty() {
        for problem in &found.problems {
            println!("cargo::error={}", problem.shown(&root));
        }
        return;
    }
    if let Err(error) = write::write(&out.join("hatchery_app.rs"), &found) {
        println!("cargo::error={}: {error}", out.display());
    }
}

/// A directory that cargo names to build scripts.
fn directory(variable: &str) -> PathBuf {
    let Some(directory) = std::env::var_os(variable) else {
        println!("cargo::error=`hatchery_build::scan()` is for build scripts: no {variable}");
        exit(1);
    };
    PathBuf::from(directory)
}

/// `path` as people know it: from the crate's root.
fn shown(path: &Path, root: &Path) -> String {
    path.strip_prefix(root)
        .unwrap_or(path)
        .display()
        .to_string()
}
