//! A pool of real processes in a directory of its own, gone without a trace at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::client::{Failure, Request, Response, Target, ask};
use super::command::{Ended, copy_executable, finish};
use super::output::Output;
use super::process::Process;
use super::status::{Control, Status};
use super::{Group, REQUEST_LIMIT, SOON, Watch, free_port, wait_for, wait_until};

/// The binary that the build made; never touched, only copied.
const BUILT: &str = env!("CARGO_BIN_EXE_showcase");

/// Names the directory whose `proc` and `sys` tell the master how short memory is.
const PRESSURE_ROOT: &str = "HATCHERY_PRESSURE_ROOT";

/// How long a stopped pool may take until its last process is gone.
const GONE_LIMIT: Duration = Duration::from_secs(3);

/// What a pool is to be.
pub(crate) struct Builder {
    settings: BTreeMap<String, Value>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    group: Option<PathBuf>,
    port: u16,
}

/// A running application and its directory.
pub(crate) struct Pool {
    directory: TempDir,
    settings: BTreeMap<String, Value>,
    environment: Vec<(String, String)>,
    group: Option<PathBuf>,
    port: u16,
    master: Option<Child>,
    output: Output,
}

impl Builder {
    pub(crate) fn new() -> Self {
        let port = free_port();
        let mut settings = BTreeMap::new();
        for (key, value) in [
            ("cluster.workers", json!(4)),
            ("cluster.min_ready", json!("100ms")),
            ("cluster.idle_grace", json!("1s")),
            ("cluster.drain_timeout", json!("10s")),
            // Far above what a busy machine does to an innocent worker.
            ("cluster.suspect_after", json!("5s")),
            ("cluster.hang_timeout", json!("20s")),
            ("listen.addresses", json!([format!("127.0.0.1:{port}")])),
            ("showcase.faults", json!(true)),
        ] {
            settings.insert(key.to_owned(), value);
        }
        Self {
            settings,
            arguments: Vec::new(),
            environment: Vec::new(),
            group: None,
            port,
        }
    }

