//! The application as its own code sees it, in whichever process it runs.

use std::sync::{Arc, OnceLock};

use serde::de::DeserializeOwned;

use crate::config::{Config, ConfigError};
use crate::loader::Parts;
use crate::router::RouteTable;
use crate::runtime::{Moment, Moments};
use crate::state::State;
use crate::{MemoryPressure, Package};

/// Which process this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Background work that exists once; serves no clients.
    Agent,
    /// Serves clients from a slot.
    Worker,
    /// Everything in one process (`--single`).
    Single,
    /// Only looked into, by `--check`: it is built and serves nobody.
    Check,
}

/// The names of this process in the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// What it is there for.
    pub role: Role,
    /// The worker's place in the pool, `0..workers`; a replacement keeps it. `None` for the agent,
    /// and for a spare until it is given one: who keeps the slot asks for it when it is needed.
    pub slot: Option<u32>,
    /// Unique for the life of the master; 0 with `--single`.
    pub instance: u64,
    /// The release and configuration that it runs; a reload makes a new one. 0 with `--single`.
    pub generation: u64,
    /// Workers in the pool when this process was started.
    pub workers: u32,
}

impl Identity {
    /// How the files are called that this process leaves in the run directory. One process of each
    /// kind writes them.
    pub(crate) fn file(&self) -> Option<&'static str> {
        match self.role {
            Role::Agent => Some("agent"),
            Role::Single => Some("application"),
            Role::Worker => (self.slot == Some(0)).then_some("application"),
            Role::Check => None,
        }
    }
}

/// The running application: its name, environment and configuration. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Application {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    package: Package,
    env: String,
    identity: Identity,
    config: Config,
    moments: Moments,
    /// Once the router is made.
    routes: OnceLock<Arc<RouteTable>>,
    parts: Parts,
    state: State,
}

impl Application {
    pub(crate) fn new(
        package: Package,
        env: String,
        identity: Identity,
        config: Config,
        moments: Moments,
    ) -> Self {
        let state = State::new(&env, &config);
        Self {
            inner: Arc::new(Inner {
                package,
                env,
                identity,
                config,
                moments,
                routes: OnceLock::new(),
                parts: Parts::default(),
                state,
            }),
        }
    }

    /// The application's name.
    pub fn name(&self) -> &str {
        self.inner.package.name
    }

    /// The application's version.
    pub fn version(&self) -> &str {
        self.inner.package.version
    }

    /// The environment's name: `local`, `prod`, … Resolved once by the master.
    pub fn env(&self) -> &str {
        &self.inner.env
    }

    /// Which process of the pool this is.
    pub fn identity(&self) -> Identity {
        let slot = self.inner.identity.slot;
        Identity {
            slot: slot.or_else(|| self.inner.moments.slot.get().copied()),
            ..self.inner.identity
        }
    }

    /// One table of the effective configuration, as a type of the application's. Missing keys take
    /// the type's defaults (`#[serde(default)]`).
    ///
    /// # Errors
    ///
    /// A key that the type does not know, or a value that does not fit.
    pub fn section<T: DeserializeOwned>(&self, name: &str) -> Result<T, ConfigError> {
        self.inner.config.section(name)
    }

    #[cfg(feature = "session")]
    pub(crate) fn package(&self) -> Package {
        self.inner.package
    }

    pub(crate) fn config(&self) -> &Config {
        &self.inner.config
    }

    pub(crate) fn parts(&self) -> &Parts {
        &self.inner.parts
    }

    /// This process is to end, if nobody has said so yet.
    pub(crate) fn end(&self) {
        self.inner.moments.end();
    }

    pub(crate) fn state(&self) -> &State {
        &self.inner.state
    }

    /// Comes when this process is to end: what goes on must be done within `drain_timeout`.
    pub fn shutdown(&self) -> &Moment {
        &self.inner.moments.shutdown
    }

    /// When connections are cut, once this process drains.
    #[cfg(feature = "websocket")]
    pub(crate) fn drain_ends(&self) -> Option<std::time::Instant> {
        *self.inner.moments.drain_ends.borrow()
    }

    /// Comes when the agent and all workers are ready (and so is this process, always). Comes in
    /// a replacement, too.
    pub fn server_did_ready(&self) -> &Moment {
        &self.inner.moments.server_did_ready
    }

    /// How short memory is: what tells an application to trim its caches.
    pub fn memory_pressure(&self) -> MemoryPressure {
        self.inner.moments.pressure.clone()
    }

    /// The routes, once the router is made.
    pub(crate) fn routes(&self) -> Option<&RouteTable> {
        self.inner.routes.get().map(Arc::as_ref)
    }

    pub(crate) fn set_routes(&self, routes: Arc<RouteTable>) {
        // It is made once.
        let _ = self.inner.routes.set(routes);
    }
}
