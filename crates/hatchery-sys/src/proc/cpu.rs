//! How many processors this process may use.
//!
//! A container on a machine of 64 processors often has a quota of two: starting 64 workers there
//! makes each of them slow. The limits are looked for where they can be: the affinity mask, and the
//! bandwidth quotas of the control groups (version 2 and 1) from our own up to the root.

use std::path::Path;

use super::cgroup::{self, Group, Version};
use super::read;

/// Fewer workers than this are not started by default: one that blocks would be too much missed.
const FLOOR: u32 = 4;

/// How many workers to start when nobody says: the processors, but at least 4.
///
/// That is the smaller of the affinity mask's count and the group's quota, rounded up.
pub fn cpu_num() -> u32 {
    available_cpus().max(FLOOR)
}

/// The processors that this process may use, at least 1; a fraction of a quota counts as one more.
pub fn available_cpus() -> u32 {
    let quota = quota_cpus(&cgroup::own("cpu", Path::new("/")));
    let affinity = affinity_cpus();
    quota.map_or(affinity, |quota| quota.min(affinity)).max(1)
}

fn affinity_cpus() -> u32 {
    // The safe wrapper knows 1024 processors; the standard library asks for as many as there are.
    match rustix::thread::sched_getaffinity(None) {
        Ok(set) if set.count() > 0 => set.count(),
        _ => std::thread::available_parallelism()
            .map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX)),
    }
}

/// The smallest quota among our groups and those above, in whole processors; `None` without one.
fn quota_cpus(groups: &[Group]) -> Option<u32> {
    groups
        .iter()
        .filter_map(|group| match group.version {
            Version::V1 => quota_v1(&group.path),
            Version::V2 => quota_v2(&group.path),
        })
        .min()
}

fn quota_v2(group: &Path) -> Option<u32> {
    parse_cpu_max(&read(&group.join("cpu.max"))?)
}

fn quota_v1(group: &Path) -> Option<u32> {
    let quota = read(&group.join("cpu.cfs_quota_us"))?;
    let period = read(&group.join("cpu.cfs_period_us"))?;
    whole_cpus(quota.trim(), period.trim())
}

/// `"150000 100000"` or `"max 100000"`.
fn parse_cpu_max(text: &str) -> Option<u32> {
    let (quota, period) = text.trim().split_once(' ')?;
    whole_cpus(quota, period.trim())
}

/// Microseconds of processor time in each period, as processors rounded up. `None` for no limit,
/// which version 2 writes `max` and version 1 writes −1.
fn whole_cpus(quota: &str, period: &str) -> Option<u32> {
    let (quota, period) = (quota.parse::<u64>().ok()?, period.parse::<u64>().ok()?);
    if quota == 0 || period == 0 {
        return None;
    }
    u32::try_from(quota.div_ceil(period)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_round_up_to_whole_processors() {
        let table = [
            ("max 100000\n", None),
            ("100000 100000\n", Some(1)),
            ("150000 100000\n", Some(2)),
            ("50000 100000\n", Some(1)),
            ("1600000 100000\n", Some(16)),
            ("0 100000\n", None),
            ("100000 0\n", None),
            ("100000\n", None),
            ("", None),
            ("-1 100000", None),
            ("18446744073709551615 1", None),
        ];
        for (text, cpus) in table {
            assert_eq!(parse_cpu_max(text), cpus, "{text:?}");
        }
    }

    /// Groups of this process, files below the mount point, and the quota they make.
    type Case = (
        &'static str,
        &'static [(&'static str, &'static str)],
        Option<u32>,
    );

    const CASES: &[Case] = &[
        ("0::/\n", &[], None),
        (
            "0::/app.slice/web.service\n",
            &[("app.slice/web.service/cpu.max", "250000 100000")],
            Some(3),
        ),
        // The group itself has no limit; the one above it has.
        (
            "0::/a/b\n",
            &[
                ("a/b/cpu.max", "max 100000"),
                ("a/cpu.max", "200000 100000"),
            ],
            Some(2),
        ),
        // The smallest of several counts, wherever it is.
        (
            "0::/a/b\n",
            &[
                ("a/b/cpu.max", "900000 100000"),
                ("a/cpu.max", "300000 100000"),
            ],
            Some(3),
        ),
        // In a container: the path is the host's, the limit is at the root that we see.
        (
            "0::/docker/0123abcd\n",
            &[("cpu.max", "400000 100000")],
            Some(4),
        ),
        (
            "0::/../../other\n",
            &[("cpu.max", "400000 100000")],
            Some(4),
        ),
        // Both versions: version 2 is below `unified` and has no processor controller.
        (
            "4:cpu,cpuacct:/web\n1:name=systemd:/\n0::/web\n",
            &[
                ("cpu,cpuacct/web/cpu.cfs_quota_us", "150000\n"),
                ("cpu,cpuacct/web/cpu.cfs_period_us", "100000\n"),
                ("unified/web/cgroup.procs", ""),
            ],
            Some(2),
        ),
        (
            "4:cpu,cpuacct:/web\n",
            &[
                ("cpu/web/cpu.cfs_quota_us", "-1\n"),
                ("cpu/web/cpu.cfs_period_us", "100000\n"),
            ],
            None,
        ),
        (
            "4:cpu:/docker/0123abcd\n",
            &[
                ("cpu/cpu.cfs_quota_us", "50000\n"),
                ("cpu/cpu.cfs_period_us", "100000\n"),
            ],
            Some(1),
        ),
        // Other controllers whose names begin alike, and lines that are no groups.
        (
            "5:cpuset:/web\n",
            &[("cpuset/web/cpu.max", "100000 100000")],
            None,
        ),
        ("nonsense\n:\n", &[("cpu.max", "100000 100000")], None),
    ];

    #[test]
    fn quotas_are_found_in_groups_of_both_versions() {
        for (groups, files, cpus) in CASES {
            let root = tempfile::tempdir().unwrap();
            for (path, text) in *files {
                let path = root.path().join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            assert_eq!(
                quota_cpus(&cgroup::groups(groups, "cpu", root.path())),
                *cpus,
                "{groups:?} {files:?}"
            );
        }
    }

    #[test]
    fn this_machine_has_processors() {
        let online = std::fs::read_to_string("/proc/cpuinfo").unwrap();
        let online = online
            .lines()
            .filter(|line| line.starts_with("processor"))
            .count();
        let available = available_cpus();
        assert!(
            (1..=online.max(1)).contains(&(available as usize)),
            "{available} of {online}"
        );
        assert_eq!(cpu_num(), available.max(4));
    }
}