    /// Sets a key of the configuration, with dots.
    pub(crate) fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.settings.insert(key.to_owned(), value.into());
        self
    }

    /// Leaves a key to the framework's default.
    pub(crate) fn unset(mut self, key: &str) -> Self {
        self.settings.remove(key);
        self
    }

    pub(crate) fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    pub(crate) fn variable(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Starts the master in a control group, and lets it see the machine's memory.
    pub(crate) fn group(mut self, group: &Group) -> Self {
        self.group = Some(group.procs());
        self.variable(PRESSURE_ROOT, "/")
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Makes the directory: configuration and a copy of the binary.
    pub(crate) fn prepare(self) -> (Pool, Vec<String>) {
        let directory = tempfile::Builder::new()
            .prefix("showcase-")
            .tempdir()
            .expect("a temporary directory");
        let pool = Pool {
            directory,
            settings: self.settings,
            environment: self.environment,
            group: self.group,
            port: self.port,
            master: None,
            output: Output::default(),
        };
        fs::create_dir_all(pool.base().join("config")).expect("the directory is writable");
        fs::create_dir(pool.base().join("user")).expect("the directory is writable");
        let private = fs::Permissions::from_mode(0o700);
        fs::set_permissions(pool.base().join("user"), private).expect("it is ours");
        pool.write_settings();
        copy_executable(Path::new(BUILT), &pool.binary());
        (pool, self.arguments)
    }

    /// Starts the master and does not wait for anything.
    pub(crate) fn launch(self) -> Pool {
        let (mut pool, arguments) = self.prepare();
        pool.launch(&arguments);
        pool
    }

    /// Starts a pool and waits until it is whole.
    pub(crate) fn start(self) -> Pool {
        let mut pool = self.launch();
        pool.wait_started();
        pool
    }

    /// Runs the master until it ends by itself, which it must do within `limit`, leaving nothing.
    #[track_caller]
    pub(crate) fn run(self, limit: Duration) -> Ended {
        let (pool, arguments) = self.prepare();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let ended = pool.command(&arguments, limit);
        pool.assert_gone();
        ended
    }
}

impl Pool {
    /// A pool of the default kind.
    pub(crate) fn start() -> Self {
        Builder::new().start()
    }

    // ---- where things are

    pub(crate) fn base(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn run_dir(&self) -> PathBuf {
        self.base().join("run")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.run_dir().join("showcase.sock")
    }

    /// The binary on disk, from which this pool was started.
    pub(crate) fn binary(&self) -> PathBuf {
        self.base().join("showcase")
    }

    /// Where the master reads how short memory is, instead of `/`.
    pub(crate) fn pressure_root(&self) -> PathBuf {
        self.base().join("pressure")
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn target(&self) -> Target {
        Target::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)))
    }

    pub(crate) fn output(&self) -> &Output {
        &self.output
    }

    // ---- what is on disk

    /// Changes a key of the configuration on disk.
    pub(crate) fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.settings.insert(key.to_owned(), value.into());
        self.write_settings();
    }

    /// Takes a key out of the configuration on disk.
    pub(crate) fn unset(&mut self, key: &str) {
        self.settings.remove(key);
        self.write_settings();
    }

    fn write_settings(&self) {
        // JSON's scalars and arrays of them are TOML's too.
        let lines = self.settings.iter();
        let lines: Vec<String> = lines
            .map(|(key, value)| format!("{key} = {value}"))
            .collect();
        let text = lines.join("\n");
        let path = self.base().join("config/config.default.toml");
        fs::write(path, text).expect("the directory is writable");
    }

    /// Puts another file in the place of the binary, as an installer does: the old one lives on
    /// without a name.
    pub(crate) fn replace_binary(&self, contents: &[u8]) {
        let source = self.base().join("showcase.source");
        fs::write(&source, contents).expect("the directory is writable");
        let new = self.base().join("showcase.new");
        copy_executable(&source, &new);
        fs::rename(new, self.binary()).expect("the directory is writable");
    }

    /// Puts a different binary of the same behaviour in the place of the binary.
    pub(crate) fn replace_binary_by_twin(&self) {
        let mut contents = fs::read(BUILT).expect("the built binary can be read");
        contents.extend(b"\nThe loader does not read this far.\n");
        self.replace_binary(&contents);
    }

    // ---- the master

    /// Changes a variable of the environment of what is started next.
    pub(crate) fn set_variable(&mut self, name: &str, value: &str) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Starts the master in the foreground.
    pub(crate) fn launch(&mut self, arguments: &[String]) {
        let command = match &self.group {
            None => self.bare_command(),
            Some(group) => {
                let mut shell = Command::new("sh");
                self.clean(&mut shell);
                let script = r#"echo $$ >"$0" && exec "$@""#;
                shell.args(["-c", script]).arg(group).arg(self.binary());
                shell.current_dir(self.base());
                shell
            }
        };
        self.launch_with(command, arguments);
    }

    /// Starts the master by a Python program that executes it; `prepare` says which.
    pub(crate) fn launch_by(&mut self, arguments: &[String], prepare: impl FnOnce(&mut Command)) {
        let mut command = Command::new("python3");
        self.clean(&mut command);
        command.current_dir(self.base());
        prepare(&mut command);
        self.launch_with(command, arguments);
    }

    fn launch_with(&mut self, mut command: Command, arguments: &[String]) {
        command.arg("start").arg("--base-dir").arg(self.base());
        let mut child = command
            .args(arguments)
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
    pub(crate) fn wait_started(&mut self) -> Status {
        wait_for("the pool is up", SOON, || {
            let master = self.master.as_mut().expect("it was launched");
            if let Some(status) = master.try_wait().expect("it is our child") {
                panic!("the master ended with {status}");
            }
            let status = self.try_status()?;
            status.is_whole(status.workers_wanted).then_some(status)
        })
    }

    pub(crate) fn master(&self) -> Process {
        let child = self.master.as_ref().expect("it was launched");
        Process::of(child.id()).expect("it is not reaped yet")
    }

    /// Waits for the master to end by itself and reaps it.
    #[track_caller]
    pub(crate) fn wait_master(&mut self, limit: Duration) -> ExitStatus {
        let mut child = self.master.take().expect("it was launched");
        wait_for("the master ends", limit, || {
            child.try_wait().expect("it is our child")
        })
    }

    /// Whether the master still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        let child = self.master.as_mut().expect("it was launched");
        child.try_wait().expect("it is our child").is_none()
    }

    // ---- what it says

    pub(crate) fn try_status(&self) -> Option<Status> {
        Control::connect(&self.socket()).ok()?.status().ok()
    }

    #[track_caller]
    pub(crate) fn status(&self) -> Status {
        wait_for("a status", SOON, || self.try_status())
    }

    /// The loss ledger of `status --json`.
    #[track_caller]
    pub(crate) fn losses(&self) -> Value {
        let text = self.cli_ok(&["status", "--json"]).stdout;
        let status: Value = serde_json::from_str(&text).expect("status is JSON");
        status["losses"].clone()
    }

    /// Waits until the status is as `probe` wants it.
    #[track_caller]
    pub(crate) fn wait_status(
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
    pub(crate) fn wait_whole(&self, limit: Duration) -> Status {
        self.wait_status("the pool is whole", limit, |status| {
            status.is_whole(status.workers_wanted)
        })
    }

    pub(crate) fn watch(&self) -> Watch {
        Watch::start(self.socket())
    }

    // ---- clients

    /// One request on a connection of its own, which must be answered.
    #[track_caller]
    pub(crate) fn ask(&self, request: &Request) -> Response {
        self.try_ask(request)
            .unwrap_or_else(|failure| panic!("{}: {failure}", request.path))
    }

    pub(crate) fn try_ask(&self, request: &Request) -> Result<Response, Failure> {
        ask(&self.target(), request, REQUEST_LIMIT)
    }

    // ---- the command line

    /// A verb of the command line for this pool, waited for.
    #[track_caller]
    pub(crate) fn cli(&self, arguments: &[&str]) -> Ended {
        let mut command = Command::new(BUILT);
        self.clean(&mut command);
        command.args(arguments);
        if arguments[0] != "list" {
            command.arg("--run-dir").arg(self.run_dir());
        }
        finish(command, Duration::from_secs(90))
    }

    /// A verb that must succeed.
    #[track_caller]
    pub(crate) fn cli_ok(&self, arguments: &[&str]) -> Ended {
        let ended = self.cli(arguments);
        assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
        ended
    }

    /// Runs this pool's binary on its directory, until it ends by itself.
    #[track_caller]
    pub(crate) fn command(&self, arguments: &[&str], limit: Duration) -> Ended {
        let mut command = self.bare_command();
        command.args(arguments).arg("--base-dir").arg(self.base());
        finish(command, limit)
    }

    /// This pool's binary with nothing but the environment of this pool.
    pub(crate) fn bare_command(&self) -> Command {
        let mut command = Command::new(self.binary());
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
    pub(crate) fn processes(&self) -> BTreeSet<Process> {
        Process::running_from(self.base())
            .into_iter()
            .filter(|process| process.is_alive())
            .collect()
    }

    /// Waits until no process is left.
    #[track_caller]
    pub(crate) fn assert_gone(&self) {
        wait_until("every process is gone", GONE_LIMIT, || {
            self.processes().is_empty()
        });
    }

    /// Stops the pool politely; the master must end with code 0 and leave nothing.
    #[track_caller]
    pub(crate) fn stop(&mut self) {
        self.master().signal(Signal::TERM);
        let status = self.wait_master(SOON);
        assert_eq!(status.code(), Some(0), "the master's end: {status}");
        self.assert_gone();
    }
}

impl Drop for Pool {
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
