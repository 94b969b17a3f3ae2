//! A pool of real processes in a directory of its own, gone without a trace at the end.

mod builder;
mod settings;

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

pub use builder::ClusterBuilder;
use settings::Settings;

use super::client::{Failure, Request, Response, Target, ask};
use super::command::{Ended, copy_executable};
use super::output::Output;
use super::process::Process;
use super::status::{Control, Exit, Status};
use super::{REQUEST_LIMIT, SOON, Watch, wait_for, wait_until};

/// Names the directory whose `proc` and `sys` tell the master how short memory is.
const PRESSURE_ROOT: &str = "HATCHERY_PRESSURE_ROOT";

/// How long a stopped pool may take until its last process is gone.
const GONE_LIMIT: Duration = Duration::from_secs(3);

/// A running application: real processes in a directory of their own, gone without a trace at the
/// end.
///
/// Dropped, it is stopped politely and must leave nothing; when the test has panicked, its
/// processes are killed and its last lines are printed.
#[derive(Debug)]
pub struct Cluster {
    directory: TempDir,
    /// What the build made.
    built: PathBuf,
    name: String,
    settings: Settings,
    /// The file of the configuration that the settings are in, and what the application has there.
    layer: PathBuf,
    original: Option<String>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    group: Option<PathBuf>,
    port: u16,
    master: Option<Child>,
    output: Output,
}

impl Cluster {
    /// Begins to describe a pool of this executable: in a test, `env!("CARGO_BIN_EXE_name")`. It is
    /// copied, never touched.
    pub fn of(executable: impl AsRef<Path>) -> ClusterBuilder {
        ClusterBuilder::new(executable.as_ref())
    }

    // ---- where things are

    /// The base directory.
    pub fn base(&self) -> &Path {
        self.directory.path()
    }

    /// The run directory.
    pub fn run_dir(&self) -> PathBuf {
        self.base().join("run")
    }

    /// The control socket.
    pub fn socket(&self) -> PathBuf {
        self.run_dir().join(format!("{}.sock", self.name))
    }

    /// The executable on disk, from which this pool was started.
    pub fn executable(&self) -> PathBuf {
        self.base().join(&self.name)
    }

    /// Where the master reads how short memory is, instead of `/`.
    pub fn pressure_root(&self) -> PathBuf {
        self.base().join("pressure")
    }

