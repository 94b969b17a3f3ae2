//! `--daemon`: starts the master in the background and returns when the pool is ready.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use hatchery_master::{create_run_dir, daemon_log};
use rustix::event::{PollFd, PollFlags, Timespec};

use super::args::Invocation;
use super::say;

/// Most of the log that is shown when a start fails, bytes.
const EXCERPT_MAX: u64 = 16 * 1024;

/// Starts `binary` with the same arguments, detached from this terminal, and waits until it says
/// that its pool is ready; `--timeout` bounds that, `--no-wait` does without it.
pub(super) fn start(
    binary: &Path,
    run_dir: &Path,
    app: &str,
    options: &Invocation,
) -> anyhow::Result<()> {
    create_run_dir(run_dir)?;
    let log_path = daemon_log(run_dir, app);
    let mut log = OpenOptions::new()
        .create(true)
        .append(true)
        .read(true)
        .mode(0o640)
        .open(&log_path)
        .with_context(|| format!("cannot open {}", log_path.display()))?;
    let log_begins = log.seek(SeekFrom::End(0))?;
    let (ready, announce) = io::pipe()?;

    // Inherited on purpose, by its number; ours closes on exec.
    let announce_fd = rustix::io::fcntl_dupfd_cloexec(&announce, 64)?;
    rustix::io::fcntl_setfd(&announce_fd, rustix::io::FdFlags::empty())?;
    drop(announce);
    let mut command = Command::new(binary);
    command
        .args(super::start::same_arguments().into_iter().skip(1))
        .args(["--ready-fd", &announce_fd.as_raw_fd().to_string()])
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log.try_clone()?);
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start {}", binary.display()))?;
    drop(announce_fd);

    let (pid, log_name) = (child.id(), log_path.display());
    if options.no_wait {
        say(&format!(
            "{app} starts, pid {pid}; its output goes to {log_name}\n"
        ));
        return Ok(());
    }
    if let Some(timeout) = options.timeout
        && !is_readable(&ready, timeout)?
    {
        let seconds = timeout.as_secs();
        bail!("{app} is not ready after {seconds} s; it goes on, pid {pid}, output in {log_name}");
    }
    let mut answer = String::new();
    BufReader::new(ready).read_line(&mut answer)?;
    let answer = answer.trim_end();
    if let Some(addresses) = answer.strip_prefix("ready ") {
        say(&format!(
            "{app} is up on {addresses}, pid {pid}; its output goes to {log_name}\n"
        ));
        return Ok(());
    }
    let status = child.wait()?;
    match answer.strip_prefix("failed ") {
        Some(reason) => bail!("{app} did not start: {}", reason.replace(" | ", "\n")),
        None => bail!(
            "{app} did not start ({status}):\n{}",
            excerpt(log, log_begins)?
        ),
    }
}

/// Waits until there is something to read, or the end.
fn is_readable(pipe: &io::PipeReader, timeout: Duration) -> io::Result<bool> {
    let mut polled = [PollFd::new(pipe, PollFlags::IN)];
    let timeout = Timespec::try_from(timeout).map_err(io::Error::other)?;
    Ok(rustix::event::poll(&mut polled, Some(&timeout))? > 0)
}

/// What the failed start wrote.
fn excerpt(mut log: File, from: u64) -> io::Result<String> {
    let end = log.seek(SeekFrom::End(0))?;
    log.seek(SeekFrom::Start(from.max(end.saturating_sub(EXCERPT_MAX))))?;
    let mut text = Vec::new();
    log.take(EXCERPT_MAX).read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).trim_end().to_owned())
}

/// The master's side: leaves the terminal's session for good.
pub(super) fn detach() {
    // Fails only for a process that leads a group already, as one started by hand might.
    let _ = rustix::process::setsid();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn the_excerpt_begins_where_this_start_did() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut log = OpenOptions::new()
            .create(true)
            .append(true)
            .read(true)
            .open(&path)
            .unwrap();
        log.write_all(b"an earlier start\n").unwrap();
        let begins = log.seek(SeekFrom::End(0)).unwrap();
        log.write_all(b"port in use\n").unwrap();
        assert_eq!(excerpt(log, begins).unwrap(), "port in use");
    }
}
