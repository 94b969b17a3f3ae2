//! Real children of a master that these tests play.

mod agent;
mod boot;
mod handover;
mod orphan;
mod record;
mod worker;

use std::ffi::OsString;
use std::io::{PipeReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Path as PathOf, State};
use axum::routing::get;
use hatchery_ipc::child::{
    PACKET_MAX, ToChild, ToMaster, VERSION, VERSION_MIN, Welcome, decode, encode,
};
use hatchery_ipc::environment as names;
use hatchery_sys::page::StatsPage;
use hatchery_sys::recorder::Recorder;
use hatchery_sys::signals::Signal;
use hatchery_sys::spawn::{self, Program, Spawn};
use hatchery_sys::{memfd, packet, peer, process};

use super::{Booted, Child, Hook, Moments, Role, run_agent, run_worker};
use crate::serve::Limits;

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a test child is to do; not one of the contract's variables.
const SCRIPT: &str = "TEST_SCRIPT";

/// Waits for a condition.
fn until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A child's `main`: this test executable is started again with this test only. Without a role it
/// is a test that has nothing to do.
#[test]
fn child_main() {
    let Some(role) = Role::from_env().unwrap() else {
        return;
    };
    let script = std::env::var(SCRIPT).unwrap();
    let child = match Child::from_env() {
        Ok(child) => child,
        Err(error) => {
            eprintln!("{error}");
            process::exit_now(3);
        }
    };
    let code = match role {
        Role::Worker => run_worker(child, async |child: &Child| {
            let (router, limits) = worker::build(&script, child)?;
            Ok(Booted {
                endpoint: router.into(),
                limits,
                life: None,
            })
        }),
        Role::Agent => run_agent(&child, async |child: &Child| {
            Ok((agent::build(&script, child)?, None))
        }),
    };
    // What `main` does with a code, but not on the main thread here.
    process::exit_now(i32::from(code != std::process::ExitCode::SUCCESS));
}

/// A child and what its master has of it.
struct Run {
    child: spawn::Child,
    /// `None` when the master is dead.
    control: Option<OwnedFd>,
    page: StatsPage,
    recorder: Recorder,
    /// The master's own descriptor of the listener.
    listener: TcpListener,
    address: SocketAddr,
    stderr: PipeReader,
}

struct Plan {
    role: &'static str,
    script: &'static str,
    orphan_grace: Duration,
    /// What is placed where the control socket belongs.
    control: Option<OwnedFd>,
    /// The variable that names the recorder.
    recorder_name: &'static str,
    /// Where the next master will listen.
    next_master: Option<PathBuf>,
}

fn worker(script: &'static str) -> Plan {
    Plan {
        role: "worker",
        script,
        orphan_grace: Duration::ZERO,
        control: None,
        recorder_name: names::RECORDER_FD,
        next_master: None,
    }
}

/// A worker without a slot.
fn spare(script: &'static str) -> Plan {
    Plan {
        role: "spare",
        ..worker(script)
    }
}

fn agent(script: &'static str) -> Plan {
    Plan {
        role: "agent",
        ..worker(script)
    }
}

