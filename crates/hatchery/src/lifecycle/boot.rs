//! The hooks.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use crate::config::Config;
use crate::{Application, BoxError};

/// In which processes hooks run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootRole {
    /// In every worker.
    Application,
    /// In the agent.
    Agent,
    /// In every worker and in the agent.
    Both,
}

/// Hooks into the life of a process, in the order in which they run.
///
/// Units run in load order (plugins, framework, application). The two synchronous hooks run one
/// after the other; each asynchronous phase runs concurrently over all units and ends before the
/// next one begins. `before_close` runs in reverse order.
///
/// All run on the thread that serves (the first one, where there are several), so that they may
/// spawn tasks, and must not block. A hook that takes longer than `boot.ready_timeout` is named in
/// the log and goes on. Every step of a start is in `run/application_timing.json` and
/// `run/agent_timing.json`, and in the environment `local` on the page `/__loader_trace__`.
///
/// ```
/// use hatchery::{Application, Boot, BootRole, BoxError};
///
/// struct Greeting;
///
/// impl Boot for Greeting {
///     async fn did_load(&self, app: &Application) -> Result<(), BoxError> {
///         println!("{} starts in {}", app.name(), app.env());
///         Ok(())
///     }
/// }
///
/// # fn app() -> hatchery::App {
/// hatchery::App::new(hatchery::package!()).boot(BootRole::Application, Greeting)
/// # }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no lifecycle hooks",
    label = "this needs an `impl hatchery::Boot`",
    note = "`impl hatchery::Boot for {Self} {{}}` has all hooks, and each of them does nothing"
)]
#[expect(unused_variables, reason = "the names are documentation")]
pub trait Boot: Send + Sync + 'static {
    /// Configuration from elsewhere: a table that is laid over the files, below variables and
    /// flags. An error, or no end within `boot.config_timeout`, ends the start. It runs in each
    /// process, and (alone of the asynchronous ones) in `--check`, too.
    fn load_config(
        &self,
        config: &Config,
    ) -> impl Future<Output = Result<Option<serde_json::Value>, BoxError>> {
        async { Ok(None) }
    }

    /// The last moment at which the configuration may change.
    fn config_will_load(&self, config: &mut Config) -> Result<(), BoxError> {
        Ok(())
    }

    /// The configuration is final; nothing is loaded yet.
    fn config_did_load(&self, app: &Application) -> Result<(), BoxError> {
        Ok(())
    }

    /// Everything is loaded: services, middleware, controllers, router. Open connections here. An
    /// error ends the start.
    fn did_load(&self, app: &Application) -> impl Future<Output = Result<(), BoxError>> {
        async { Ok(()) }
    }

    /// All units' `did_load` are done. An error ends the start.
    fn will_ready(&self, app: &Application) -> impl Future<Output = Result<(), BoxError>> {
        async { Ok(()) }
    }

    /// This process is ready. An error is an `error` event; the process goes on.
    fn did_ready(&self, app: &Application) -> impl Future<Output = Result<(), BoxError>> {
        async { Ok(()) }
    }

    /// Agent and all workers are ready, this one included; once in each process, replacements too.
    /// An error is an `error` event. It never runs before this process's own `did_ready` is done.
    fn server_did_ready(&self, app: &Application) -> impl Future<Output = Result<(), BoxError>> {
        async { Ok(()) }
    }

    /// The process is to end: its requests are answered, its background work is done. Runs after a
    /// start that has failed or was stopped, too, where `did_load` was begun. All together have
    /// `boot.close_timeout`, and what is left of `cluster.drain_timeout` (while it starts,
    /// `cluster.abort_grace`).
    fn before_close(&self, app: &Application) -> impl Future<Output = Result<(), BoxError>> {
        async { Ok(()) }
    }
}

type Step<'a, T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + 'a>>;

/// [`Boot`] as an object.
#[doc(hidden)]
pub trait ErasedBoot: Send + Sync {
    fn type_name(&self) -> &'static str;
    fn load_config<'a>(&'a self, config: &'a Config) -> Step<'a, Option<serde_json::Value>>;
    fn config_will_load(&self, config: &mut Config) -> Result<(), BoxError>;
    fn config_did_load(&self, app: &Application) -> Result<(), BoxError>;
    fn did_load<'a>(&'a self, app: &'a Application) -> Step<'a, ()>;
    fn will_ready<'a>(&'a self, app: &'a Application) -> Step<'a, ()>;
    fn did_ready<'a>(&'a self, app: &'a Application) -> Step<'a, ()>;
    fn server_did_ready<'a>(&'a self, app: &'a Application) -> Step<'a, ()>;
    fn before_close<'a>(&'a self, app: &'a Application) -> Step<'a, ()>;
}

impl<B: Boot> ErasedBoot for B {
    fn type_name(&self) -> &'static str {
        std::any::type_name::<B>()
    }

    fn load_config<'a>(&'a self, config: &'a Config) -> Step<'a, Option<serde_json::Value>> {
        Box::pin(Boot::load_config(self, config))
    }

    fn config_will_load(&self, config: &mut Config) -> Result<(), BoxError> {
        Boot::config_will_load(self, config)
    }

    fn config_did_load(&self, app: &Application) -> Result<(), BoxError> {
        Boot::config_did_load(self, app)
    }

    fn did_load<'a>(&'a self, app: &'a Application) -> Step<'a, ()> {
        Box::pin(Boot::did_load(self, app))
    }

    fn will_ready<'a>(&'a self, app: &'a Application) -> Step<'a, ()> {
        Box::pin(Boot::will_ready(self, app))
    }

    fn did_ready<'a>(&'a self, app: &'a Application) -> Step<'a, ()> {
        Box::pin(Boot::did_ready(self, app))
    }

    fn server_did_ready<'a>(&'a self, app: &'a Application) -> Step<'a, ()> {
        Box::pin(Boot::server_did_ready(self, app))
    }

    fn before_close<'a>(&'a self, app: &'a Application) -> Step<'a, ()> {
        Box::pin(Boot::before_close(self, app))
    }
}

impl fmt::Debug for dyn ErasedBoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.type_name())
    }
}
