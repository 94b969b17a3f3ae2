//! Where the running applications of a user are found: a directory of small files, each with the
//! path of a control socket. Process names are never scanned.
//!
//! An entry is what its socket says: one that nobody answers, or another process than the one that
//! made it, is stale and removed by whoever looks. Masters write theirs again every minute, so a
//! cleaner of temporary files cannot hide them for good.

use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hatchery_ipc::status::Status;
use hatchery_sys::peer;
use serde::{Deserialize, Serialize};

use crate::client::Client;

/// How long `list` waits for one master.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Names another directory, for tests and for private set-ups.
const OVERRIDE: &str = "HATCHERY_REGISTRY";

/// A master's own entry; removed when dropped.
#[derive(Debug)]
pub(crate) struct Entry {
    file: PathBuf,
    socket: PathBuf,
}

/// An [`Entry`] for the next image of the master.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SavedEntry {
    #[serde(with = "crate::state::path")]
    file: PathBuf,
    #[serde(with = "crate::state::path")]
    socket: PathBuf,
}

/// A running application.
#[derive(Debug)]
pub struct Running {
    /// Its control socket.
    pub socket: PathBuf,
    /// Its master's process id.
    pub pid: u32,
    /// Its name, from the entry.
    pub app: String,
    /// What it says of itself; the error when it is there and does not answer.
    pub status: Result<Status, String>,
}

impl Entry {
    /// Makes this process findable. A registry that cannot be written is no reason not to serve.
    pub(crate) fn write(app: &str, socket: &Path) -> io::Result<Self> {
        let directory = directories().into_iter().next().unwrap_or_default();
        let file = directory.join(format!("{app}.{}", std::process::id()));
        let entry = Self {
            file,
            socket: std::path::absolute(socket)?,
        };
        entry.refresh()?;
        Ok(entry)
    }

    pub(crate) fn save(&self) -> SavedEntry {
        let Self { file, socket } = self;
        SavedEntry {
            file: file.clone(),
            socket: socket.clone(),
        }
    }

    pub(crate) fn restore(saved: SavedEntry) -> Self {
        let SavedEntry { file, socket } = saved;
        Self { file, socket }
    }

    /// Writes the entry again where it has been removed.
    pub(crate) fn refresh(&self) -> io::Result<()> {
        if self.file.exists() {
            return Ok(());
        }
        if let Some(directory) = self.file.parent() {
            make_private(directory)?;
        }
        let new = self.file.with_extension("new");
        fs::write(&new, self.socket.as_os_str().as_bytes())?;
        fs::rename(new, &self.file)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.file);
    }
}

/// All running applications of this user, by name and then by process. Stale entries are removed.
pub fn running() -> Vec<Running> {
    let mut found: Vec<Running> = Vec::new();
    for directory in directories() {
        if !is_private(&directory) {
            continue;
        }
        let Ok(entries) = fs::read_dir(&directory) else {
            continue;
        };
        for entry in entries.flatten() {
            match ask(&entry.path()) {
                Some(running) if found.iter().all(|other| other.pid != running.pid) => {
                    found.push(running);
                }
                Some(_) => {}
                None => drop(fs::remove_file(entry.path())),
            }
        }
    }
    found.sort_by(|a, b| (&a.app, a.pid).cmp(&(&b.app, b.pid)));
    found
}

/// Asks the master behind an entry; `None` when the entry is stale.
fn ask(file: &Path) -> Option<Running> {
    let name = file.file_name()?.to_str()?;
    let (app, pid) = name.rsplit_once('.')?;
    let pid: u32 = pid.parse().ok()?;
    let socket = PathBuf::from(std::ffi::OsString::from_vec(fs::read(file).ok()?));
    let mut client = Client::connect(&socket).ok()?;
    if client.pid() != pid {
        return None;
    }
    let status = client
        .status(ANSWER_TIMEOUT)
        .map_err(|error| error.to_string());
    Some(Running {
        socket,
        pid,
        app: app.to_owned(),
        status,
    })
}

/// Where entries may be; the first is where a new one goes. A service and a login shell of one
/// user can differ in what they have, so all are read.
fn directories() -> Vec<PathBuf> {
    if let Some(directory) = std::env::var_os(OVERRIDE) {
        return vec![directory.into()];
    }
    let uid = peer::effective_uid();
    let runtime = match uid {
        0 => PathBuf::from("/run"),
        uid => PathBuf::from(format!("/run/user/{uid}")),
    };
    let shared = std::env::temp_dir().join(format!("hatchery-{uid}"));
    if runtime.is_dir() {
        vec![runtime.join("hatchery"), shared]
    } else {
        vec![shared]
    }
}

fn make_private(directory: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ if is_private(directory) => Ok(()),
        _ => Err(io::Error::other(format!(
            "{} is not a directory of this user alone (mode 0700)",
            directory.display()
        ))),
    }
}

/// Ours, no link, and nobody else can write into it: entries in it can be believed.
fn is_private(directory: &Path) -> bool {
    fs::symlink_metadata(directory).is_ok_and(|meta| {
        meta.is_dir() && meta.uid() == peer::effective_uid() && meta.mode() & 0o022 == 0
    })
}
