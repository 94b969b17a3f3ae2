//! The exit reports that are kept, in memory and in a file; and what the deaths have cost.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use hatchery_ipc::exits::{Exit, KEPT_MAX};
use hatchery_ipc::status::Losses;

/// Most bytes that are read of a file.
const FILE_MAX: u64 = 16 << 20;

/// The last [`KEPT_MAX`] reports, newest last.
#[derive(Debug)]
pub(crate) struct Reports {
    kept: VecDeque<Rc<Exit>>,
    file: PathBuf,
    /// Whether the file does not have them all.
    is_dirty: bool,
    losses: Losses,
}

impl Reports {
    /// Begins with what a former master has left in the file; `losses` are those of this master.
    pub(crate) fn open(file: PathBuf, losses: Losses) -> Self {
        // What cannot be read is no reason not to serve; it is overwritten at the next death.
        let kept = read_exits(&file).unwrap_or_default();
        Self {
            kept: kept.into_iter().map(Rc::new).collect(),
            file,
            is_dirty: false,
            losses,
        }
    }

    /// Keeps a report, and counts what the death has cost.
    pub(crate) fn push(&mut self, exit: Exit) {
        if exit.requests_cut > 0 || exit.connections_cut > 0 {
            let cause = self.losses.by_cause.entry(exit.reason.clone()).or_default();
            cause.requests += exit.requests_cut;
            cause.connections += exit.connections_cut;
            self.losses.requests += exit.requests_cut;
            self.losses.connections += exit.connections_cut;
        }
        if self.kept.len() == KEPT_MAX {
            self.kept.pop_front();
        }
        self.kept.push_back(Rc::new(exit));
        self.is_dirty = true;
    }

    /// Puts a report that says more in the place of the one before.
    pub(crate) fn replace(&mut self, exit: Exit) {
        let is_it = |old: &&mut Rc<Exit>| old.instance == exit.instance && old.time == exit.time;
        if let Some(old) = self.kept.iter_mut().rev().find(is_it) {
            *old = Rc::new(exit);
            self.is_dirty = true;
        }
    }

    /// All of them, newest last.
    pub(crate) fn kept(&self) -> VecDeque<Rc<Exit>> {
        self.kept.clone()
    }

    /// The loss ledger, since the master's start.
    pub(crate) fn losses(&self) -> Losses {
        self.losses.clone()
    }

    /// Writes the file when there is something new; to another name first, so that no reader sees
    /// half of it.
    pub(crate) fn write(&mut self) -> io::Result<()> {
        if !std::mem::take(&mut self.is_dirty) {
            return Ok(());
        }
        let mut text = Vec::new();
        for exit in &self.kept {
            serde_json::to_writer(&mut text, &**exit)?;
            text.push(b'\n');
        }
        let new = self.file.with_extension("json.new");
        // Requests' paths and lines of output are nobody else's business.
        let mut options = OpenOptions::new();
        let options = options.create(true).truncate(true).write(true).mode(0o600);
        options.open(&new)?.write_all(&text)?;
        fs::rename(new, &self.file)
    }
}

/// The reports in a file, newest last; none when there is no file. Lines that are no reports, such
/// as those of a newer release, are left out.
pub fn read_exits(file: &Path) -> io::Result<Vec<Exit>> {
    let mut text = Vec::new();
    match File::open(file) {
        Ok(file) => drop(file.take(FILE_MAX).read_to_end(&mut text)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let lines = text.split(|&byte| byte == b'\n');
    let mut exits: Vec<Exit> = lines
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect();
    exits.drain(..exits.len().saturating_sub(KEPT_MAX));
    Ok(exits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn exit(instance: u64, reason: &str, requests_cut: u64) -> Exit {
        Exit {
            instance,
            reason: reason.into(),
            requests_cut,
            connections_cut: requests_cut * 2,
            ..Exit::default()
        }
    }

    #[test]
    fn the_next_master_finds_the_last_of_them() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("shop.exits.json");
        let mut reports = Reports::open(file.clone(), Losses::default());
        assert!(read_exits(&file).unwrap().is_empty());
        for instance in 1..=60 {
            reports.push(exit(instance, "hang", 0));
        }
        reports.write().unwrap();
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let numbers: Vec<_> = read_exits(&file)
            .unwrap()
            .iter()
            .map(|e| e.instance)
            .collect();
        assert_eq!(numbers, (11..=60).collect::<Vec<_>>());

        let mut next = Reports::open(file.clone(), Losses::default());
        next.push(exit(1, "oom", 3));
        next.write().unwrap();
        let exits = read_exits(&file).unwrap();
        assert_eq!(exits.len(), KEPT_MAX);
        assert_eq!(exits.last().unwrap().reason, "oom");
    }

    #[test]
    fn half_a_line_costs_that_line_only() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("shop.exits.json");
        let mut line = serde_json::to_string(&exit(7, "stop", 0)).unwrap();
        line.push_str("\n{\"instance\":8,\"rea");
        fs::write(&file, line).unwrap();
        assert_eq!(read_exits(&file).unwrap(), [exit(7, "stop", 0)]);
    }

    #[test]
    fn losses_add_up_by_cause() {
        let mut reports = Reports::open("/nonexistent/x.exits.json".into(), Losses::default());
        for (reason, cut) in [("signal", 3), ("reload", 0), ("signal", 1), ("hang", 2)] {
            reports.push(exit(1, reason, cut));
        }
        let losses = reports.losses();
        assert_eq!((losses.requests, losses.connections), (6, 12));
        assert_eq!(losses.by_cause["signal"].requests, 4);
        assert_eq!(losses.by_cause["hang"].connections, 4);
        assert_eq!(losses.by_cause.len(), 2, "who costs nothing is not listed");
        assert!(reports.write().is_err(), "and that is survived");
    }
}
