//! Which control groups this process is in, and what is above them.
//!
//! In a container the path that `/proc/self/cgroup` tells often is not there; its own limit is then
//! at the root it sees, which the walk ends with.

use std::path::{Component, Path, PathBuf};

/// Where the hierarchies are mounted.
const ROOT: &str = "sys/fs/cgroup";

/// The hierarchy's version: they have other files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    V1,
    V2,
}

/// One control group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) version: Version,
    /// Where its files would be; it need not exist.
    pub(crate) path: PathBuf,
}

/// The groups of this process that `controller` may limit, and those above; `root` is where the
/// file system begins.
pub(crate) fn own(controller: &str, root: &Path) -> Vec<Group> {
    let text = super::read(&root.join("proc/self/cgroup"));
    text.map_or_else(Vec::new, |text| groups(&text, controller, &root.join(ROOT)))
}

/// The same from the text of `/proc/self/cgroup`, each group before those above it; `mounts` is
/// where the hierarchies are mounted.
pub(crate) fn groups(text: &str, controller: &str, mounts: &Path) -> Vec<Group> {
    text.lines()
        .filter_map(|line| of_line(line, controller, mounts))
        .flatten()
        .collect()
}

fn of_line(line: &str, controller: &str, mounts: &Path) -> Option<Vec<Group>> {
    let mut fields = line.splitn(3, ':');
    let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    let path = Path::new(path);
    if number == "0" && controllers.is_empty() {
        // The second is where systems with both versions put it.
        let mounts = [mounts.to_owned(), mounts.join("unified")];
        return Some(upwards(&mounts, path, Version::V2));
    }
    if !controllers.split(',').any(|one| one == controller) {
        return None;
    }
    let mut mounts = vec![mounts.join(controllers), mounts.join(controller)];
    mounts.dedup();
    Some(upwards(&mounts, path, Version::V1))
}

/// From `group` below each mount up to the mount itself.
fn upwards(mounts: &[PathBuf], group: &Path, version: Version) -> Vec<Group> {
    // A group outside of what we see is written with `..`, which must not lead elsewhere.
    let inside = group
        .components()
        .all(|part| !matches!(part, Component::ParentDir));
    let group = if inside { group } else { Path::new("/") };
    let group = group.strip_prefix("/").unwrap_or(group);
    let of_mount = |mount: &PathBuf| -> Vec<Group> {
        let paths = group.ancestors().map(|group| mount.join(group));
        paths.map(|path| Group { version, path }).collect()
    };
    mounts.iter().flat_map(of_mount).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_named_upwards() {
        let paths = |text| -> Vec<_> {
            groups(text, "memory", Path::new("/c"))
                .into_iter()
                .map(|group| (group.version, group.path.display().to_string()))
                .collect()
        };
        let v1 = |path: &str| (Version::V1, path.to_owned());
        let v2 = |path: &str| (Version::V2, path.to_owned());
        assert_eq!(
            paths("0::/a/b\n"),
            [
                v2("/c/a/b"),
                v2("/c/a"),
                v2("/c/"),
                v2("/c/unified/a/b"),
                v2("/c/unified/a"),
                v2("/c/unified/"),
            ]
        );
        assert_eq!(
            paths("3:cpu:/x\n4:memory:/a\n"),
            [v1("/c/memory/a"), v1("/c/memory/")]
        );
        assert_eq!(paths("4:memory:/../../b\n"), [v1("/c/memory/")]);
        assert_eq!(paths("nonsense\n::\n5:memoryx:/\n"), []);
    }

    #[test]
    fn this_process_is_in_a_group() {
        // Where there are none at all, nothing is found, and nothing breaks.
        let groups = own("memory", Path::new("/"));
        let text = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        assert_eq!(
            groups.is_empty(),
            !text.contains("0::") && !text.contains("memory")
        );
    }
}
