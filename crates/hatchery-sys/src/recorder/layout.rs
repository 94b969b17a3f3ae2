//! What lies where in a flight recorder. Only atomics: both sides read and write at any time.
//!
//! A later version may append to [`Layout`]; nothing in it may move without a new [`VERSION`].

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64, fence};

use super::{ENTRIES, FRAMES_MAX, LATENCY_BUCKETS};
use crate::mapping::Shared;
use crate::page::THREADS_MAX;

pub(super) const MAGIC: u64 = u64::from_le_bytes(*b"hatchrec");
pub(super) const VERSION: u32 = 1;

/// Stacks: one for each serving thread that was asked, and that of the thread that crashed.
pub(super) const STACKS: usize = THREADS_MAX + 1;
pub(super) const CRASH: usize = THREADS_MAX;

#[repr(C, align(64))]
pub(super) struct Layout {
    pub(super) header: Header,
    pub(super) image: Image,
    pub(super) ring: Ring,
    /// For each serving thread, the entry whose handler it is in, plus 1; 0 is none.
    pub(super) running: Line<[AtomicU32; THREADS_MAX]>,
    pub(super) latencies: Line<[AtomicU64; LATENCY_BUCKETS]>,
    pub(super) entries: [Entry; ENTRIES],
    pub(super) panic: Panic,
    pub(super) stacks: [Stack; STACKS],
}

// SAFETY: atomics and arrays of them; 64 bytes is its alignment.
unsafe impl Shared for Layout {}

const _: () = assert!(size_of::<Entry>() == 128 && size_of::<Ring>() == 64);

#[repr(C, align(64))]
pub(super) struct Line<T>(pub(super) T);

#[repr(C, align(64))]
pub(super) struct Header {
    pub(super) magic: AtomicU64,
    pub(super) version: AtomicU32,
    _zero: AtomicU32,
}

/// Where the executable is in the process's memory.
#[repr(C, align(64))]
pub(super) struct Image {
    /// What is added to the addresses in the file.
    pub(super) base: AtomicU64,
    pub(super) text_start: AtomicU64,
    pub(super) text_end: AtomicU64,
}

#[repr(C, align(64))]
pub(super) struct Ring {
    /// A bit for each entry that is taken.
    pub(super) taken: AtomicU64,
    /// Requests that found all entries taken.
    pub(super) unrecorded: AtomicU64,
}

/// One request in flight.
#[repr(C, align(64))]
pub(super) struct Entry {
    /// Nanoseconds of the clock, so that no two requests have the same; 0 while there is no request.
    /// Written last, removed first.
    pub(super) begun_ns: AtomicU64,
    pub(super) path_bytes: AtomicU64,
    /// Up to 8 bytes: longer methods are cut.
    pub(super) method: Words<1>,
    pub(super) path: Words<13>,
}

#[repr(C, align(64))]
pub(super) struct Panic {
    pub(super) sequence: Sequence,
    pub(super) count: AtomicU64,
    pub(super) time_ms: AtomicU64,
    pub(super) message: Text<64>,
    pub(super) location: Text<32>,
    pub(super) thread: Text<8>,
}

#[repr(C, align(64))]
pub(super) struct Stack {
    pub(super) sequence: Sequence,
    pub(super) time_ms: AtomicU64,
    /// The signal's number; 0 when somebody asked.
    pub(super) signal: AtomicU32,
    pub(super) frames: AtomicU32,
    /// A bit for each frame that may be none.
    pub(super) guesses: AtomicU64,
    pub(super) thread: Text<2>,
    pub(super) addresses: [AtomicU64; FRAMES_MAX],
}

/// Odd while the record behind it is being written; 0 before the first time.
#[repr(transparent)]
pub(super) struct Sequence(AtomicU64);

impl Sequence {
    /// Takes the right to write; false while somebody else has it.
    pub(super) fn begin(&self) -> bool {
        let seen = self.0.load(Relaxed);
        let took = seen.is_multiple_of(2)
            && self
                .0
                .compare_exchange(seen, seen.wrapping_add(1), Acquire, Relaxed)
                .is_ok();
        // What is written from here on must not be seen before the odd number.
        fence(Release);
        took
    }

    /// The same, but only for the first writer of all.
    pub(super) fn begin_once(&self) -> bool {
        let took = self.0.compare_exchange(0, 1, Acquire, Relaxed).is_ok();
        fence(Release);
        took
    }

    pub(super) fn end(&self) {
        self.0.fetch_add(1, Release);
    }

    /// Reads what a writer may be writing; `None` when nothing was ever written. A writer that does
    /// not come to its end has died or is stopped in the midst; then what is there is taken.
    pub(super) fn read<T>(&self, mut read: impl FnMut() -> T) -> Option<T> {
        const TRIES: usize = 100;
        for _ in 0..TRIES {
            let before = self.0.load(Acquire);
            if before == 0 {
                return None;
            }
            if before.is_multiple_of(2) {
                let value = read();
                fence(Acquire);
                if self.0.load(Relaxed) == before {
                    return Some(value);
                }
            }
            std::hint::spin_loop();
        }
        Some(read())
    }
}

/// Bytes in words, as they can be written in few stores.
#[repr(transparent)]
pub(super) struct Words<const N: usize>([AtomicU64; N]);

impl<const N: usize> Words<N> {
    const BYTES: usize = N * 8;

    /// Stores what fits, and says how many bytes that is. The rest of the last word is zeroes.
    pub(super) fn set(&self, bytes: &[u8]) -> usize {
        let bytes = bytes.get(..Self::BYTES).unwrap_or(bytes);
        let (words, rest) = bytes.as_chunks::<8>();
        for (to, word) in self.0.iter().zip(words) {
            to.store(u64::from_le_bytes(*word), Relaxed);
        }
        if let (false, Some(to)) = (rest.is_empty(), self.0.get(words.len())) {
            let word = rest
                .iter()
                .rev()
                .fold(0, |word, byte| word << 8 | u64::from(*byte));
            to.store(word, Relaxed);
        }
        bytes.len()
    }

    /// The first `length` bytes, at most all, as text that harms no terminal.
    pub(super) fn get(&self, length: usize) -> String {
        let bytes: Vec<u8> = self
            .0
            .iter()
            .flat_map(|word| word.load(Relaxed).to_le_bytes())
            .take(length)
            .collect();
        let clean = |c: char| {
            if c.is_control() && c != '\n' {
                '\u{fffd}'
            } else {
                c
            }
        };
        String::from_utf8_lossy(&bytes).chars().map(clean).collect()
    }
}

/// Text of up to 8 N bytes.
#[repr(C)]
pub(super) struct Text<const N: usize> {
    bytes: AtomicU64,
    words: Words<N>,
}

impl<const N: usize> Text<N> {
    /// Stores what fits. No allocation: signal handlers call this.
    pub(super) fn set(&self, bytes: &[u8]) {
        self.bytes.store(self.words.set(bytes) as u64, Relaxed);
    }

    pub(super) fn get(&self) -> String {
        self.words
            .get(usize::try_from(self.bytes.load(Relaxed)).unwrap_or(usize::MAX))
    }
}
