//! The flight recorder: what a child was doing, in memory that outlives it.
//!
//! Beside the [page](crate::page) of counters each child has a recorder. It writes there, without
//! locks or system calls, which requests it is serving, whose handler has the thread, its last
//! panic, and stacks when somebody asks or a fatal signal strikes; the master reads it after any
//! death, and while a child is silent.
//!
//! The master must treat all of it as untrusted: a child gone wrong can write anything there.
//! Numbers are bounded here and texts made harmless; they may still be lies. The memory itself
//! cannot be taken away (see [`StatsPage`](crate::page::StatsPage)).
//!
//! Two versions of one executable may share a recorder: a later version of the layout appends, and
//! a mapping may be longer than what its reader knows.

mod layout;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64, fence};

use self::layout::{CRASH, Entry, Layout, MAGIC, Stack, VERSION};
use crate::clock::{monotonic_ms, monotonic_ns};
use crate::mapping::Mapping;

/// How many requests in flight are on record at most; more are counted
/// ([`unrecorded`](Recorder::unrecorded)).
pub const ENTRIES: usize = NO_ENTRY as usize;

/// What a ticket names when its request found all entries taken.
const NO_ENTRY: u8 = 64;

/// Frames of one stack at most.
pub const FRAMES_MAX: usize = 64;

/// Bucket `n` of the latencies counts requests that took less than 2^n microseconds, and not less
/// than half of that; the last one counts all longer ones, too.
pub const LATENCY_BUCKETS: usize = 32;

/// A mapping of a child's recorder. Both sides have one.
pub struct Recorder {
    layout: Mapping<Layout>,
}

/// A request that was [begun](Recorder::begin); to be given back to [`end`](Recorder::end).
#[derive(Debug)]
pub struct Ticket {
    /// [`NO_ENTRY`]: it is not on record.
    entry: u8,
    begun_ns: u64,
}

/// A request that is being served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRecord {
    /// Its method, at most 8 bytes.
    pub method: String,
    /// Its path, cut at 104 bytes.
    pub path: String,
    /// How long it has been served, milliseconds.
    pub age_ms: u64,
    /// Whether its handler has (or had at the end) a thread.
    pub running: bool,
    /// Which serving thread that is, from 0.
    pub thread: Option<usize>,
}

/// The last panic of a process. It may have been caught.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PanicRecord {
    /// What it said, cut at 512 bytes; may have several lines.
    pub message: String,
    /// `file:line:column`, cut at 256 bytes.
    pub location: String,
    /// The name of the thread, cut at 64 bytes.
    pub thread: String,
    /// When, in milliseconds of the [clock](crate::clock).
    pub time_ms: u64,
    /// How many panics there were in all.
    pub count: u64,
}

/// Why a stack was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StackKind {
    /// Somebody wanted to know what the thread does.
    Asked,
    /// This signal (the kernel's number) was about to end the process.
    Crash(i32),
}

/// What a thread was doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackRecord {
    /// The thread's name, at most 15 bytes.
    pub thread: String,
    /// The serving thread's number, from 0, where somebody asked; `None` for a crash, which can
    /// happen in any thread.
    pub index: Option<usize>,
    /// Why it was recorded.
    pub kind: StackKind,
    /// When, in milliseconds of the [clock](crate::clock).
    pub time_ms: u64,
    /// Innermost first.
    pub frames: Vec<Frame>,
}

/// One frame of a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The address in the process that has recorded it.
    pub address: u64,
    /// Where to look it up in the executable file, as an address in that file; within the calling
    /// instruction, for a return address. `None` outside of the executable (the C library).
    pub offset: Option<u64>,
    /// It may be left over from an earlier call: it was found beside the chain of frames, between
    /// code that keeps no frame pointer and code that does.
    pub is_guess: bool,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder")
            .field(
                "in_flight",
                &self.layout.ring.taken.load(Relaxed).count_ones(),
            )
            .finish_non_exhaustive()
    }
}

impl Recorder {
    /// Makes an empty recorder; the descriptor is what the other process [maps](Self::map).
    ///
    /// Fails when the process is out of descriptors or the system out of memory.
    pub fn create() -> io::Result<(Self, OwnedFd)> {
        let (layout, fd) = Mapping::<Layout>::create("hatchery-recorder")?;
        layout.header.version.store(VERSION, Relaxed);
        layout.header.magic.store(MAGIC, Relaxed);
        Ok((Self { layout }, fd))
    }

