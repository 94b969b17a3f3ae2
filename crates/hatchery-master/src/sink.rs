//! The master's own stdout and stderr, written without ever blocking.
//!
//! Their file descriptions are shared with whoever started the master, so `O_NONBLOCK` is not ours
//! to set. A pipe or a terminal that polls writable takes at least `PIPE_BUF` bytes without
//! blocking, so what waits is written in pieces of that size, each after a poll.

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use serde::{Deserialize, Serialize};

/// POSIX's least `PIPE_BUF` on Linux, bytes.
const PIECE: usize = 4096;

/// Most bytes that wait for a slow reader. Beyond it whole lines are dropped and counted.
const BUFFER_MAX: usize = 1 << 20;

/// Most pieces written in one go, so that a flood of output cannot keep the loop from its work.
const PIECES_PER_FLUSH: usize = 64;

/// A bounded queue in front of a descriptor that may block.
#[derive(Debug)]
pub(crate) struct Sink<'a> {
    fd: BorrowedFd<'a>,
    buffer: VecDeque<u8>,
    dropped: u64,
}

/// What waits in a [`Sink`], for the next image.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SavedSink {
    #[serde(with = "crate::state::bytes")]
    buffer: Vec<u8>,
    dropped: u64,
}

impl<'a> Sink<'a> {
    pub(crate) fn save(&self) -> SavedSink {
        let Self {
            fd: _,
            buffer,
            dropped,
        } = self;
        SavedSink {
            buffer: buffer.iter().copied().collect(),
            dropped: *dropped,
        }
    }

    pub(crate) fn restore(saved: SavedSink, fd: BorrowedFd<'a>) -> Self {
        let SavedSink { buffer, dropped } = saved;
        Self {
            fd,
            buffer: buffer.into(),
            dropped,
        }
    }

    pub(crate) fn new(fd: BorrowedFd<'a>) -> Self {
        Self {
            fd,
            buffer: VecDeque::new(),
            dropped: 0,
        }
    }

    /// Queues one line (a newline is added), or drops it when the reader is too far behind.
    pub(crate) fn line(&mut self, prefix: &str, line: &[u8]) {
        let length = prefix.len() + line.len() + 1;
        if self.buffer.len() + length > BUFFER_MAX {
            self.dropped += 1;
            return;
        }
        if self.dropped > 0 && self.buffer.len() < BUFFER_MAX / 2 {
            let note = format!(
                "hatchery: {} lines of output dropped: slow reader\n",
                self.dropped
            );
            self.buffer.extend(note.as_bytes());
            self.dropped = 0;
        }
        self.buffer.extend(prefix.as_bytes());
        self.buffer.extend(line);
        self.buffer.push_back(b'\n');
    }

    /// Whether something waits.
    pub(crate) fn is_pending(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Writes what can be written now.
    pub(crate) fn flush(&mut self) {
        for _ in 0..PIECES_PER_FLUSH {
            if self.buffer.is_empty() || !self.writable(Duration::ZERO) {
                return;
            }
            let piece = self.buffer.as_slices().0;
            let piece = &piece[..piece.len().min(PIECE)];
            match rustix::io::write(self.fd, piece) {
                Ok(written) => drop(self.buffer.drain(..written)),
                Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => return,
                // The reader is gone for good: nobody misses the rest.
                Err(_) => return self.buffer.clear(),
            }
        }
    }

    /// Writes everything, for at most `limit`: the last thing a master does.
    pub(crate) fn finish(&mut self, limit: Duration) {
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let deadline = hatchery_sys::clock::monotonic_ms().saturating_add(limit_ms);
        while self.is_pending() {
            let now = hatchery_sys::clock::monotonic_ms();
            if now >= deadline || !self.writable(Duration::from_millis(deadline - now)) {
                return;
            }
            self.flush();
        }
    }

    fn writable(&self, timeout: Duration) -> bool {
        let mut poll = [PollFd::new(&self.fd, PollFlags::OUT)];
        let timeout = Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        matches!(rustix::event::poll(&mut poll, Some(&timeout)), Ok(1..))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::os::fd::AsFd as _;

    #[test]
    fn a_reader_that_stands_still_costs_lines_and_never_blocks() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let mut sink = Sink::new(writer.as_fd());
        let line = [b'x'; 1000];
        for _ in 0..5000 {
            sink.line("", &line);
            sink.flush();
        }
        assert!(sink.dropped > 0);
        assert!(sink.buffer.len() <= BUFFER_MAX);

        // The reader wakes up: everything that was kept arrives, and the loss is told.
        let thread = std::thread::spawn(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).unwrap();
            all
        });
        sink.finish(Duration::from_secs(30));
        sink.line("", b"after");
        sink.finish(Duration::from_secs(30));
        drop(writer);
        let text = String::from_utf8(thread.join().unwrap()).unwrap();
        assert!(
            text.contains("lines of output dropped"),
            "{}",
            &text[text.len() - 200..]
        );
        assert!(text.ends_with("after\n"));
    }
}
