//! Readings from files like the kernel's, and what this machine tells.

use super::*;
use std::path::Path;

const CALM: &str = "some avg10=0.00 avg60=0.44 avg300=0.12 total=406955\n\
                    full avg10=0.00 avg60=0.16 avg300=0.04 total=177832\n";
const STALLED: &str = "some avg10=12.30 avg60=0.44 avg300=0.12 total=406955\n\
                       full avg10=3.05 avg60=0.16 avg300=0.04 total=177832\n";
const MEMINFO: &str =
    "MemTotal:        1000 kB\nMemFree:           10 kB\nMemAvailable:     250 kB\n";

fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    root
}

fn reading(files: &[(&str, &str)]) -> Reading {
    let root = machine(files);
    Sensor::new(root.path()).read()
}

#[test]
fn a_group_s_own_stall_comes_before_the_machine_s() {
    let stall = |some, full| Some(Stall { some, full });
    let own = ("proc/self/cgroup", "0::/web\n");
    let table = [
        (vec![], None),
        (vec![("proc/pressure/memory", CALM)], stall(0, 0)),
        (vec![("proc/pressure/memory", STALLED)], stall(1230, 305)),
        // Kernels without it have an unreadable file; one that says nothing is as good as none.
        (vec![("proc/pressure/memory", "")], None),
        (
            vec![
                own,
                ("proc/pressure/memory", CALM),
                ("sys/fs/cgroup/web/memory.pressure", STALLED),
            ],
            stall(1230, 305),
        ),
        // Both versions mounted: the group is below `unified`.
        (
            vec![own, ("sys/fs/cgroup/unified/web/memory.pressure", STALLED)],
            stall(1230, 305),
        ),
        // In a container: the root that we see is our own group.
        (
            vec![own, ("sys/fs/cgroup/memory.pressure", STALLED)],
            stall(1230, 305),
        ),
        (
            vec![("proc/pressure/memory", "some avg10=99 avg60=1.00\n")],
            stall(9900, 0),
        ),
    ];
    for (files, expected) in table {
        assert_eq!(reading(&files).stall, expected, "{files:?}");
    }
}

#[test]
fn the_tightest_group_counts() {
    let table = [
        (vec![], None),
        (
            vec![
                ("proc/self/cgroup", "0::/a/b\n"),
                ("sys/fs/cgroup/a/b/memory.max", "max\n"),
                ("sys/fs/cgroup/a/b/memory.current", "500\n"),
                ("sys/fs/cgroup/a/memory.max", "1000\n"),
                ("sys/fs/cgroup/a/memory.high", "800\n"),
                ("sys/fs/cgroup/a/memory.current", "700\n"),
                (
                    "sys/fs/cgroup/a/memory.stat",
                    "active_file 9\ninactive_file 100\n",
                ),
                ("sys/fs/cgroup/memory.max", "9000\n"),
                ("sys/fs/cgroup/memory.current", "900\n"),
            ],
            Some(Room {
                used: 600,
                limit: 800,
            }),
        ),
        (
            vec![
                ("proc/self/cgroup", "4:memory:/web\n"),
                ("sys/fs/cgroup/memory/web/memory.limit_in_bytes", "4096\n"),
                ("sys/fs/cgroup/memory/web/memory.usage_in_bytes", "3000\n"),
                (
                    "sys/fs/cgroup/memory/web/memory.stat",
                    "inactive_file 1\ntotal_inactive_file 1000\n",
                ),
            ],
            Some(Room {
                used: 2000,
                limit: 4096,
            }),
        ),
        (
            vec![
                ("proc/self/cgroup", "4:memory:/web\n"),
                (
                    "sys/fs/cgroup/memory/web/memory.limit_in_bytes",
                    "9223372036854771712\n",
                ),
                ("sys/fs/cgroup/memory/web/memory.usage_in_bytes", "3000\n"),
            ],
            None,
        ),
    ];
    for (files, expected) in table {
        assert_eq!(reading(&files).group, expected, "{files:?}");
    }
}

#[test]
fn what_is_left_is_the_least_of_all() {
    let kib = |room: Room| (room.used / 1024, room.limit / 1024);
    let alone = reading(&[("proc/meminfo", MEMINFO)]);
    assert_eq!(alone.machine.map(kib), Some((750, 1000)));
    assert_eq!(alone.available(), Some(250 * 1024));
    let grouped = reading(&[
        ("proc/meminfo", MEMINFO),
        ("proc/self/cgroup", "0::/\n"),
        ("sys/fs/cgroup/memory.max", "5000\n"),
        ("sys/fs/cgroup/memory.current", "4000\n"),
    ]);
    assert_eq!(grouped.available(), Some(1000));
    assert_eq!(grouped.group.map(|room| room.used_permille()), Some(800));
    assert_eq!(Reading::default().available(), None);
}

#[test]
fn rubbish_is_no_reading() {
    for text in [
        "",
        "some avg10=\n",
        "some avg10=-1.00\n",
        "avg10=1.00\n",
        "some avg10=1.é\n",
    ] {
        assert_eq!(parse_stall(text), None, "{text:?}");
    }
    for text in [
        "",
        "MemTotal: 5 kB\n",
        "MemTotal: x kB\nMemAvailable: 1 kB\n",
    ] {
        assert_eq!(parse_meminfo(text), None, "{text:?}");
    }
}

#[test]
fn a_copy_is_left_alone() {
    let root = machine(&[("proc/pressure/memory", STALLED)]);
    let sensor = Sensor::new(root.path());
    let refused = sensor.trigger().unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::Unsupported);
    assert_eq!(sensor.read().stall.unwrap().some, 1230);
}

#[test]
fn this_machine_tells_its_memory() {
    let sensor = Sensor::new(Path::new("/"));
    let machine = sensor.read().machine.unwrap();
    assert!(
        machine.used > 0 && machine.used < machine.limit,
        "{machine:?}"
    );
    // Where the kernel measures stalls and lets us, the trigger can be had.
    match sensor.trigger() {
        Ok(trigger) => assert!(trigger.as_fd().try_clone_to_owned().is_ok()),
        Err(error) => eprintln!("no trigger on this machine: {error}"),
    }
}
