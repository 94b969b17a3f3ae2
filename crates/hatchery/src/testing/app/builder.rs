//! How an application is started in a test.

use std::fmt;
use std::path::PathBuf;
use std::time::SystemTime;

use serde_json::Value;
use toml::Table;

use super::TestApp;
use super::host::Host;
use crate::config::{Override, Sources};
use crate::{App, Application, Context, Service};

/// What problems of the configuration show as the place of what a test has set.
const PLACE: &str = "TestApp::config";

/// Something that is done between the loading and the first `did_load`.
pub(super) type Mock = Box<dyn FnOnce(&Application) + Send>;

/// How an application is started in a test; made by [`TestApp::new`].
#[must_use = "nothing is started yet"]
pub struct TestAppBuilder {
    app: App,
    base_dir: PathBuf,
    env: String,
    overrides: Vec<Override>,
    mocks: Vec<Mock>,
}

impl TestAppBuilder {
    pub(super) fn new(app: App) -> Self {
        Self {
            base_dir: PathBuf::from(app.package.manifest_dir),
            app,
            env: "unittest".to_owned(),
            overrides: Vec::new(),
            mocks: Vec::new(),
        }
    }

    /// The environment; `unittest` unless this says otherwise. What the test's own environment says
    /// does not count.
    pub fn env(mut self, name: impl Into<String>) -> Self {
        self.env = name.into();
        self
    }

    /// The directory that `config` is in, unless it is that of the application's crate.
    pub fn base_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.base_dir = directory.into();
        self
    }

    /// Lays tables of the configuration over the application's files; `toml` is what a file would
    /// have.
    #[track_caller]
    pub fn config(mut self, toml: &str) -> Self {
        let table: Table = toml
            .parse()
            .unwrap_or_else(|error| panic!("not TOML: {error}"));
        for (key, value) in table {
            let value = serde_json::to_value(value).expect("TOML is JSON, too");
            self = self.mock_config(&key, value);
        }
        self
    }

    /// Sets one key of the configuration, with dots.
    pub fn mock_config(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.overrides.push(Override {
            key: key.to_owned(),
            value: value.into(),
            flag: PLACE.to_owned(),
        });
        self
    }

    /// Lets `ctx.service::<S>()` give what `make` makes. From the first `did_load` on.
    pub fn mock_service<S: Service>(
        self,
        make: impl Fn(&Context) -> S + Send + Sync + 'static,
    ) -> Self {
        self.before_did_load(|app| app.mock_service(make))
    }

    /// Who asks, in all requests that do not say it themselves.
    pub fn mock_user<U: Send + Sync + 'static>(self, user: U) -> Self {
        self.before_did_load(|app| app.mock_user(user))
    }

    /// What is in the session of all requests that bring none: a struct or a map. From the first
    /// `did_load` on.
    #[cfg(feature = "session")]
    #[track_caller]
    pub fn mock_session(self, values: impl serde::Serialize) -> Self {
        let values = session_values(values);
        self.before_did_load(|app| app.mock_session(values))
    }

    /// Lets `app.clock()` stand still at `now`, until it is advanced. From the first `did_load` on.
    pub fn mock_clock(self, now: SystemTime) -> Self {
        self.before_did_load(move |app| app.clock().mock(now))
    }

    /// Does something with the application that is loaded, before the first `did_load`: give it
    /// what its hooks would connect to.
    pub fn before_did_load(mut self, act: impl FnOnce(&Application) + Send + 'static) -> Self {
        self.mocks.push(Box::new(act));
        self
    }

    /// Starts it: everything from the configuration to `will_ready`. As a worker it takes requests
    /// then; [`TestApp::hooks_finished`] waits for the hooks that follow.
    ///
    /// # Errors
    ///
    /// Those of a start, with the text that the command line would have.
    pub async fn start(self) -> Result<TestApp, StartError> {
        let sources = Sources {
            base_dir: self.base_dir,
            env: Some(self.env),
            flags: self.overrides,
            ..Sources::default()
        };
        let (app, host) = Host::start(self.app, sources, self.mocks)
            .await
            .map_err(StartError)?;
        Ok(TestApp { app, host })
    }
}

/// What a test wants in a session.
#[cfg(feature = "session")]
#[track_caller]
pub(super) fn session_values(values: impl serde::Serialize) -> serde_json::Map<String, Value> {
    let values = serde_json::to_value(values).expect("it can be written as JSON");
    let Value::Object(values) = values else {
        panic!("a session has keys and values: give it a struct or a map, not {values}");
    };
    if let Some(key) = values.keys().find(|key| key.starts_with('_')) {
        panic!("the session's key `{key}` is reserved: begin it without `_`");
    }
    values
}

impl fmt::Debug for TestAppBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestAppBuilder")
            .field("app", &self.app)
            .field("env", &self.env)
            .field("overrides", &self.overrides)
            .finish_non_exhaustive()
    }
}

/// Why an application did not start in a test.
#[derive(Clone, PartialEq, Eq)]
pub struct StartError(String);

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot start: {}", self.0)
    }
}

/// As people read it: this is what a test that unwraps shows.
impl fmt::Debug for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for StartError {}