    /// Maps the recorder that another process [created](Self::create).
    ///
    /// `InvalidData` when it is none: too short, not sealed against shrinking, or of another magic
    /// or version.
    pub fn map(fd: impl AsFd) -> io::Result<Self> {
        let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
        let layout = Mapping::<Layout>::map(fd)
            .map_err(|error| io::Error::new(error.kind(), format!("flight recorder: {error}")))?;
        let header = &layout.header;
        let (magic, version) = (header.magic.load(Relaxed), header.version.load(Relaxed));
        if magic != MAGIC {
            return Err(invalid("not a flight recorder".into()));
        }
        if version != VERSION {
            return Err(invalid(format!(
                "flight recorder of version {version}, not {VERSION}"
            )));
        }
        Ok(Self { layout })
    }

    /// Puts a request on record. It stays there until its [end](Self::end), whatever comes: when
    /// all entries are taken, the new one is not recorded but counted.
    pub fn begin(&self, method: &str, path: &str) -> Ticket {
        let begun_ns = monotonic_ns();
        let entry = self.take();
        if let Some(place) = self.layout.entries.get(usize::from(entry)) {
            // Who sees what is written from here on must not see the former request's time.
            fence(Release);
            place.method.set(method.as_bytes());
            let length = place.path.set(path.as_bytes());
            place.path_bytes.store(length as u64, Relaxed);
            place.begun_ns.store(begun_ns, Release);
        }
        Ticket { entry, begun_ns }
    }

    /// The request has ended, however.
    pub fn end(&self, ticket: &Ticket) {
        let layout = &*self.layout;
        let took_us = monotonic_ns().saturating_sub(ticket.begun_ns) / 1000;
        let bucket = (u64::BITS - took_us.leading_zeros()) as usize;
        if let Some(count) = layout.latencies.0.get(bucket.min(LATENCY_BUCKETS - 1)) {
            count.fetch_add(1, Relaxed);
        }
        if let Some(place) = layout.entries.get(usize::from(ticket.entry)) {
            place.begun_ns.store(0, Relaxed);
            layout.ring.taken.fetch_and(!(1 << ticket.entry), Release);
        }
    }

    /// Says that the serving thread `thread` (from 0) runs this request's code now; `None`: nobody's.
    pub fn set_running(&self, thread: usize, ticket: Option<&Ticket>) {
        if let Some(running) = self.layout.running.0.get(thread) {
            let entry = ticket.map_or(0, |ticket| u32::from(ticket.entry) + 1);
            running.store(entry, Relaxed);
        }
    }

    /// Requests that began when [`ENTRIES`] others were in flight.
    pub fn unrecorded(&self) -> u64 {
        self.layout.ring.unrecorded.load(Relaxed)
    }

    /// The requests in flight at `now_ms` of the [clock](crate::clock): those that have a thread
    /// first, then the oldest.
    pub fn in_flight(&self, now_ms: u64) -> Vec<RequestRecord> {
        let entries = self.layout.entries.iter().enumerate();
        let mut requests: Vec<_> = entries
            .filter_map(|(index, entry)| self.request(index, entry, now_ms))
            .collect();
        requests.sort_by_key(|request| (!request.running, Reverse(request.age_ms)));
        requests
    }

    /// How many requests took how long, since the process began; see [`LATENCY_BUCKETS`].
    pub fn latencies(&self) -> [u64; LATENCY_BUCKETS] {
        let count = |count: &AtomicU64| count.load(Relaxed);
        self.layout.latencies.0.each_ref().map(count)
    }

    /// Puts a panic on record, in place of the one before. When two threads panic at once, one is
    /// only counted.
    pub fn record_panic(&self, message: &str, location: &str, thread: &str) {
        let record = &self.layout.panic;
        record.count.fetch_add(1, Relaxed);
        if record.sequence.begin() {
            record.time_ms.store(monotonic_ms(), Relaxed);
            record.message.set(message.as_bytes());
            record.location.set(location.as_bytes());
            record.thread.set(thread.as_bytes());
            record.sequence.end();
        }
    }

    /// The last panic, if there was any.
    pub fn panic(&self) -> Option<PanicRecord> {
        let record = &self.layout.panic;
        record.sequence.read(|| PanicRecord {
            message: record.message.get(),
            location: record.location.get(),
            thread: record.thread.get(),
            time_ms: record.time_ms.load(Relaxed),
            count: record.count.load(Relaxed),
        })
    }

    /// Says where the executable is in this process's memory: what is added to the addresses in the
    /// file, and where its code lies.
    pub(crate) fn set_image(&self, base: usize, text: &Range<usize>) {
        let image = &self.layout.image;
        image.base.store(base as u64, Relaxed);
        image.text_start.store(text.start as u64, Relaxed);
        image.text_end.store(text.end as u64, Relaxed);
    }

