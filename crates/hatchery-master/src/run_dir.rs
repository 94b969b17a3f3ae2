//! The run directory of one application: lock, pid file, control socket.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use hatchery_sys::inherit::Inherited;
use hatchery_sys::lock;
use serde::{Deserialize, Serialize};

use crate::error::{Context as _, Error, ErrorCode};
use crate::state::{self, Bag, Fd};

/// `run/<app>.*`. Holding the lock makes this process the application's only master there; the
/// files are removed when it is dropped.
#[derive(Debug)]
pub(crate) struct RunDir {
    path: PathBuf,
    app: String,
    /// Processes of a former master may live on: the next start must look for them, too.
    pub(crate) is_haunted: bool,
    /// Held for the life of the master. Not inherited, so it is free as soon as the master is gone.
    lock: File,
}

/// The [`RunDir`] for the next image, which holds the same lock and has the same pid.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SavedRunDir {
    #[serde(with = "state::path")]
    path: PathBuf,
    app: String,
    #[serde(default)]
    is_haunted: bool,
    lock: Fd,
}

/// The control socket of `app` in `run_dir`.
pub fn control_socket(run_dir: &Path, app: &str) -> PathBuf {
    run_dir.join(format!("{app}.sock"))
}

/// The log to which a daemon's output goes.
pub fn daemon_log(run_dir: &Path, app: &str) -> PathBuf {
    run_dir.join(format!("{app}.log"))
}

/// The file of the last exit reports. It stays when the master ends.
pub fn exits_file(run_dir: &Path, app: &str) -> PathBuf {
    run_dir.join(format!("{app}.exits.json"))
}

fn pid_file(run_dir: &Path, app: &str) -> PathBuf {
    run_dir.join(format!("{app}.pid"))
}

/// Makes the run directory (mode 0750) when it is not there.
pub fn create_run_dir(path: &Path) -> Result<(), Error> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o750)
        .create(path)
        .context(ErrorCode::RunDir, || {
            format!("cannot make the run directory {}", path.display())
        })
}

impl RunDir {
    /// Takes the lock and writes the pid file.
    pub(crate) fn claim(path: &Path, app: &str) -> Result<Self, Error> {
        create_run_dir(path)?;
        let lock_path = path.join(format!("{app}.lock"));
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock_path)
            .context(ErrorCode::RunDir, || {
                format!("cannot open {}", lock_path.display())
            })?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(already_running(path, app)),
            Err(TryLockError::Error(error)) => {
                let detail = format!("cannot lock {}", lock_path.display());
                return Err(Error::io(ErrorCode::RunDir, detail, error));
            }
        }
        let run_dir = Self {
            path: path.to_owned(),
            app: app.to_owned(),
            // A master that ends by itself takes it along.
            is_haunted: pid_file(path, app).exists(),
            lock,
        };
        run_dir.write_pid().context(ErrorCode::RunDir, || {
            format!("cannot write {}", pid_file(path, app).display())
        })?;
        Ok(run_dir)
    }

    pub(crate) fn save<'a>(&'a self, bag: &mut Bag<'a>) -> SavedRunDir {
        let Self {
            path,
            app,
            is_haunted,
            lock,
        } = self;
        SavedRunDir {
            path: path.clone(),
            app: app.clone(),
            is_haunted: *is_haunted,
            lock: bag.put(lock.as_fd()),
        }
    }

    pub(crate) fn restore(saved: SavedRunDir, inherited: &mut Inherited) -> io::Result<Self> {
        Ok(Self {
            path: saved.path,
            app: saved.app,
            is_haunted: saved.is_haunted,
            lock: inherited.take(saved.lock.number())?.into(),
        })
    }

    /// Where the control socket is.
    pub(crate) fn control_socket(&self) -> PathBuf {
        control_socket(&self.path, &self.app)
    }

    /// Where the exit reports are kept.
    pub(crate) fn exits_file(&self) -> PathBuf {
        exits_file(&self.path, &self.app)
    }

    /// Written to another name and renamed, so that no reader sees half a number.
    fn write_pid(&self) -> io::Result<()> {
        let path = pid_file(&self.path, &self.app);
        let new = path.with_extension("pid.new");
        let mut file = File::create(&new)?;
        writeln!(file, "{}", std::process::id())?;
        fs::rename(new, path)
    }
}

impl Drop for RunDir {
    fn drop(&mut self) {
        // What cannot be removed is stale for the next start, which looks at the lock alone.
        let socket = self.control_socket();
        let _ = fs::remove_file(&socket);
        if !self.is_haunted {
            let _ = fs::remove_file(lock::agent_file(&socket));
            let _ = fs::remove_file(pid_file(&self.path, &self.app));
        }
    }
}

fn already_running(path: &Path, app: &str) -> Error {
    let holder = fs::read_to_string(pid_file(path, app)).unwrap_or_default();
    let holder = match holder.trim() {
        "" => String::new(),
        pid => format!(" (pid {pid})"),
    };
    Error::new(
        ErrorCode::AlreadyRunning,
        format!(
            "{app} is running already{holder} in {}; `stop` or `reload` it",
            path.display()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_claim_names_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let first = RunDir::claim(dir.path(), "shop").unwrap();
        let error = RunDir::claim(dir.path(), "shop").unwrap_err();
        assert!(error.is_already_running());
        assert!(
            error.to_string().contains(&std::process::id().to_string()),
            "{error}"
        );
        RunDir::claim(dir.path(), "other").unwrap();
        drop(first);
        RunDir::claim(dir.path(), "shop").unwrap();
    }

    #[test]
    fn nothing_but_the_lock_is_left_behind() {
        let dir = tempfile::tempdir().unwrap();
        drop(RunDir::claim(dir.path(), "shop").unwrap());
        let left: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(left, ["shop.lock"]);
    }
}
