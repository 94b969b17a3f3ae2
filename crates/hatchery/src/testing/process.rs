//! Processes, told apart by pid and start time so that a reused pid is never taken for another's.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// One process, alive or gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Process {
    /// Its process id.
    pub pid: u32,
    /// Clock ticks from the machine's start to the process's.
    started: u64,
}

/// What of `/proc/PID/stat` is used here.
struct Stat {
    state: char,
    parent: u32,
    group: u32,
    started: u64,
}

impl Process {
    /// The process that has this pid now.
    pub fn of(pid: u32) -> Option<Self> {
        let started = stat(pid)?.started;
        Some(Self { pid, started })
    }

    /// Every process whose executable lies, or lay, below `directory`.
    pub fn running_from(directory: &Path) -> Vec<Self> {
        let entries = fs::read_dir("/proc").expect("/proc is there");
        entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|pid| {
                // A replaced binary reads "/path (deleted)": the directory is still its prefix.
                fs::read_link(format!("/proc/{pid}/exe"))
                    .is_ok_and(|exe| exe.starts_with(directory))
            })
            .filter_map(Self::of)
            .collect()
    }

    /// Whether it still runs. One that waits to be reaped does not.
    pub fn is_alive(self) -> bool {
        self.stat()
            .is_some_and(|stat| !matches!(stat.state, 'Z' | 'X'))
    }

    /// Whether it has ended and nobody has reaped it.
    pub fn is_zombie(self) -> bool {
        self.stat().is_some_and(|stat| stat.state == 'Z')
    }

    /// Whether SIGSTOP has stopped it.
    pub fn is_stopped(self) -> bool {
        self.stat().is_some_and(|stat| stat.state == 'T')
    }

    /// Its process group.
    pub fn group(self) -> Option<u32> {
        Some(self.stat()?.group)
    }

    /// Its children, zombies included.
    pub fn children(self) -> Vec<Self> {
        let entries = fs::read_dir("/proc").expect("/proc is there");
        entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|&pid| stat(pid).is_some_and(|stat| stat.parent == self.pid))
            .filter_map(Self::of)
            .collect()
    }

    /// Its executable's device and inode, whatever is at its path now.
    pub fn executable(self) -> Option<(u64, u64)> {
        file_identity(Path::new(&format!("/proc/{}/exe", self.pid)))
    }

    /// Its argument vector.
    pub fn arguments(self) -> Vec<String> {
        self.read("cmdline")
    }

    /// The value of a variable in the environment it was started with.
    pub fn variable(self, name: &str) -> Option<String> {
        let all = self.read("environ");
        all.iter()
            .find_map(|pair| Some(pair.strip_prefix(name)?.strip_prefix('=')?.to_owned()))
    }

    /// Its working directory.
    pub fn directory(self) -> Option<std::path::PathBuf> {
        fs::read_link(format!("/proc/{}/cwd", self.pid)).ok()
    }

    /// Sends a signal, unless the process is gone.
    pub fn signal(self, signal: Signal) {
        if self.stat().is_none() {
            return;
        }
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        // It may have ended in between: that is as good.
        let _ = kill_process(pid.expect("a pid is positive"), signal);
    }

    fn stat(self) -> Option<Stat> {
        stat(self.pid).filter(|stat| stat.started == self.started)
    }

    fn read(self, file: &str) -> Vec<String> {
        let bytes = fs::read(format!("/proc/{}/{file}", self.pid)).unwrap_or_default();
        let fields = bytes
            .split(|&byte| byte == 0)
            .filter(|field| !field.is_empty());
        fields
            .map(|field| String::from_utf8_lossy(field).into_owned())
            .collect()
    }
}

/// A file's device and inode.
pub fn file_identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, spaces and parentheses included.
    let (_, rest) = text.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    Some(Stat {
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        started: fields.get(19)?.parse().ok()?,
    })
}
