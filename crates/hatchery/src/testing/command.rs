//! Commands that end by themselves.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::output::Output;
use super::{SOON, wait_until};

/// A process that ended by itself.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to its standard output.
    pub stdout: String,
    /// What it wrote to its standard error.
    pub stderr: String,
    /// From its start to its end.
    pub took: Duration,
}

/// Copies by another process: a descriptor that this one has open for writing while another test
/// forks would make the copy "text file busy".
pub(super) fn copy_executable(from: &Path, to: &Path) {
    let status = Command::new("cp").arg(from).arg(to).status();
    assert!(status.expect("cp is there").success(), "cp failed");
    fs::set_permissions(to, fs::Permissions::from_mode(0o755)).expect("it is ours");
}

impl Ended {
    /// Runs a command to its end, which it must reach within `limit`, and collects what it wrote.
    #[track_caller]
    pub fn of(command: Command, limit: Duration) -> Self {
        finish(command, limit)
    }
}

#[track_caller]
fn finish(mut command: Command, limit: Duration) -> Ended {
    let started = Instant::now();
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary can be started");
    let (stdout, stderr) = (Output::default(), Output::default());
    let readers = [
        stdout.follow(child.stdout.take().expect("it is piped")),
        stderr.follow(child.stderr.take().expect("it is piped")),
    ];
    let mut took = None;
    while took.is_none() && started.elapsed() < limit {
        if child.try_wait().expect("it is our child").is_some() {
            took = Some(started.elapsed());
        }
        thread::sleep(Duration::from_millis(2));
    }
    if took.is_none() {
        let _ = child.kill();
    }
    let code = child.wait().expect("it is our child").code();
    // A daemon that was left running must not hold our pipes: this ends when they are closed.
    wait_until("its output ends", SOON, || {
        readers.iter().all(thread::JoinHandle::is_finished)
    });
    let (stdout, stderr) = (stdout.text(), stderr.text());
    let took = took.unwrap_or_else(|| {
        panic!("{command:?} did not end within {limit:?}\n{stdout}\n{stderr}");
    });
    Ended {
        code,
        stdout,
        stderr,
        took,
    }
}
