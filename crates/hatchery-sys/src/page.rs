//! The page of counters that a child writes and the master reads, in shared memory.
//!
//! It outlives the child: after a `kill -9` the master still reads how many requests were in
//! flight. The child writes without locks or system calls; the master looks whenever it likes.
//!
//! The master must treat what it reads as untrusted numbers: a child gone wrong can write anything
//! into its page. It cannot take the page away, though: the file is sealed against shrinking, so no
//! access can fault. All accesses are relaxed atomics; two counters read one after the other may be
//! of different moments.
//!
//! Layout (version 1), 4096 bytes in lines of 64 so that threads do not contend for a line:
//! line 0 magic, version, thread count; 1–2 ticks; 3 requests in flight; 4 connections; 5 requests
//! answered; 6 requests refused; 7 connections handed over, refused by the successor, fallen back,
//! and inherited; 8–63 reserved (zero).

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use rustix::fs::SealFlags;
use rustix::mm::{MapFlags, ProtFlags};

use crate::memfd;

/// How many threads of a child can have a tick of their own.
pub const THREADS_MAX: usize = 16;

/// The size of the page, in bytes.
pub const PAGE_BYTES: usize = 4096;

const MAGIC: u64 = u64::from_le_bytes(*b"hatchpg\0");
const VERSION: u32 = 1;
const RESERVED_LINES: usize = 56;

#[repr(C, align(64))]
struct Line<T>(T);

#[repr(C, align(64))]
struct Header {
    magic: AtomicU64,
    version: AtomicU32,
    threads: AtomicU32,
}

/// Seldom written: they share a line.
#[repr(C, align(64))]
struct Handovers {
    handed: AtomicU64,
    refused: AtomicU64,
    fallen_back: AtomicU64,
    inherited: AtomicU64,
}

#[repr(C, align(64))]
struct Layout {
    header: Header,
    ticks: Line<[AtomicU64; THREADS_MAX]>,
    in_flight: Line<AtomicU64>,
    connections: Line<AtomicU64>,
    requests: Line<AtomicU64>,
    refused: Line<AtomicU64>,
    handovers: Handovers,
    reserved: Line<[AtomicU64; RESERVED_LINES * 8]>,
}

const _: () = assert!(size_of::<Layout>() == PAGE_BYTES);

/// A mapping of the shared page. Both sides have one; dropping it unmaps, the page stays while
/// anyone holds its descriptor or a mapping.
pub struct StatsPage {
    layout: NonNull<Layout>,
}

// SAFETY: the mapping belongs to the process, not to a thread, and all its fields are atomics.
unsafe impl Send for StatsPage {}
// SAFETY: as above: shared references only ever do atomic accesses.
unsafe impl Sync for StatsPage {}

impl std::fmt::Debug for StatsPage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StatsPage")
            .field("in_flight", &self.in_flight())
            .field("connections", &self.connections())
            .field("requests_total", &self.requests_total())
            .field("refused_total", &self.refused_total())
            .finish_non_exhaustive()
    }
}

impl StatsPage {
    /// Makes a page of zeroes; the descriptor is what the other process [maps](Self::map).
    ///
    /// Fails when the process is out of descriptors or the system out of memory.
    pub fn create() -> io::Result<(Self, OwnedFd)> {
        let fd = memfd::create("hatchery-stats")?;
        rustix::fs::ftruncate(&fd, PAGE_BYTES as u64)?;
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        rustix::fs::fcntl_add_seals(&fd, seals)?;
        let page = Self::map_unchecked(&fd)?;
        let header = &page.layout().header;
        header.version.store(VERSION, Relaxed);
        header.magic.store(MAGIC, Relaxed);
        Ok((page, fd))
    }

    /// Maps the page that another process [created](Self::create).
    ///
    /// `InvalidData` when it is not such a page: wrong size, not sealed against shrinking, or of
    /// another magic or version.
    pub fn map(fd: impl AsFd) -> io::Result<Self> {
        let fd = fd.as_fd();
        let size = rustix::fs::fstat(fd)?.st_size;
        if usize::try_from(size) != Ok(PAGE_BYTES) {
            return Err(invalid(format!(
                "a statistics page has {PAGE_BYTES} bytes, not {size}"
            )));
        }
        // A file that its other holder could shorten would fault at the next access. Files that
        // know no seals at all report an error, which means the same.
        let seals = rustix::fs::fcntl_get_seals(fd).unwrap_or(SealFlags::empty());
        if !seals.contains(SealFlags::SHRINK) {
            return Err(invalid(
                "the statistics page is not sealed against shrinking".into(),
            ));
        }
        let page = Self::map_unchecked(fd)?;
        let header = &page.layout().header;
        let (magic, version) = (header.magic.load(Relaxed), header.version.load(Relaxed));
        if magic != MAGIC {
            return Err(invalid("not a statistics page".into()));
        }
        if version != VERSION {
            return Err(invalid(format!(
                "statistics page of version {version}, not {VERSION}"
            )));
        }
        Ok(page)
    }