    /// Puts a stack on record: that of the serving thread `index` in place of its former one, or
    /// that of a thread that crashes by `signal`, of which the first is kept. `walk`
    /// passes on address by address, and whether each is a guess.
    ///
    /// Signal handlers call this.
    pub(crate) fn record_stack(
        &self,
        index: Option<usize>,
        signal: i32,
        name: &[u8],
        walk: impl FnOnce(&mut dyn FnMut(usize, bool)),
    ) {
        let Some(stack) = self.layout.stacks.get(index.unwrap_or(CRASH)) else {
            return;
        };
        let may_write = match index {
            Some(_) => stack.sequence.begin(),
            None => stack.sequence.begin_once(),
        };
        if !may_write {
            return;
        }
        let length = name.iter().position(|byte| *byte == 0);
        stack.thread.set(&name[..length.unwrap_or(name.len())]);
        stack.time_ms.store(monotonic_ms(), Relaxed);
        stack.signal.store(signal.unsigned_abs(), Relaxed);
        stack.frames.store(0, Relaxed);
        let (mut frames, mut guesses) = (0, 0);
        walk(&mut |address, is_guess| {
            if let Some(place) = stack.addresses.get(frames) {
                place.store(address as u64, Relaxed);
                guesses |= u64::from(is_guess) << frames;
                frames += 1;
                // One by one: should the walk itself fault, what it has found is there.
                stack.guesses.store(guesses, Relaxed);
                stack
                    .frames
                    .store(u32::try_from(frames).unwrap_or(0), Relaxed);
            }
        });
        stack.sequence.end();
    }

    /// The stacks on record: that of a crash first, then the serving threads' that were asked.
    pub fn stacks(&self) -> Vec<StackRecord> {
        let stacks = self.layout.stacks.iter().enumerate();
        let mut stacks: Vec<_> = stacks
            .filter_map(|(index, stack)| stack.sequence.read(|| self.stack(index, stack)))
            .collect();
        stacks.sort_by_key(|stack| stack.index);
        stacks
    }

    /// The number of an entry that is now ours; [`NO_ENTRY`] when there is none.
    fn take(&self) -> u8 {
        let ring = &self.layout.ring;
        loop {
            // Most of the time the first one is free: its lines are in the cache.
            let free = ring.taken.load(Relaxed).trailing_ones();
            let Ok(entry @ ..NO_ENTRY) = u8::try_from(free) else {
                ring.unrecorded.fetch_add(1, Relaxed);
                return NO_ENTRY;
            };
            if ring.taken.fetch_or(1 << entry, Acquire) & (1 << entry) == 0 {
                return entry;
            }
        }
    }

    fn request(&self, index: usize, entry: &Entry, now_ms: u64) -> Option<RequestRecord> {
        let begun_ns = entry.begun_ns.load(Acquire);
        let length = usize::try_from(entry.path_bytes.load(Relaxed)).unwrap_or(usize::MAX);
        let path = entry.path.get(length);
        let method = entry.method.get(8);
        fence(Acquire);
        // Another request may have come into the entry meanwhile; the next look will see it.
        if begun_ns == 0 || entry.begun_ns.load(Relaxed) != begun_ns {
            return None;
        }
        let is_here = |running: &AtomicU32| {
            usize::try_from(running.load(Relaxed)).is_ok_and(|number| number == index + 1)
        };
        let thread = self.layout.running.0.iter().position(is_here);
        Some(RequestRecord {
            method: method.trim_end_matches(['\0', '\u{fffd}']).to_owned(),
            path,
            age_ms: now_ms.saturating_sub(begun_ns / 1_000_000),
            running: thread.is_some(),
            thread,
        })
    }

    fn stack(&self, index: usize, stack: &Stack) -> StackRecord {
        let count = usize::try_from(stack.frames.load(Relaxed)).unwrap_or(FRAMES_MAX);
        let guesses = stack.guesses.load(Relaxed);
        let frames = stack.addresses.iter().take(count).enumerate();
        let frames = frames.map(|(place, address)| {
            let address = address.load(Relaxed);
            Frame {
                address,
                offset: self.offset(address, place > 0),
                is_guess: guesses >> place & 1 == 1,
            }
        });
        let kind = match stack.signal.load(Relaxed) {
            0 => StackKind::Asked,
            signal => StackKind::Crash(i32::try_from(signal).unwrap_or(i32::MAX)),
        };
        StackRecord {
            thread: stack.thread.get(),
            index: (index != CRASH).then_some(index),
            kind,
            time_ms: stack.time_ms.load(Relaxed),
            frames: frames.collect(),
        }
    }

    /// The place in the executable file; only the innermost frame's is not a return address.
    fn offset(&self, address: u64, is_return: bool) -> Option<u64> {
        let image = &self.layout.image;
        let address = address.checked_sub(u64::from(is_return))?;
        let text = image.text_start.load(Relaxed)..image.text_end.load(Relaxed);
        text.contains(&address)
            .then(|| address.wrapping_sub(image.base.load(Relaxed)))
    }
}
