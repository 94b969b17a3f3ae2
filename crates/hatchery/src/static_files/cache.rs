//! Small files in memory: what was looked at a moment ago is served without asking the file system.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

use super::found::Found;

/// What a file weighs on average, in bytes; only a first guess of how many there will be.
const GUESSED_BYTES: u64 = 64 << 10;

/// Files by their paths, as `path::resolve` makes them.
pub(super) struct Memory {
    /// `None`: nothing is kept.
    files: Option<Cache<Box<str>, Arc<Kept>, Weight>>,
    /// How long one is believed, in milliseconds.
    believed_ms: u64,
    begun: Instant,
}

struct Kept {
    found: Arc<Found>,
    /// When somebody last looked, or began to, in milliseconds since `Memory::begun`.
    looked_ms: AtomicU64,
}

#[derive(Clone)]
struct Weight;

impl Weighter<Box<str>, Arc<Kept>> for Weight {
    fn weight(&self, path: &Box<str>, kept: &Arc<Kept>) -> u64 {
        // Only what is in memory whole is ever kept.
        path.len() as u64 + kept.found.bytes().unwrap_or(0)
    }
}

impl Memory {
    /// For `bytes` at most; each file is believed for so long.
    pub(super) fn new(bytes: u64, believed: Duration) -> Self {
        let keeps = bytes > 0 && !believed.is_zero();
        // One shard: what is in several has a limit each, and a large file fits into none.
        let options = OptionsBuilder::new()
            .estimated_items_capacity(usize::try_from(bytes / GUESSED_BYTES).unwrap_or(0))
            .weight_capacity(bytes)
            .shards(1)
            .build();
        let files = options.ok().filter(|_| keeps).map(|options| {
            let (hasher, lifecycle) = (DefaultHashBuilder::default(), DefaultLifecycle::default());
            Cache::with_options(options, Weight, hasher, lifecycle)
        });
        Self {
            files,
            believed_ms: u64::try_from(believed.as_millis()).unwrap_or(u64::MAX),
            begun: Instant::now(),
        }
    }

    /// The file at `path`, if it can be believed. Whoever comes first after that time gets none and
    /// has to look; until it has, others get what there is.
    pub(super) fn believed(&self, path: &str) -> Option<Arc<Found>> {
        let kept = self.files.as_ref()?.get(path)?;
        let (now, looked) = (self.now_ms(), kept.looked_ms.load(Ordering::Relaxed));
        let is_old = now.saturating_sub(looked) >= self.believed_ms;
        let swap = |looked| {
            let place = &kept.looked_ms;
            place.compare_exchange(looked, now, Ordering::Relaxed, Ordering::Relaxed)
        };
        if is_old && swap(looked).is_ok() {
            return None;
        }
        Some(Arc::clone(&kept.found))
    }

    /// The file at `path` as it was when somebody looked.
    pub(super) fn former(&self, path: &str) -> Option<Arc<Found>> {
        Some(Arc::clone(&self.files.as_ref()?.get(path)?.found))
    }

    /// Keeps it, unless it is too large or not in memory.
    pub(super) fn keep(&self, path: &str, found: &Arc<Found>) {
        let Some(files) = &self.files else { return };
        if found.bytes().is_none() {
            files.remove(path);
            return;
        }
        let kept = Kept {
            found: Arc::clone(found),
            looked_ms: AtomicU64::new(self.now_ms()),
        };
        files.insert(path.into(), Arc::new(kept));
    }

    /// There is no such file any more.
    pub(super) fn forget(&self, path: &str) {
        if let Some(files) = &self.files {
            files.remove(path);
        }
    }

    /// Gives all of it back.
    pub(super) fn clear(&self) {
        if let Some(files) = &self.files {
            files.clear();
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::static_files::found::{self, Place};
    use crate::static_files::root::Root;
    use crate::static_files::settings::{Options, Symlinks};

    #[test]
    fn it_never_holds_more_than_it_may() {
        const LIMIT: u64 = 64 << 10;
        let dir = tempfile::TempDir::new().unwrap();
        let options = Options::default();
        let root = [Root::new(dir.path(), Symlinks::Within).unwrap()];
        let memory = Memory::new(LIMIT, Duration::from_secs(3600));
        let held = || memory.files.as_ref().unwrap().weight();
        for length in [1_usize, 3000, 20_000, 100_000] {
            for number in 0..100 {
                let name = format!("{length}-{number}");
                std::fs::write(dir.path().join(&name), vec![b'x'; length]).unwrap();
                let Some(Place::File(opened)) = found::look(&root, &name, &options).unwrap() else {
                    panic!("{name} is no file");
                };
                let found = opened.read(&options, &options.cache_control()).unwrap();
                memory.keep(&name, &Arc::new(found));
                assert!(held() <= LIMIT, "{} after {name}", held());
                // What is too large for all of it is not kept, the rest is.
                assert_eq!(memory.believed(&name).is_some(), length < 100_000, "{name}");
            }
        }
        memory.clear();
        assert_eq!(held(), 0);
    }

    #[test]
    fn one_of_many_looks_again() {
        let dir = tempfile::TempDir::new().unwrap();
        std::fs::write(dir.path().join("a"), "a").unwrap();
        let options = Options::default();
        let root = [Root::new(dir.path(), Symlinks::Within).unwrap()];
        let Some(Place::File(opened)) = found::look(&root, "a", &options).unwrap() else {
            panic!("it is a file");
        };
        let found = Arc::new(opened.read(&options, &options.cache_control()).unwrap());
        let mut memory = Memory::new(1 << 20, Duration::from_secs(10));
        memory.keep("a", &found);
        assert!(memory.believed("a").is_some());
        // It was kept a while ago.
        memory.begun -= Duration::from_secs(11);
        assert!(memory.believed("a").is_none());
        assert!(memory.believed("a").is_some());
        assert!(Arc::ptr_eq(&memory.former("a").unwrap(), &found));
    }
}
