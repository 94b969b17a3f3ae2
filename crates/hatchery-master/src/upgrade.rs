//! The master replaces its own image, in place: same pid, children stay, no connection is lost.
//!
//! 1. The executable is pinned and run with `--check-state`, on the state as it is then.
//! 2. If it can go on from there, the state is written as it is now, its descriptors are made
//!    inheritable, and the executable is executed. Signals are blocked all the time; they wait.
//! 3. The new image reads the state, makes its own epoll and signalfd, and only when nothing can
//!    fail any more takes the descriptors. If something fails, it executes the former executable
//!    with the same state, and the reason in it.
//!
//! Whatever happens, somebody answers [`Action::Upgrade`](hatchery_supervisor::Action::Upgrade).

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use hatchery_ipc::child;
use hatchery_supervisor::{Event, State, Time};
use hatchery_sys::inherit::{self, Inherited};
use hatchery_sys::spawn::Program;
use hatchery_sys::{memfd, process};

use crate::check::{Check, Passed, Purpose, Question, STATE_FD};
use crate::dispatch::is_working;
use crate::error::{Error, ErrorCode};
use crate::events::event;
use crate::journal::Level;
use crate::launch::Outcome;
use crate::master::Master;
use crate::state::{self, Bag, Head};

/// What a memory file with the state is called, for people.
const NAME: &str = "hatchery-state";

/// How long an upgrade waits for the names of a stack: nobody else would hear them.
const NAMES_WAIT: Duration = Duration::from_secs(2);

/// An executable that this process is about to become.
#[derive(Debug)]
pub(crate) struct Successor {
    program: Program,
    pub(crate) at_latest: Time,
}

/// What a new image of a master knows by itself.
#[derive(Debug)]
pub struct Resume {
    /// Where the state is.
    pub state: OwnedFd,
    /// The application's name; the state of another one is refused.
    pub app: String,
    /// The application's version, for `status`.
    pub version: String,
    /// As [`Launch::arguments`](crate::Launch::arguments).
    pub arguments: Vec<OsString>,
}

/// Whether this build can go on from the state in `state` as `app`. Returns what proves it to the
/// master: many a program ends with 0 whatever it is asked.
///
/// # Errors
///
/// The reason why it cannot.
pub fn check_state(state: OwnedFd, app: &str) -> Result<String, String> {
    let bytes = memfd::read(state).map_err(|error| format!("the state: {error}"))?;
    let (_, body) = state::read(&bytes, app)?;
    crate::restore::understand(&body).map(|_| proof(app))
}

/// What `--check-state` answers when it can.
fn proof(app: &str) -> String {
    format!("{app} can go on from this state")
}

/// Goes on as the master whose state this is, until it is told to stop. Returns the path of the
/// executable as well, for a restart.
///
/// # Errors
///
/// The state cannot be read, and there was no way back to the former image.
pub fn resume(resume: Resume) -> Result<(PathBuf, Outcome), Error> {
    let Resume {
        state,
        app,
        version,
        arguments,
    } = resume;
    let lost = |reason: String| Error::new(ErrorCode::System, reason);
    let bytes = memfd::read(&state).map_err(|error| lost(format!("the state: {error}")))?;
    drop(state);
    let restore = || -> Result<_, String> {
        let (head, body) = state::read(&bytes, &app)?;
        let master = Master::restore(&head, body, &version, arguments.clone())?;
        Ok((master, head.refused))
    };
    // A bug in it, too, is a reason to go back and not to leave the pool alone.
    let master = std::panic::catch_unwind(restore).unwrap_or_else(|_| Err("it panicked".into()));
    match master {
        Ok((mut master, refused)) => {
            master.resumed(refused);
            let binary = master.launch.binary.clone();
            Ok((binary, master.go_on()?))
        }
        Err(reason) => Err(lost(back(&bytes, &reason, &arguments))),
    }
}

/// Executes the former image. Returns only if that failed, with the reason of everything.
fn back(bytes: &[u8], reason: &str, arguments: &[OsString]) -> String {
    let attempt = || -> Result<Infallible, String> {
        let head = state::read_head(bytes)?;
        if let Some(before) = head.refused {
            return Err(format!("the one before it has failed already: {before}"));
        }
        let numbers: Vec<_> = head.fds.iter().map(|fd| fd.number()).collect();
        let text = |error: std::io::Error| error.to_string();
        let former = {
            let inherited = Inherited::claim(&numbers).map_err(text)?;
            let former = inherited.borrow(head.former.number()).map_err(text)?;
            former.try_clone_to_owned().map_err(text)?
        };
        let state = memfd::with(NAME, &state::refused(bytes, reason)?).map_err(text)?;
        inherit::set(&[state.as_fd()], true).map_err(text)?;
        let program = Program::from_fd(former, PathBuf::from("the former executable"));
        Err(execute(&program, arguments, &state).to_string())
    };
    match attempt() {
        Ok(never) => match never {},
        Err(also) => format!("{reason}; and there is no way back: {also}"),
    }
}

fn execute(program: &Program, arguments: &[OsString], state: &OwnedFd) -> std::io::Error {
    use std::os::fd::AsRawFd as _;
    let mut arguments = arguments.to_vec();
    arguments.extend(["--resume-fd".into(), state.as_raw_fd().to_string().into()]);
    let environment: Vec<_> = std::env::vars_os().collect();
    program.exec(&arguments, &environment)
}

/// Whether this is another executable than the one that this process runs.
pub(crate) fn is_other(program: &Program) -> bool {
    Program::running().is_ok_and(|running| !running.is_same(program))
}

impl Master {
    /// Begins to replace this image. The answer comes as [`Event::Upgraded`].
    pub(crate) fn upgrade(&mut self) {
        if let Err(reason) = self.check_state() {
            self.upgraded(Err(reason));
        }
    }

