//! What a process writes, line by line as it comes.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// Lines kept; a test that writes more than this has gone wrong.
const LINES_MAX: usize = 50_000;

/// The lines so far; clones see the same lines.
#[derive(Clone, Debug, Default)]
pub struct Output(Arc<Mutex<Vec<String>>>);

impl Output {
    /// Reads `source` to its end on a thread of its own.
    pub fn follow(&self, source: impl Read + Send + 'static) -> thread::JoinHandle<()> {
        let output = self.clone();
        thread::spawn(move || {
            for line in BufReader::new(source).split(b'\n') {
                let Ok(line) = line else { return };
                output.push(String::from_utf8_lossy(&line).into_owned());
            }
        })
    }

    fn push(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() < LINES_MAX {
            lines.push(line);
        }
    }

    /// A copy of all lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The lines so far as one text.
    pub fn text(&self) -> String {
        self.lines().join("\n")
    }

    /// Whether any line so far has all of these in it.
    pub fn has(&self, parts: &[&str]) -> bool {
        self.position(parts).is_some()
    }

    /// The number of the first line that has all of these in it.
    pub fn position(&self, parts: &[&str]) -> Option<usize> {
        self.lines()
            .iter()
            .position(|line| parts.iter().all(|part| line.contains(part)))
    }
}
