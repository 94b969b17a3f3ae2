//! Before anything is started: who is left of a former master?

use std::time::{Duration, Instant};

use hatchery_ipc::control::{Request, Verb};
use hatchery_sys::listen::{self, Address};
use hatchery_sys::signals::Signal;
use hatchery_sys::{lock, peer, process};

use super::{ORPHANS_MAX, Orphan};
use crate::control::Control;
use crate::listeners::Found;
use crate::run_dir::RunDir;
use crate::settings::Listen;

/// Nobody else is expected when nobody has reported for this long: orphans look for a master every
/// 50 ms.
const QUIET: Duration = Duration::from_millis(200);

/// How long somebody may take who should report and does not.
const LIMIT: Duration = Duration::from_secs(2);

/// Between two looks at the control socket.
const PAUSE: Duration = Duration::from_millis(5);

/// Between two looks whether somebody is there at all.
const LOOK: Duration = Duration::from_millis(200);

/// What others have asked meanwhile, by client.
pub(crate) type Early = Vec<(u64, Result<Request, hatchery_ipc::Error>)>;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    pub(crate) orphans: Vec<Orphan>,
    /// To be answered when the loop runs.
    pub(crate) early: Early,
    /// What should be in the log.
    pub(crate) remarks: Vec<String>,
}

/// Lets the orphans of a former master report, where there may be some; `found` gets their
/// listeners. Takes 2 s at most, and no time after a master that ended as it should.
pub(crate) fn gather(
    control: &mut Control,
    run_dir: &RunDir,
    listen: &Listen,
    found: &mut Found,
) -> Gathered {
    let mut gathered = Gathered::default();
    if !run_dir.is_haunted {
        return gathered;
    }
    let begun = Instant::now();
    let mut heard = begun;
    let mut looked: Option<Instant> = None;
    let agent = lock::agent_file(&run_dir.control_socket());
    while begun.elapsed() < LIMIT {
        if gathered.hear(control, found) {
            heard = Instant::now();
        }
        if looked.is_none_or(|at| at.elapsed() >= LOOK) {
            looked = Some(Instant::now());
            let agent_reports = gathered.silent_agent(&agent).is_none();
            let is_quiet = if gathered.orphans.is_empty() {
                // What the service manager has kept proves nothing.
                !found.is_empty() || !listen.addresses.iter().any(|address| is_served(address))
            } else {
                heard.elapsed() >= QUIET
            };
            if agent_reports && is_quiet {
                return gathered;
            }
        }
        std::thread::sleep(PAUSE);
    }
    if let Some(pid) = gathered.silent_agent(&agent) {
        gathered.end_silent_agent(pid, &agent);
    }
    gathered
}

fn is_served(address: &str) -> bool {
    let address = address.parse::<Address>();
    address.is_ok_and(|address| listen::in_use(&address).unwrap_or(true))
}

impl Gathered {
    /// Takes what has come. Returns whether an orphan was among it.
    fn hear(&mut self, control: &mut Control, found: &mut Found) -> bool {
        while control.accept().is_some() {}
        let mut anybody = false;
        for key in control.keys() {
            let Some(requests) = control.read(key) else {
                control.close(key);
                continue;
            };
            for request in requests {
                match request {
                    Ok(Request {
                        verb: Verb::Orphan(report),
                        ..
                    }) => {
                        let fds = control.take_fds(key);
                        let Some(stream) = control.client(key) else {
                            continue;
                        };
                        if self.orphans.len() >= ORPHANS_MAX {
                            continue;
                        }
                        match Orphan::take_over(&report, stream, fds, found) {
                            Ok(orphan) => {
                                self.orphans.push(orphan);
                                anybody = true;
                            }
                            Err(error) => self.remarks.push(format!(
                                "an orphaned {} reports in vain: {error}",
                                report.role
                            )),
                        }
                    }
                    other => self.early.push((key, other)),
                }
            }
        }
        anybody
    }

    /// The process that holds the agent's lock and has not reported.
    fn silent_agent(&self, lock: &std::path::Path) -> Option<u32> {
        let pid = lock::holder(lock).ok().flatten()?;
        let has_reported = self.orphans.iter().any(|orphan| orphan.pid == pid);
        (!has_reported).then_some(pid)
    }

    /// It stands still or speaks another language; there must not be two.
    fn end_silent_agent(&mut self, pid: u32, lock: &std::path::Path) {
        let Ok(pidfd) = peer::pidfd_open(pid) else {
            return;
        };
        // Still the holder: the descriptor is of this process and no other.
        if lock::holder(lock).ok().flatten() != Some(pid) {
            return;
        }
        self.remarks.push(format!(
            "an agent of the former master, pid {pid}, does not report and is killed"
        ));
        let _ = process::signal(&pidfd, Signal::Kill);
        let _ = peer::wait_gone(&pidfd, LIMIT);
    }
}