impl Plan {
    fn start(self) -> Run {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (control, theirs) = packet::pair().unwrap();
        let (page, page_fd) = StatsPage::create().unwrap();
        let (recorder, recording) = Recorder::create().unwrap();
        let config = memfd::with("config", br#"{"http":{}}"#).unwrap();
        let is_worker = self.role == "worker";
        let role = if self.role == "spare" {
            "worker"
        } else {
            self.role
        };
        let welcome = ToChild::Welcome(Welcome {
            heartbeat_interval_ms: 5,
            idle_grace_ms: if self.script == "patient" { 60_000 } else { 50 },
            orphan_grace_ms: u64::try_from(self.orphan_grace.as_millis()).unwrap(),
            drain_timeout_ms: 30_000,
            listeners: if is_worker {
                vec![address.to_string()]
            } else {
                Vec::new()
            },
        });
        let fds = [page_fd.as_fd(), config.as_fd()];
        packet::send(
            &control,
            &encode(&welcome, VERSION_MIN).unwrap(),
            &fds,
            true,
        )
        .unwrap();

        let (stderr, stderr_in) = std::io::pipe().unwrap();
        let theirs = self.control.unwrap_or(theirs);
        let mut placed = vec![(stderr_in.as_fd(), 1), (stderr_in.as_fd(), 2)];
        if is_worker {
            placed.push((listener.as_fd(), 3));
        }
        let control_at = 3 + i32::from(is_worker);
        placed.push((theirs.as_fd(), control_at));
        placed.push((recording.as_fd(), control_at + 1));
        let program = Program::open(&std::env::current_exe().unwrap()).unwrap();
        let args = [
            "test",
            "runtime::tests::child_main",
            "--exact",
            "--nocapture",
            "-q",
        ];
        let env = [
            (names::ROLE, role.to_owned()),
            (names::APP, "test-app".to_owned()),
            (names::ENV, "unittest".to_owned()),
            (names::WORKERS, "1".to_owned()),
            (names::INSTANCE, "7".to_owned()),
            (names::GENERATION, "2".to_owned()),
            (names::CONTROL_FD, control_at.to_string()),
            (self.recorder_name, (control_at + 1).to_string()),
            (SCRIPT, self.script.to_owned()),
            (names::SLOT, "0".to_owned()),
            (names::LISTEN_FDS, "1".to_owned()),
        ];
        // An agent and a spare have no slot and no listeners.
        let env: Vec<(OsString, OsString)> = env
            .into_iter()
            .take(if is_worker { 11 } else { 9 })
            .map(|(name, value)| (name.into(), value.into()))
            .chain(
                self.next_master
                    .map(|path| (names::CONTROL_SOCKET.into(), path.into())),
            )
            .collect();
        let child = Spawn {
            program: &program,
            args: &args.map(OsString::from),
            env: &env,
            listen_pid: is_worker,
            cwd: Path::new("/"),
            fds: &placed,
        }
        .start()
        .unwrap();
        Run {
            child,
            control: Some(control),
            page,
            recorder,
            listener,
            address,
            stderr,
        }
    }
}

impl Run {
    fn tell(&self, message: &ToChild, fds: &[std::os::fd::BorrowedFd<'_>]) {
        packet::send(
            self.control.as_ref().unwrap(),
            &encode(message, VERSION).unwrap(),
            fds,
            true,
        )
        .unwrap();
    }

    fn drain(&self, successor: bool) {
        let limit_ms = u64::try_from(PATIENCE.as_millis()).unwrap();
        self.tell(
            &ToChild::Drain {
                limit_ms,
                successor,
            },
            &[],
        );
    }

    /// The child's next message; `None` when it is gone.
    fn hear(&self) -> Option<ToMaster> {
        let mut buffer = vec![0; PACKET_MAX];
        let packet =
            packet::receive(self.control.as_ref().unwrap(), &mut buffer, false).unwrap()?;
        Some(decode(&buffer[..packet.len]).unwrap())
    }

    fn signal(&self, signal: Signal) {
        process::signal(&self.child.pidfd, signal).unwrap();
    }

    /// Waits for its end: the exit code, or a signal's number as a negative one.
    fn ended(&self) -> i32 {
        assert!(
            peer::wait_gone(&self.child.pidfd, PATIENCE).unwrap(),
            "it does not end"
        );
        let pid = i32::try_from(self.child.pid)
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        let (_, status) = rustix::process::waitpid(pid, rustix::process::WaitOptions::empty())
            .unwrap()
            .unwrap();
        status
            .exit_status()
            .unwrap_or_else(|| -status.terminating_signal().unwrap())
    }

    /// All that it has written, after its end.
    fn output(mut self) -> String {
        let mut text = String::new();
        self.stderr.read_to_string(&mut text).unwrap();
        text
    }

    /// Sends a request on a connection of its own; the answer is read later.
    fn request(&self, path: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        Answer(stream)
    }

    fn get(&self, path: &str) -> String {
        self.request(path).read()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // A failed test leaves nothing behind.
        let _ = process::signal(&self.child.pidfd, Signal::Kill);
    }
}

struct Answer(TcpStream);

impl Answer {
    /// The whole answer up to the connection's end; empty when it was cut.
    fn read(mut self) -> String {
        let mut text = String::new();
        let _ = self.0.read_to_string(&mut text);
        text
    }
}
