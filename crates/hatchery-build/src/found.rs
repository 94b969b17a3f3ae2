//! What is below `src/app`, as modules.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::shown;

/// What a look at `src/app` has found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// By name, so that nothing depends on the order of a directory.
    pub(crate) modules: Modules,
    /// Those that are to be looked at again.
    pub(crate) directories: Vec<PathBuf>,
    pub(crate) problems: Vec<Problem>,
}

pub(crate) type Modules = BTreeMap<String, Module>;

/// A module, by its name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Module {
    /// What it is called on disk, with `.rs` if it is a file.
    pub(crate) file: String,
    pub(crate) kind: Kind,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A file, and what it names itself.
    File,
    /// A directory without a file of its own.
    Directory(Modules),
}

/// Why the build ends.
#[derive(Debug)]
pub(crate) struct Problem {
    path: PathBuf,
    what: String,
}

impl Problem {
    pub(crate) fn shown(&self, root: &Path) -> String {
        format!("{}: {}", shown(&self.path, root), self.what)
    }
}

/// Everything below `app`, which need not exist.
pub(crate) fn find(app: &Path) -> Found {
    let mut found = Found::default();
    if app.is_dir() {
        found.modules = found.directory(app, Place::Top);
    } else if let Some(source) = app.parent() {
        // A path that is missing would have the script run at every build.
        found.directories.push(source.to_owned());
    }
    found
}

/// Where a directory stands: some names mean something in some places only.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Top,
    Extend,
    Other,
}

/// An entry of a directory that may become a module.
struct Entry {
    /// Without `.rs`.
    stem: String,
    path: PathBuf,
    is_directory: bool,
}

impl Found {
    fn directory(&mut self, directory: &Path, place: Place) -> Modules {
        self.directories.push(directory.to_owned());
        let entries = match entries(directory) {
            Ok(entries) => entries,
            Err(error) => {
                self.problem(directory, format!("cannot be read: {error}"));
                return Modules::new();
            }
        };
        let mut modules = Modules::new();
        for entry in &entries {
            if entry.stem == "mod" && !entry.is_directory {
                let name = "there is no module for the whole of this directory";
                self.problem(&entry.path, format!("{name}: write it in another file"));
                continue;
            }
            let Some(name) = self.name(entry, place) else {
                continue;
            };
            if let Some(kind) = self.kind(entry, &entries, place) {
                self.insert(&mut modules, name, entry, kind, directory);
            }
        }
        modules
    }

    /// What an entry is; nothing if another one stands for it.
    fn kind(&mut self, entry: &Entry, siblings: &[Entry], place: Place) -> Option<Kind> {
        if !entry.is_directory {
            return Some(Kind::File);
        }
        let beside = siblings
            .iter()
            .find(|one| !one.is_directory && one.stem == entry.stem);
        let inside = entry.path.join("mod.rs");
        if let Some(owner) = beside {
            self.owned(&entry.path, &owner.path);
            return None;
        }
        if inside.is_file() {
            self.owned(&entry.path, &inside);
            return Some(Kind::File);
        }
        let below = match (place, entry.stem.as_str()) {
            (Place::Top, "extend") => Place::Extend,
            _ => Place::Other,
        };
        let modules = self.directory(&entry.path, below);
        (!modules.is_empty()).then_some(Kind::Directory(modules))
    }

    /// A directory whose modules `owner` names: one that it forgets would be lost silently.
    fn owned(&mut self, directory: &Path, owner: &Path) {
        self.directories.push(directory.to_owned());
        let Ok(text) = fs::read_to_string(owner) else {
            return;
        };
        for entry in entries(directory).unwrap_or_default() {
            let is_module = !entry.is_directory || has_modules(&entry.path);
            if entry.path == owner || !is_module || names(&text, &entry) {
                continue;
            }
            let owned_by = match owner.file_name().unwrap_or_default().display().to_string() {
                name if name == "mod.rs" => format!("its {name}"),
                name => format!("{name} beside it"),
            };
            let what = format!(
                "is not part of the application: the directory belongs to {owned_by}, which must name it: `pub mod {};`",
                module_name(&entry.stem),
            );
            self.problem(&entry.path, what);
        }
    }

    /// The module's name, if the file's permits one.
    fn name(&mut self, entry: &Entry, place: Place) -> Option<String> {
        let stem = entry.stem.as_str();
        let is_variant = !entry.is_directory && stem.contains('.');
        if is_variant && place != Place::Extend {
            self.problem(&entry.path, "only files in `extend` have variants for environments: put it there, or leave the dot out".into());
            return None;
        }
        let mut parts = stem.split('.');
        let fits = |part: &str| {
            part.starts_with(|first: char| first.is_ascii_alphabetic())
                && part
                    .chars()
                    .all(|one| one.is_ascii_alphanumeric() || "_-".contains(one))
        };
        if !parts.all(fits) {
            self.problem(
                &entry.path,
                "a name begins with a letter and has letters, digits, `_` and `-` only".into(),
            );
            return None;
        }
        let name = module_name(stem);
        if ["self", "Self", "super", "crate"].contains(&stem) {
            self.problem(
                &entry.path,
                format!("`{stem}` cannot be the name of a module"),
            );
            return None;
        }
        if place == Place::Top && name == "prelude" {
            self.problem(
                &entry.path,
                "`prelude` is the module that has everything of `extend`".into(),
            );
            return None;
        }
        Some(name)
    }

    fn insert(
        &mut self,
        modules: &mut Modules,
        name: String,
        entry: &Entry,
        kind: Kind,
        directory: &Path,
    ) {
        if let Some(other) = modules.get(&name) {
            let what = format!(
                "is the module `{name}`, and so is {}",
                directory
                    .join(&other.file)
                    .file_name()
                    .unwrap_or_default()
                    .display()
            );
            self.problem(&entry.path, what);
            return;
        }
        let mut file = entry
            .path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if entry.is_directory && kind == Kind::File {
            file.push_str("/mod.rs");
        }
        modules.insert(name, Module { file, kind });
    }

    fn problem(&mut self, path: &Path, what: String) {
        self.problems.push(Problem {
            path: path.to_owned(),
            what,
        });
    }
}

/// Directories and Rust files, by name.
fn entries(directory: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        let is_directory = path.is_dir();
        let stem = if is_directory {
            Some(name.as_str())
        } else {
            name.strip_suffix(".rs")
        };
        if let Some(stem) = stem {
            let stem = stem.to_owned();
            entries.push(Entry {
                stem,
                path,
                is_directory,
            });
        }
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(entries)
}

/// Whether a Rust file is anywhere below.
fn has_modules(directory: &Path) -> bool {
    entries(directory)
        .unwrap_or_default()
        .iter()
        .any(|entry| !entry.is_directory || has_modules(&entry.path))
}

/// Whether Rust source declares the module of `entry`, or names its file.
fn names(text: &str, entry: &Entry) -> bool {
    let name = module_name(&entry.stem);
    let words = text.split(|one: char| !(one.is_alphanumeric() || "_#".contains(one)));
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    let declared = words.windows(2).any(|pair| {
        pair.first() == Some(&"mod")
            && pair
                .get(1)
                .is_some_and(|word| word.trim_start_matches("r#") == name)
    });
    declared || text.contains(&format!("\"{}", entry.stem))
}

/// `blog-posts` and `context.unittest` as identifiers.
fn module_name(stem: &str) -> String {
    stem.replace(['-', '.'], "_")
}
