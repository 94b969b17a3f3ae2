//! How often the kernel has killed a process for want of memory.
//!
//! A process that was killed so looks like any other that was sent SIGKILL; only this count tells.
//! It is kept for a control group: by version 2 for the group and those below it, by version 1 for
//! the group alone. The kernel counts before it kills, so the count is there when the death is
//! seen. Where no group tells, the machine's count stands in, which others raise too.

use std::path::{Path, PathBuf};

use super::cgroup::{self, Group, Version};
use super::read;

/// Where the count of this process's group is read.
#[derive(Debug)]
pub struct OomKills {
    file: PathBuf,
    is_own: bool,
}

impl OomKills {
    /// Looks for the best count; `None` where the kernel keeps none.
    pub fn find() -> Option<Self> {
        Self::find_in(&cgroup::own("memory", Path::new("/")))
    }

    fn find_in(groups: &[Group]) -> Option<Self> {
        // Where the own group has no count, that of one above is kept for it too.
        let own = groups.iter().map(|group| {
            let file = match group.version {
                Version::V1 => "memory.oom_control",
                Version::V2 => "memory.events",
            };
            (group.path.join(file), true)
        });
        let machine = (PathBuf::from("/proc/vmstat"), false);
        own.chain([machine])
            .map(|(file, is_own)| Self { file, is_own })
            .find(|kills| kills.count().is_some())
    }

    /// The count now; `None` when it cannot be read any more.
    pub fn count(&self) -> Option<u64> {
        parse(&read(&self.file)?)
    }

    /// Whether it counts this process's control group, and not the whole machine.
    pub const fn is_own(&self) -> bool {
        self.is_own
    }
}

/// The line `oom_kill N`, which all three kinds of file have.
fn parse(text: &str) -> Option<u64> {
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix("oom_kill "))?;
    value.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_found_in_each_kind_of_file() {
        let v2 = "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n";
        assert_eq!(parse(v2), Some(2));
        let v1 = "oom_kill_disable 0\nunder_oom 0\noom_kill 7\n";
        assert_eq!(parse(v1), Some(7));
        assert_eq!(parse("nr_free_pages 1\noom_kill 0\n"), Some(0));
        for wrong in ["", "oom_kill_disable 0\n", "oom_kill x\n"] {
            assert_eq!(parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn the_own_group_comes_before_the_machine() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join("memory/shop");
        std::fs::create_dir_all(&own).unwrap();
        let find = |text| OomKills::find_in(&cgroup::groups(text, "memory", dir.path()));
        let groups = "4:memory:/shop\n0::/elsewhere\n";
        assert!(find(groups).is_none_or(|kills| !kills.is_own()));
        std::fs::write(own.join("memory.oom_control"), "oom_kill 5\n").unwrap();
        let kills = find(groups).unwrap();
        assert_eq!((kills.is_own(), kills.count()), (true, Some(5)));
        // A path of outside leads nowhere else: the root of what is seen counts.
        std::fs::write(dir.path().join("memory.events"), "oom_kill 6\n").unwrap();
        assert_eq!(find("0::/../../shop\n").unwrap().count(), Some(6));
    }
}