    /// Says that `thread` (from 0) was alive at `now_ms` of the [clock](crate::clock).
    ///
    /// A thread beyond [`THREADS_MAX`] is ignored.
    pub fn tick(&self, thread: usize, now_ms: u64) {
        if let Some(tick) = self.layout().ticks.0.get(thread) {
            tick.store(now_ms, Relaxed);
        }
    }

    /// When each thread was last known to be alive, in milliseconds of the clock; 0 is never.
    pub fn ticks(&self) -> [u64; THREADS_MAX] {
        std::array::from_fn(|thread| {
            self.layout()
                .ticks
                .0
                .get(thread)
                .map_or(0, |tick| tick.load(Relaxed))
        })
    }

    /// Says how many threads tick, counted from thread 0; more than [`THREADS_MAX`] are cut.
    pub fn set_threads(&self, count: usize) {
        let count = u32::try_from(count.min(THREADS_MAX)).unwrap_or(0);
        self.layout().header.threads.store(count, Relaxed);
    }

    /// How many threads tick, at most [`THREADS_MAX`] whatever the page says; 0 before the start.
    pub fn threads(&self) -> usize {
        let count = self.layout().header.threads.load(Relaxed);
        usize::try_from(count)
            .unwrap_or(THREADS_MAX)
            .min(THREADS_MAX)
    }

    /// Counts `count` requests that began.
    pub fn in_flight_add(&self, count: u64) {
        self.layout().in_flight.0.fetch_add(count, Relaxed);
    }

    /// Counts `count` requests that ended, however.
    pub fn in_flight_sub(&self, count: u64) {
        self.layout().in_flight.0.fetch_sub(count, Relaxed);
    }

    /// Requests that began and have not ended.
    pub fn in_flight(&self) -> u64 {
        gauge(&self.layout().in_flight.0)
    }

    /// Counts `count` connections that were accepted.
    pub fn connections_add(&self, count: u64) {
        self.layout().connections.0.fetch_add(count, Relaxed);
    }

    /// Counts `count` connections that were closed.
    pub fn connections_sub(&self, count: u64) {
        self.layout().connections.0.fetch_sub(count, Relaxed);
    }

    /// Connections that are open.
    pub fn connections(&self) -> u64 {
        gauge(&self.layout().connections.0)
    }

    /// Counts `count` requests that were answered.
    pub fn requests_add(&self, count: u64) {
        self.layout().requests.0.fetch_add(count, Relaxed);
    }

    /// Requests answered since the process began.
    pub fn requests_total(&self) -> u64 {
        self.layout().requests.0.load(Relaxed)
    }

    /// Counts `count` requests or connections that were turned away (limits, overload).
    pub fn refused_add(&self, count: u64) {
        self.layout().refused.0.fetch_add(count, Relaxed);
    }

    /// Requests or connections turned away since the process began.
    pub fn refused_total(&self) -> u64 {
        self.layout().refused.0.load(Relaxed)
    }

    /// Counts `count` connections that a successor has taken.
    pub fn handed_add(&self, count: u64) {
        self.layout().handovers.handed.fetch_add(count, Relaxed);
    }

    /// Connections that a successor has taken.
    pub fn handed_total(&self) -> u64 {
        self.layout().handovers.handed.load(Relaxed)
    }

    /// Counts `count` connections that were offered to a successor and not taken.
    pub fn returned_add(&self, count: u64) {
        self.layout().handovers.refused.fetch_add(count, Relaxed);
    }

    /// Connections that were offered to a successor and not taken.
    pub fn returned_total(&self) -> u64 {
        self.layout().handovers.refused.load(Relaxed)
    }

    /// Counts `count` connections that a drain could offer to nobody.
    pub fn fallen_back_add(&self, count: u64) {
        self.layout()
            .handovers
            .fallen_back
            .fetch_add(count, Relaxed);
    }

    /// Connections that a drain could offer to nobody.
    pub fn fallen_back_total(&self) -> u64 {
        self.layout().handovers.fallen_back.load(Relaxed)
    }

    /// Counts `count` connections that were taken over from another process.
    pub fn inherited_add(&self, count: u64) {
        self.layout().handovers.inherited.fetch_add(count, Relaxed);
    }

