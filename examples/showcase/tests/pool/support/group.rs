//! A control group of its own with a memory limit, where the machine permits one.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::{SOON, wait_for};

static MADE: AtomicU32 = AtomicU32::new(0);

/// A control group, removed at the end; whatever runs in it must be gone by then.
pub(crate) struct Group {
    path: PathBuf,
}

impl Group {
    /// A group below this process's own that may use so much memory. `None`, said loudly, where
    /// none can be made: version 1 or 2 of the memory controller must be ours to write.
    pub(crate) fn limited(bytes: u64) -> Option<Self> {
        let made = [
            ("memory", "memory.limit_in_bytes"),
            ("", "memory.max"),
            ("unified", "memory.max"),
        ]
        .into_iter()
        .find_map(|(mount, file)| Self::make(mount, file, bytes));
        if made.is_none() {
            eprintln!("SKIPPED: no control group with a memory limit can be made on this machine");
        }
        made
    }

    fn make(mount: &str, file: &str, bytes: u64) -> Option<Self> {
        let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
        let own = groups.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            let is_ours = match mount {
                "memory" => controllers.split(',').any(|one| one == "memory"),
                _ => controllers.is_empty(),
            };
            is_ours.then(|| path.trim_start_matches('/').to_owned())
        })?;
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("hatchery-test-{}-{number}", std::process::id());
        let mount = Path::new("/sys/fs/cgroup").join(mount);
        // In a container our own path is the host's; what we see begins at the mount.
        let parents = [mount.join(own), mount];
        let group = parents.iter().find_map(|parent| {
            let path = parent.join(&name);
            fs::create_dir(&path).ok().map(|()| Self { path })
        })?;
        // Without the controller the file is not there.
        fs::write(group.path.join(file), bytes.to_string()).ok()?;
        // What is over the limit is not to be written elsewhere instead.
        let _ = fs::write(group.path.join("memory.swap.max"), "0");
        Some(group)
    }

    /// The file into which a process writes its number to be in it.
    pub(crate) fn procs(&self) -> PathBuf {
        self.path.join("cgroup.procs")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The kernel lets go of it when the last process has been reaped.
        let gone = || {
            fs::remove_dir(&self.path)
                .ok()
                .or_else(|| (!self.path.exists()).then_some(()))
        };
        if std::thread::panicking() {
            let _ = gone();
        } else {
            wait_for("the control group can be removed", SOON, gone);
        }
    }
}