    /// Whether an upgrade is under way as far as this image goes.
    pub(crate) fn is_upgrading(&self) -> bool {
        self.successor.is_some()
            || self
                .checks
                .iter()
                .any(|check| check.purpose == Purpose::Upgrade)
    }

    fn check_state(&mut self) -> Result<(), String> {
        if self
            .checks
            .iter()
            .any(|check| check.purpose == Purpose::Restart)
        {
            return Err("a restart is being checked".into());
        }
        if self.orphans.start_waits {
            return Err("the agent of the former master is still there".into());
        }
        let path = &self.launch.binary;
        let failed = |error| format!("cannot start {} --check-state: {error}", path.display());
        let pinned = self.upgrade_to.take().and_then(|generation| {
            let is_current = generation == self.supervisor.generation();
            self.releases.get(&generation).filter(|_| is_current)
        });
        // After a reload the file that it has pinned, whatever is on disk by now.
        let program = match pinned {
            Some(release) => release.program.try_clone().map_err(failed)?,
            None => Program::open(path).map_err(failed)?,
        };
        let former = Program::running().map_err(failed)?;
        let mut bag = Bag::default();
        let state = self.state(&former, &mut bag)?;
        let state = memfd::with(NAME, &state).map_err(failed)?;
        let mut arguments: Vec<_> = self.launch.arguments.iter().skip(1).cloned().collect();
        arguments.extend(["--check-state".into(), STATE_FD.to_string().into()]);
        let question = Question {
            purpose: Purpose::Upgrade,
            arguments,
            state: Some(state.as_fd()),
            cwd: &self.launch.base_dir,
            deadline: self.now + self.supervisor.policy().ready_timeout,
        };
        let check = Check::start(program, question).map_err(failed)?;
        self.await_check(check);
        Ok(())
    }

    /// The executable has looked at the state.
    pub(crate) fn state_checked(&mut self, result: Result<Passed, String>) {
        let result = result.and_then(|passed| {
            if passed.answer.trim_ascii() == proof(&self.launch.app).as_bytes() {
                return Ok(passed);
            }
            let path = passed.program.path().display();
            let app = &self.launch.app;
            Err(format!(
                "{path} does not say that it can go on as {app}: it is no executable of it, or one \
                 without upgrades"
            ))
        });
        match result {
            // The loop does it when all that is wanted now has been done.
            Ok(passed) => {
                self.successor = Some(Successor {
                    program: passed.program,
                    at_latest: self.now + NAMES_WAIT,
                });
            }
            Err(reason) => self.upgraded(Err(reason)),
        }
    }

    /// What to become now, if anything.
    pub(crate) fn due_successor(&mut self) -> Option<Program> {
        let is_busy = self.checks.iter().any(Check::is_lookup);
        let now = self.now;
        let due = self
            .successor
            .take_if(|successor| !is_busy || now >= successor.at_latest)?;
        Some(due.program)
    }

    /// Becomes the new image. Returns when that failed.
    pub(crate) fn become_successor(&mut self, program: &Program) {
        let text = format!("goes on as {}", program.path().display());
        self.announce(Level::Info, event("upgrade", text));
        self.out.flush();
        self.err.flush();
        let Err(reason) = self.try_become(program);
        self.upgraded(Err(reason));
    }

    fn try_become(&self, program: &Program) -> Result<Infallible, String> {
        if self.is_stopping() {
            return Err("stopping".into());
        }
        let text = |error: std::io::Error| error.to_string();
        let former = Program::running().map_err(text)?;
        let mut bag = Bag::default();
        let state = self.state(&former, &mut bag)?;
        let state = memfd::with(NAME, &state).map_err(text)?;
        let mut fds = bag.fds().to_vec();
        fds.push(state.as_fd());
        let error = match inherit::set(&fds, true) {
            Ok(()) => execute(program, &self.launch.arguments, &state),
            Err(error) => error,
        };
        // Nobody but the next image was to have them.
        inherit::set(&fds, false).map_err(text)?;
        Err(format!(
            "cannot execute {}: {error}",
            program.path().display()
        ))
    }

    /// The whole state, and in `bag` what must stay open.
    fn state<'a>(&'a self, former: &'a Program, bag: &mut Bag<'a>) -> Result<Vec<u8>, String> {
        let body = self.save(bag)?;
        let former = bag.put(former.as_fd());
        // Those on their way out have nothing to say that must be understood.
        let working = self
            .processes
            .values()
            .filter(|process| self.state_of(process.id).is_some_and(is_working));
        let protocol = working.map(|process| process.protocol);
        let protocol = protocol.max().unwrap_or(child::VERSION_MIN);
        let head = Head::new(&self.launch.app, protocol, former, bag.numbers());
        state::write(&head, &body)
    }

    /// This image has taken over, or again after another one could not.
    fn resumed(&mut self, refused: Option<String>) {
        let name = self.launch.binary.file_name().and_then(OsStr::to_str);
        // Executed by descriptor, it is called after the descriptor.
        let _ = process::set_name(name.unwrap_or(&self.launch.app));
        let result = match refused {
            None => Ok(format!(
                "the master runs {} {} now",
                self.launch.app, self.launch.version
            )),
            Some(reason) => Err(reason),
        };
        self.watch_unattended();
        let instances = self.supervisor.instances();
        let silent = instances.filter(|instance| instance.state == State::Suspect);
        for id in silent.map(|instance| instance.id).collect::<Vec<_>>() {
            self.inquire(id);
        }
        self.upgraded(result);
    }

    fn upgraded(&mut self, result: Result<String, String>) {
        self.tell(Event::Upgraded { result });
    }
}
