//! Bytes from a child's pipe, as lines of bounded length, and the last few of them.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Longest line that is kept whole, in bytes; the rest of a longer one follows as a line of its own.
pub(crate) const LINE_MAX: usize = 8 * 1024;

/// How many lines are remembered of an instance's stderr, for the report of its death.
pub(crate) const TAIL_LINES: usize = 20;

/// Longest remembered line, in bytes.
const TAIL_LINE_MAX: usize = 512;

/// Cuts a stream of bytes into lines.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Lines {
    #[serde(with = "crate::state::bytes")]
    partial: Vec<u8>,
}

impl Lines {
    /// Takes bytes and passes on every line that they complete, without its newline.
    pub(crate) fn push(&mut self, mut bytes: &[u8], mut line: impl FnMut(&[u8])) {
        while !bytes.is_empty() {
            let room = LINE_MAX.saturating_sub(self.partial.len());
            let window = &bytes[..bytes.len().min(room)];
            if let Some(end) = window.iter().position(|&byte| byte == b'\n') {
                self.partial.extend_from_slice(&window[..end]);
                bytes = &bytes[end + 1..];
            } else {
                self.partial.extend_from_slice(window);
                bytes = &bytes[window.len()..];
                if self.partial.len() < LINE_MAX {
                    continue;
                }
            }
            line(&self.partial);
            self.partial.clear();
        }
    }

    /// Passes on what has no newline yet: the stream has ended.
    pub(crate) fn finish(&mut self, mut line: impl FnMut(&[u8])) {
        if !self.partial.is_empty() {
            line(&self.partial);
            self.partial.clear();
        }
    }
}

/// The last lines that an instance wrote.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Tail(VecDeque<String>);

impl Tail {
    pub(crate) fn push(&mut self, line: &[u8]) {
        while self.0.len() >= TAIL_LINES {
            self.0.pop_front();
        }
        let line = &line[..line.len().min(TAIL_LINE_MAX)];
        self.0.push_back(String::from_utf8_lossy(line).into_owned());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(chunks: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::default();
        let mut out = Vec::new();
        for chunk in chunks {
            lines.push(chunk, |line| {
                out.push(String::from_utf8_lossy(line).into_owned());
            });
        }
        lines.finish(|line| out.push(String::from_utf8_lossy(line).into_owned()));
        out
    }

    #[test]
    fn lines_are_cut_wherever_the_chunks_end() {
        assert_eq!(cut(&[b"one\ntwo\n"]), ["one", "two"]);
        assert_eq!(cut(&[b"on", b"e\n\ntw", b"o"]), ["one", "", "two"]);
        assert_eq!(cut(&[]), [""; 0]);
    }

    #[test]
    fn half_a_line_is_completed_after_a_change_of_the_image() {
        let mut before = Lines::default();
        before.push(b"one\n\xff\0tw", |_| {});
        let text = serde_json::to_string(&before).unwrap();
        let mut after: Lines = serde_json::from_str(&text).unwrap();
        let mut lines = Vec::new();
        after.push(b"o\n", |line| lines.push(line.to_vec()));
        assert_eq!(lines, [b"\xff\0two"]);
    }

    #[test]
    fn an_endless_line_is_bounded() {
        let long = vec![b'x'; LINE_MAX * 2 + 10];
        let lengths: Vec<_> = cut(&[&long]).iter().map(String::len).collect();
        assert_eq!(lengths, [LINE_MAX, LINE_MAX, 10]);
    }

    #[test]
    fn the_tail_keeps_the_last() {
        let mut tail = Tail::default();
        for number in 0..100 {
            tail.push(format!("line {number}").as_bytes());
        }
        assert_eq!(tail.iter().count(), TAIL_LINES);
        assert_eq!(tail.iter().last(), Some("line 99"));
    }
}
