//! The application's entry point: what it is made of, and the role that this process plays.

use std::future::Future;
use std::process::ExitCode;

use axum::Router;
use serde::de::DeserializeOwned;

use crate::config::{Config, ConfigError, sections};
use crate::lifecycle::{Boot, BootRole};
use crate::loader::units::Units;
use crate::loader::{Framework, Plugin};
use crate::runtime::Hook;
use crate::{Application, BoxError, Package, child, cli, symbolise};

/// Makes the router, once in each worker.
pub(crate) type BuildRouter = Box<dyn FnOnce(&Application) -> Result<Router, BoxError> + Send>;

/// The agent's background work.
pub(crate) type AgentHook = Box<dyn FnOnce(Application) -> Hook + Send>;

/// A service and everything that runs it: master, agent, workers and command line in one
/// executable.
///
/// ```no_run
/// use std::process::ExitCode;
///
/// use hatchery::routing::get;
/// use hatchery::{App, Application, BoxError, Router};
///
/// fn routes(_: &Application) -> Result<Router, BoxError> {
///     Ok(Router::new().route("/hello", get(async || "Hello")))
/// }
///
/// fn main() -> ExitCode {
///     App::new(hatchery::package!()).router(routes).run()
/// }
/// ```
#[must_use = "an application does nothing until it is run"]
pub struct App {
    pub(crate) package: Package,
    pub(crate) units: Units,
    pub(crate) router: Option<BuildRouter>,
    pub(crate) agent: Option<AgentHook>,
    pub(crate) pretences: Vec<Pretence>,
}

/// What a build can play that it is not, so that replacements between releases can be tested with
/// one source.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pretence {
    /// It speaks no newer version of the child protocol.
    Protocol(u8),
    /// It does not know `--check-state`.
    KnowsNoState,
    /// It reads a master's state when it is asked, and cannot take over then.
    CannotResume,
}

impl App {
    /// An application that answers every request with 404. `package` is
    /// [`hatchery::package!()`](crate::package!).
    pub fn new(package: Package) -> Self {
        Self {
            package,
            units: Units::new(package),
            router: None,
            agent: None,
            pretences: Vec::new(),
        }
    }

    /// For tests.
    #[doc(hidden)]
    pub fn pretend(mut self, pretence: Pretence) -> Self {
        self.pretences.push(pretence);
        self
    }

    /// Declares a table of the configuration, by the type that reads it. It is checked at start and
    /// by `--check`; a table that nobody declares is an error.
    pub fn section<T: DeserializeOwned>(mut self, name: &'static str) -> Self {
        self.units.application(|unit| unit.section::<T>(name));
        self
    }

    /// Takes a plugin. Whether it is enabled, `config/plugin.toml` says, else the plugin itself.
    pub fn plugin(mut self, plugin: impl Plugin) -> Self {
        self.units.add_plugin(plugin.unit());
        self
    }

    /// Builds on a framework: its plugins, defaults, hooks and middleware come before the
    /// application's own. A framework names the one that it builds on itself; an application has one.
    pub fn framework(mut self, framework: impl Framework) -> Self {
        self.units.set_framework(framework.unit());
        self
    }

    /// Lifecycle hooks of the application, in the processes of `role`; `#[hatchery::boot(…)]` on a
    /// type does the same where the type is.
    #[track_caller]
    pub fn boot<B: Boot>(mut self, role: BootRole, boot: B) -> Self {
        self.units.boot(role, boot);
        self
    }

    /// What workers serve. `build` runs once in each worker, before it is ready; an error ends the
    /// worker with that reason. It runs in `--check`, too, and so before every reload; what such a
    /// look must not do is behind [`Application::identity`]'s role.
    ///
    /// Where there is more (plugins, middleware, annotated items), this router comes after all other
    /// routes: it answers what they do not.
    pub fn router<F>(mut self, build: F) -> Self
    where
        F: FnOnce(&Application) -> Result<Router, BoxError> + Send + 'static,
    {
        self.router = Some(Box::new(build));
        self
    }

    /// What the agent does. It is ready once the hook has run up to its first wait; an error before
    /// that is a failed start, a later one ends the agent with that reason. When the hook returns
    /// `Ok`, the agent stays. When it is to stop, [`Application::shutdown`] comes, and the hook has
    /// `drain_timeout` to return.
    pub fn agent<F, Fut>(mut self, hook: F) -> Self
    where
        F: FnOnce(Application) -> Fut + Send + 'static,
        Fut: Future<Output = Result<(), BoxError>> + 'static,
    {
        self.agent = Some(Box::new(|app| Box::pin(hook(app))));
        self
    }

    /// Plays this process's role: the command line unless the master started it as agent or
    /// worker. The exit code is the contract's: 0 done, 1 failed, 2 usage.
    pub fn run(self) -> ExitCode {
        for pretence in &self.pretences {
            if let Pretence::Protocol(version) = *pretence {
                hatchery_ipc::child::speak_at_most(version);
            }
        }
        // Before any code of the application's: it is to be quick, and happens after crashes.
        if let Some(code) = symbolise::asked() {
            return code;
        }
        match child::play(self) {
            Ok(code) => code,
            Err(app) => cli::run(*app),
        }
    }

    /// Checks that every table is known, and what is in it.
    pub(crate) fn check_sections(&self, config: &Config) -> Result<(), ConfigError> {
        sections::check(config, &self.units.sections(config))
    }
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App")
            .field("package", &self.package)
            .finish_non_exhaustive()
    }
}