    /// Connections that were taken over from other processes.
    pub fn inherited_total(&self) -> u64 {
        self.layout().handovers.inherited.load(Relaxed)
    }

    fn map_unchecked(fd: impl AsFd) -> io::Result<Self> {
        // SAFETY: a new mapping at an address of the kernel's choice disturbs no other memory.
        let address = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                PAGE_BYTES,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                fd,
                0,
            )
        }?;
        let layout = NonNull::new(address.cast::<Layout>());
        Ok(Self {
            layout: layout.ok_or(io::ErrorKind::OutOfMemory)?,
        })
    }

    fn layout(&self) -> &Layout {
        // SAFETY: the address is that of a live mapping of `PAGE_BYTES` bytes, aligned to a page.
        // Any bits are valid for its fields (atomics, no padding is read), and the file is sealed
        // against shrinking, so the memory stays. It is unmapped only by `drop`.
        unsafe { self.layout.as_ref() }
    }
}

impl Drop for StatsPage {
    fn drop(&mut self) {
        // SAFETY: `map_unchecked` made this mapping, nobody else knows it, and `layout`'s borrows
        // have ended, as `drop` has the only reference. Nothing is to be done about a failure.
        let _ = unsafe { rustix::mm::munmap(self.layout.as_ptr().cast(), PAGE_BYTES) };
    }
}

/// A count that goes up and down. A child gone wrong may have taken away more than it added.
fn gauge(count: &AtomicU64) -> u64 {
    let count = count.load(Relaxed);
    if i64::try_from(count).is_ok() {
        count
    } else {
        0
    }
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn the_other_mapping_sees_each_count() {
        let (reader, fd) = StatsPage::create().unwrap();
        let writer = StatsPage::map(&fd).unwrap();
        drop(fd);
        assert_eq!((reader.threads(), reader.ticks()), (0, [0; THREADS_MAX]));
        writer.set_threads(2);
        writer.tick(0, 100);
        writer.tick(1, 200);
        writer.tick(THREADS_MAX, 300);
        writer.in_flight_add(3);
        writer.in_flight_sub(1);
        writer.connections_add(5);
        writer.connections_sub(1);
        writer.requests_add(7);
        writer.refused_add(9);
        writer.handed_add(10);
        writer.returned_add(11);
        writer.fallen_back_add(12);
        writer.inherited_add(13);
        assert_eq!(reader.threads(), 2);
        assert_eq!(reader.ticks()[..3], [100, 200, 0]);
        assert_eq!((reader.in_flight(), reader.connections()), (2, 4));
        assert_eq!((reader.requests_total(), reader.refused_total()), (7, 9));
        assert_eq!((reader.handed_total(), reader.returned_total()), (10, 11));
        assert_eq!(
            (reader.fallen_back_total(), reader.inherited_total()),
            (12, 13)
        );
        drop(writer);
        assert_eq!(reader.requests_total(), 7);
    }

    #[test]
    fn threads_count_together() {
        let (page, _fd) = StatsPage::create().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1000).for_each(|_| page.requests_add(1)));
            }
        });
        assert_eq!(page.requests_total(), 4000);
    }

    #[test]
    fn nonsense_in_the_page_stays_within_bounds() {
        let (page, _fd) = StatsPage::create().unwrap();
        page.in_flight_sub(1);
        assert_eq!(page.in_flight(), 0);
        page.layout().header.threads.store(u32::MAX, Relaxed);
        assert_eq!(page.threads(), THREADS_MAX);
        page.set_threads(1000);
        assert_eq!(page.threads(), THREADS_MAX);
    }

    #[test]
    fn what_is_not_a_page_is_refused() {
        let refused = |fd: OwnedFd| {
            let error = StatsPage::map(fd).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
            error.to_string()
        };
        assert!(refused(memfd::with("short", b"short").unwrap()).contains("4096 bytes, not 5"));
        let file = tempfile::tempfile().unwrap();
        file.set_len(PAGE_BYTES as u64).unwrap();
        assert!(refused(file.into()).contains("not sealed"));

        let (page, fd) = StatsPage::create().unwrap();
        page.layout().header.version.store(99, Relaxed);
        assert!(refused(fd).contains("version 99"));
        let (page, fd) = StatsPage::create().unwrap();
        page.layout().header.magic.store(0, Relaxed);
        assert!(refused(fd).contains("not a statistics page"));
    }

    #[test]
    fn no_holder_can_shorten_it() {
        let (page, fd) = StatsPage::create().unwrap();
        let file = File::from(fd);
        assert!(file.set_len(0).is_err() && file.set_len(8192).is_err());
        page.requests_add(1);
        assert_eq!(page.requests_total(), 1);
    }
}
