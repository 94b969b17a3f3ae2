//! Just enough of TOML to read what a `Cargo.toml` depends on and what a `Cargo.lock` holds.

use std::collections::{BTreeMap, BTreeSet};

/// One dependency of a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// The line of its entry, from 1.
    pub line: usize,
    /// Whether it is for tests only.
    pub dev: bool,
    /// Its name in the manifest.
    pub name: String,
}

/// The dependencies that a `Cargo.toml` lists, in all its dependency tables.
pub fn dependencies(manifest: &str) -> Vec<Dependency> {
    let mut found = Vec::new();
    let mut table = String::new();
    for (index, line) in manifest.lines().enumerate() {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[') {
            header.trim_end_matches(']').clone_into(&mut table);
            // `[dependencies.name]` is a table of its own.
            if let Some((kind, name)) = table.rsplit_once('.')
                && is_dependency_table(kind)
            {
                found.push(Dependency {
                    line: index + 1,
                    dev: kind.contains("dev-"),
                    name: name.trim_matches('"').to_owned(),
                });
            }
        } else if is_dependency_table(&table)
            && let Some((key, _)) = line.split_once('=')
            && !line.starts_with('#')
        {
            let name = key.split('.').next().unwrap_or(key);
            found.push(Dependency {
                line: index + 1,
                dev: table.contains("dev-"),
                name: name.trim().trim_matches('"').to_owned(),
            });
        }
    }
    found
}

/// `dependencies`, `dev-dependencies`, `target.'cfg(unix)'.dependencies` and the like; the
/// workspace's table is a list to choose from, not a dependency.
fn is_dependency_table(table: &str) -> bool {
    table.ends_with("dependencies") && !table.starts_with("workspace")
}

/// The packages of a `Cargo.lock` and what each depends on. Versions are left out.
#[derive(Debug, Default)]
pub struct Lock {
    packages: BTreeMap<String, BTreeSet<String>>,
}

impl Lock {
    /// Reads a `Cargo.lock`.
    pub fn parse(lock: &str) -> Self {
        let mut parsed = Self::default();
        let mut package = String::new();
        for line in lock.lines() {
            if let Some(name) = line.strip_prefix("name = ") {
                name.trim_matches('"').clone_into(&mut package);
                parsed.packages.entry(package.clone()).or_default();
            } else if let Some(entry) = line.strip_prefix(" \"")
                && let Some(name) = entry.split(['"', ' ']).next()
                && let Some(dependencies) = parsed.packages.get_mut(&package)
            {
                dependencies.insert(name.to_owned());
            }
        }
        parsed
    }

    /// Every package in the graph.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.packages.keys().map(String::as_str)
    }

    /// A package and everything that it needs, tests included.
    pub fn closure(&self, package: &str) -> BTreeSet<&str> {
        let mut reached = BTreeSet::new();
        let mut pending = vec![package];
        while let Some(name) = pending.pop() {
            if let Some((name, dependencies)) = self.packages.get_key_value(name)
                && reached.insert(name.as_str())
            {
                pending.extend(dependencies.iter().map(String::as_str));
            }
        }
        reached
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_found_in_every_spelling() {
        let manifest = "[workspace.dependencies]\nnot = \"1\"\n[dependencies]\n# a = \"1\"\nb = \"1\"\nc.workspace = true\n\
            [target.'cfg(unix)'.dependencies]\nd = { version = \"1\" }\n[dev-dependencies.e]\nversion = \"1\"\n[features]\nf = []\n";
        let names: Vec<(usize, bool, String)> = dependencies(manifest)
            .into_iter()
            .map(|dependency| (dependency.line, dependency.dev, dependency.name))
            .collect();
        let expected = [
            (5, false, "b"),
            (6, false, "c"),
            (8, false, "d"),
            (9, true, "e"),
        ];
        assert_eq!(
            names,
            expected.map(|(line, dev, name)| (line, dev, name.to_owned()))
        );
    }

    #[test]
    fn a_lock_knows_what_a_package_reaches() {
        let lock = Lock::parse(
            "[[package]]\nname = \"a\"\nversion = \"1\"\ndependencies = [\n \"b\",\n]\n\n\
             [[package]]\nname = \"b\"\nversion = \"1\"\ndependencies = [\n \"c 1.0.0\",\n]\n\n\
             [[package]]\nname = \"c\"\nversion = \"1.0.0\"\n\n[[package]]\nname = \"d\"\n",
        );
        assert_eq!(
            lock.closure("a").into_iter().collect::<Vec<_>>(),
            ["a", "b", "c"]
        );
        assert_eq!(lock.names().collect::<Vec<_>>(), ["a", "b", "c", "d"]);
    }
}
