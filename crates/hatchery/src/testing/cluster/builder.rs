//! What a pool is to be.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::settings::Settings;
use super::{Cluster, PRESSURE_ROOT};
use crate::testing::command::{Ended, copy_executable};
use crate::testing::free_port;
use crate::testing::output::Output;

/// Directories of an application that are more than its configuration and belong to it.
const CARRIED: [&str; 3] = ["config", "static", "view"];

/// What a pool is to be; made by [`Cluster::of`].
#[must_use = "nothing is started yet"]
#[derive(Debug)]
pub struct ClusterBuilder {
    executable: PathBuf,
    name: String,
    env: String,
    files: Option<PathBuf>,
    settings: Settings,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    group: Option<PathBuf>,
    port: u16,
}

impl ClusterBuilder {
    pub(super) fn new(executable: &Path) -> Self {
        let port = free_port();
        let mut settings = Settings::default();
        for (key, value) in [
            ("cluster.workers", json!(2)),
            ("cluster.min_ready", json!("100ms")),
            ("cluster.idle_grace", json!("1s")),
            ("cluster.drain_timeout", json!("10s")),
            // Far above what a busy machine does to an innocent worker.
            ("cluster.suspect_after", json!("5s")),
            ("cluster.hang_timeout", json!("20s")),
            ("listen.addresses", json!([format!("127.0.0.1:{port}")])),
        ] {
            settings.set(key, value);
        }
        let name = executable.file_stem().unwrap_or_default();
        Self {
            executable: executable.to_owned(),
            name: name.to_string_lossy().into_owned(),
            env: "unittest".to_owned(),
            files: None,
            settings,
            arguments: Vec::new(),
            environment: Vec::new(),
            group: None,
            port,
        }
    }

    /// The application's name, when the executable has another.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The environment; `unittest` unless this says otherwise. With `""` nothing is said about it,
    /// so that the application's own rules count.
    pub fn env(mut self, name: impl Into<String>) -> Self {
        self.env = name.into();
        self
    }

    /// Begins with a copy of the application's own files: `config`, `static` and `view` below
    /// `directory`, which usually is `env!("CARGO_MANIFEST_DIR")`.
    pub fn files(mut self, directory: impl Into<PathBuf>) -> Self {
        self.files = Some(directory.into());
        self
    }

    /// Lays tables of the configuration over the application's; `toml` is what a file would have.
    #[track_caller]
    pub fn config(mut self, toml: &str) -> Self {
        self.settings.merge(toml);
        self
    }

    /// Sets a key of the configuration, with dots.
    pub fn set(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.settings.set(key, value);
        self
    }

    /// Leaves a key to the application's files and the framework's default.
    pub fn unset(mut self, key: &str) -> Self {
        self.settings.unset(key);
        self
    }

    /// How many workers; 2 unless this says otherwise.
    pub fn workers(self, workers: u32) -> Self {
        self.set("cluster.workers", workers)
    }

    /// Adds an argument to `start`.
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Sets a variable of the environment, which has nothing else but `PATH`.
    pub fn variable(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Starts the master in the control group whose `cgroup.procs` this is, and lets it see the
    /// machine's memory.
    pub fn control_group(mut self, procs: impl Into<PathBuf>) -> Self {
        self.group = Some(procs.into());
        self.variable(PRESSURE_ROOT, "/")
    }

    /// The port that it will be served on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Makes the directory with configuration and a copy of the executable, and starts nothing:
    /// see [`Cluster::launch`].
    pub fn prepare(self) -> Cluster {
        let directory = tempfile::Builder::new()
            .prefix(&format!("{}-", self.name))
            .tempdir()
            .expect("a temporary directory");
        let base = directory.path();
        fs::create_dir(base.join("user")).expect("the directory is writable");
        let private = fs::Permissions::from_mode(0o700);
        fs::set_permissions(base.join("user"), private).expect("it is ours");
        if let Some(files) = &self.files {
            for name in CARRIED {
                copy_tree(&files.join(name), &base.join(name));
            }
        }
        fs::create_dir_all(base.join("config")).expect("the directory is writable");
        let mut layer = "default";
        if !self.env.is_empty() {
            layer = &self.env;
            fs::write(base.join("config/env"), layer).expect("the directory is writable");
        }
        let layer = base.join(format!("config/config.{layer}.toml"));
        let pool = Cluster {
            original: fs::read_to_string(&layer).ok(),
            layer,
            built: self.executable,
            name: self.name,
            settings: self.settings,
            arguments: self.arguments,
            environment: self.environment,
            group: self.group,
            port: self.port,
            master: None,
            output: Output::default(),
            directory,
        };
        pool.write_settings();
        copy_executable(&pool.built, &pool.executable());
        pool
    }

    /// Starts the master and does not wait for anything.
    pub fn launch(self) -> Cluster {
        let mut pool = self.prepare();
        pool.launch();
        pool
    }

    /// Starts a pool and waits until it is whole.
    #[track_caller]
    pub fn start(self) -> Cluster {
        let mut pool = self.launch();
        pool.wait_started();
        pool
    }

    /// Runs the master until it ends by itself, which it must do within `limit`, leaving nothing.
    #[track_caller]
    pub fn run(self, limit: Duration) -> Ended {
        let pool = self.prepare();
        let arguments: Vec<&str> = pool.arguments.iter().map(String::as_str).collect();
        let ended = pool.command(&arguments, limit);
        pool.assert_gone();
        ended
    }
}

/// Copies files and directories; nothing when there is nothing.
fn copy_tree(from: &Path, to: &Path) {
    let Ok(entries) = fs::read_dir(from) else {
        return;
    };
    fs::create_dir_all(to).expect("the directory is writable");
    for entry in entries {
        let entry = entry.expect("the directory can be read");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("the file can be copied");
        }
    }
}