    /// The port that it is served on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where its clients connect to.
    pub fn target(&self) -> Target {
        Target::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)))
    }

    /// What the master has written, and its children with it.
    pub fn output(&self) -> &Output {
        &self.output
    }

    // ---- what is on disk

    /// Changes a key of the configuration on disk.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.settings.set(key, value);
        self.write_settings();
    }

    /// Takes a key out of the configuration on disk.
    pub fn unset(&mut self, key: &str) {
        self.settings.unset(key);
        self.write_settings();
    }

    fn write_settings(&self) {
        self.settings.write(&self.layer, self.original.as_deref());
    }

    /// Puts another file in the place of the binary, as an installer does: the old one lives on
    /// without a name.
    pub fn replace_executable(&self, contents: &[u8]) {
        let source = self.base().join(format!("{}.source", self.name));
        fs::write(&source, contents).expect("the directory is writable");
        let new = self.base().join(format!("{}.new", self.name));
        copy_executable(&source, &new);
        fs::rename(new, self.executable()).expect("the directory is writable");
    }

    /// Puts a different binary of the same behaviour in the place of the binary.
    pub fn replace_executable_by_twin(&self) {
        let mut contents = fs::read(&self.built).expect("the built binary can be read");
        contents.extend(b"\nThe loader does not read this far.\n");
        self.replace_executable(&contents);
    }

    // ---- the master

    /// Changes a variable of the environment of what is started next.
    pub fn set_variable(&mut self, name: &str, value: &str) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Starts the master in the foreground, and does not wait for anything.
    pub fn launch(&mut self) {
        let command = match &self.group {
            None => self.bare_command(),
            Some(group) => {
                let mut shell = Command::new("sh");
                self.clean(&mut shell);
                let script = r#"echo $$ >"$0" && exec "$@""#;
                shell.args(["-c", script]).arg(group).arg(self.executable());
                shell.current_dir(self.base());
                shell
            }
        };
        self.launch_with(command);
    }

    /// Starts the master by a program that executes it; `prepare` gives that its own arguments.
    pub fn launch_by(&mut self, program: &str, prepare: impl FnOnce(&mut Command)) {
        let mut command = Command::new(program);
        self.clean(&mut command);
        command.current_dir(self.base());
        prepare(&mut command);
        self.launch_with(command);
    }

    fn launch_with(&mut self, mut command: Command) {
        command.arg("start").arg("--base-dir").arg(self.base());
        let mut child = command
            .args(&self.arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary can be started");
        self.output = Output::default();
        self.output
            .follow(child.stdout.take().expect("it is piped"));
        self.output
            .follow(child.stderr.take().expect("it is piped"));
        self.master = Some(child);
    }

    /// Waits until the pool that was launched is whole.
    #[track_caller]
    pub fn wait_started(&mut self) -> Status {
        wait_for("the pool is up", SOON, || {
            let master = self.master.as_mut().expect("it was launched");
            if let Some(status) = master.try_wait().expect("it is our child") {
                panic!("the master ended with {status}");
            }
            let status = self.try_status()?;
            status.is_whole(status.workers_wanted).then_some(status)
        })
    }

    /// The master process.
    pub fn master(&self) -> Process {
        let child = self.master.as_ref().expect("it was launched");
        Process::of(child.id()).expect("it is not reaped yet")
    }

    /// Waits for the master to end by itself and reaps it.
    #[track_caller]
    pub fn wait_master(&mut self, limit: Duration) -> ExitStatus {
        let mut child = self.master.take().expect("it was launched");
        wait_for("the master ends", limit, || {
            child.try_wait().expect("it is our child")
        })
    }

    /// Whether the master still runs.
    pub fn is_running(&mut self) -> bool {
        let child = self.master.as_mut().expect("it was launched");
        child.try_wait().expect("it is our child").is_none()
    }

    // ---- what it says

    /// The state, unless nobody answers.
    pub fn try_status(&self) -> Option<Status> {
        Control::connect(&self.socket()).ok()?.status().ok()
    }

    /// The state.
    #[track_caller]
    pub fn status(&self) -> Status {
        wait_for("a status", SOON, || self.try_status())
    }

    /// The loss ledger of `status --json`.
    #[track_caller]
    pub fn losses(&self) -> Value {
        let text = self.cli_ok(&["status", "--json"]).stdout;
        let status: Value = serde_json::from_str(&text).expect("status is JSON");
        status["losses"].clone()
    }

    /// Waits until the status is as `probe` wants it.
    #[track_caller]
    pub fn wait_status(
        &self,
        what: &str,
        limit: Duration,
        mut probe: impl FnMut(&Status) -> bool,
    ) -> Status {
        let mut last = None;
        let started = Instant::now();
        loop {
            if let Some(status) = self.try_status() {
                if probe(&status) {
                    return status;
                }
                last = Some(status);
            }
            assert!(
                started.elapsed() < limit,
                "not within {limit:?}: {what}; last: {last:#?}"
            );
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until the pool is whole with as many workers as it wants, and quiet.
    #[track_caller]
    pub fn wait_whole(&self, limit: Duration) -> Status {
        self.wait_status("the pool is whole", limit, |status| {
            status.is_whole(status.workers_wanted)
        })
    }

    /// Begins to look at it all the time.
    pub fn watch(&self) -> Watch {
        Watch::start(self.socket())
    }

    /// Waits until the status is as `probe` wants it, as it soon must be.
    #[track_caller]
    pub fn wait_until(&self, probe: impl FnMut(&Status) -> bool) -> Status {
        self.wait_status("the status is as wanted", SOON, probe)
    }

    /// Why each of the last processes ended, the latest last.
    #[track_caller]
    pub fn exits(&self) -> Vec<Exit> {
        let text = self.cli_ok(&["exits", "--json"]).stdout;
        serde_json::from_str(&text).expect("the reports are JSON")
    }

    // ---- what is done to it

    /// The process that serves in a slot.
    #[track_caller]
    pub fn worker(&self, slot: u32) -> Process {
        wait_for("a worker in the slot", SOON, || {
            let status = self.try_status()?;
            status
                .worker(slot)
                .and_then(|worker| Process::of(worker.pid))
        })
    }

    /// Kills the worker in a slot, and says which it was.
    #[track_caller]
    pub fn kill(&self, slot: u32) -> Process {
        let victim = self.worker(slot);
        victim.signal(Signal::KILL);
        victim
    }

    /// Stops the worker in a slot in the middle of whatever it does: it hangs. Says which it was.
    #[track_caller]
    pub fn hang(&self, slot: u32) -> Process {
        let victim = self.worker(slot);
        victim.signal(Signal::STOP);
        victim
    }

    /// Replaces everything by the executable and configuration on disk.
    #[track_caller]
    pub fn reload(&self) {
        self.cli_ok(&["reload"]);
    }

    // ---- clients

    /// One GET on a connection of its own, which must be answered.
    #[track_caller]
    pub fn get(&self, path: &str) -> Response {
        self.ask(&Request::get(path))
    }

    /// One request on a connection of its own, which must be answered.
    #[track_caller]
    pub fn ask(&self, request: &Request) -> Response {
        self.try_ask(request)
            .unwrap_or_else(|failure| panic!("{}: {failure}", request.path))
    }

    /// One request on a connection of its own.
    pub fn try_ask(&self, request: &Request) -> Result<Response, Failure> {
        ask(&self.target(), request, REQUEST_LIMIT)
    }

    // ---- the command line

    /// A verb of the command line for this pool, waited for.
    #[track_caller]
    pub fn cli(&self, arguments: &[&str]) -> Ended {
        let mut command = Command::new(&self.built);
        self.clean(&mut command);
        command.args(arguments);
        if arguments[0] != "list" {
            command.arg("--run-dir").arg(self.run_dir());
        }
        Ended::of(command, Duration::from_secs(90))
    }

    /// A verb that must succeed.
    #[track_caller]
    pub fn cli_ok(&self, arguments: &[&str]) -> Ended {
        let ended = self.cli(arguments);
        assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
        ended
    }

    /// Runs this pool's binary on its directory, until it ends by itself.
    #[track_caller]
    pub fn command(&self, arguments: &[&str], limit: Duration) -> Ended {
        let mut command = self.bare_command();
        command.args(arguments).arg("--base-dir").arg(self.base());
        Ended::of(command, limit)
    }

    /// This pool's binary with nothing but the environment of this pool.
    pub fn bare_command(&self) -> Command {
        let mut command = Command::new(self.executable());
        self.clean(&mut command);
        command.current_dir(self.base());
        command
    }

    /// What the tests' own environment holds must not change what they see; and every pool is a
    /// user of its own, as far as the registry of running applications is concerned.
    fn clean(&self, command: &mut Command) {
        let user = self.base().join("user");
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HATCHERY_REGISTRY", &user)
            // How busy the machine is must not change what a pool does: nothing is read here.
            .env(PRESSURE_ROOT, self.pressure_root())
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null());
    }

    // ---- the end

    /// Every process that runs a binary of this directory.
    pub fn processes(&self) -> BTreeSet<Process> {
        Process::running_from(self.base())
            .into_iter()
            .filter(|process| process.is_alive())
            .collect()
    }

    /// Waits until no process is left.
    #[track_caller]
    pub fn assert_gone(&self) {
        wait_until("every process is gone", GONE_LIMIT, || {
            self.processes().is_empty()
        });
    }

    /// Stops the pool politely; the master must end with code 0 and leave nothing.
    #[track_caller]
    pub fn stop(&mut self) {
        self.master().signal(Signal::TERM);
        let status = self.wait_master(SOON);
        assert_eq!(status.code(), Some(0), "the master's end: {status}");
        self.assert_gone();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if thread::panicking() {
            let lines = self.output.lines();
            let last = lines.len().saturating_sub(80);
            eprintln!("---- the last lines of {}:", self.base().display());
            for line in &lines[last..] {
                eprintln!("{line}");
            }
        } else if self.master.is_some() {
            self.stop();
        }
        for process in self.processes() {
            process.signal(Signal::KILL);
        }
        if let Some(mut child) = self.master.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
