//! One process's start: from the parts of an application to what serves and what has hooks.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hatchery_master::settings::Cluster;
use serde_json::Value as Json;

use super::custom;
use super::extend::Extensions;
use super::load_order::LoadOrder;
use super::registry::{Item, Registration};
use super::unit::Unit;
use crate::app::{AgentHook, App, BuildRouter};
use crate::application::{Identity, Role};
use crate::config::{Config, dump, sections};
use crate::context::Entry;
use crate::lifecycle::{Hooks, Life, Timing, trace_page, unless_ended};
use crate::middleware::Chain;
use crate::runtime::{Hook, Moments};
use crate::serve::{Endpoint, Limits};
use crate::{Application, BoxError, Routes};

/// What a process begins with.
#[derive(Debug)]
pub(crate) struct Seed {
    pub(crate) identity: Identity,
    /// The files, variables and flags.
    pub(crate) config: Config,
    pub(crate) moments: Moments,
    /// Where it writes what it has loaded; `None`: nowhere.
    pub(crate) run_dir: Option<PathBuf>,
    pub(crate) timing: Timing,
}

/// An application that is loaded: it has not begun yet.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) app: Application,
    pub(crate) endpoint: Endpoint,
    pub(crate) limits: Limits,
    hooks: Hooks,
    agent: Option<Hidden>,
    run_dir: Option<PathBuf>,
    timing: Timing,
    drain_timeout: Duration,
}

/// The closure of `App::agent`.
struct Hidden(AgentHook);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("agent hook")
    }
}

/// Loads the application: the configuration's hooks, then everything up to the router.
pub(crate) async fn load(app: App, seed: Seed) -> Result<Loaded, BoxError> {
    let Seed {
        identity,
        mut config,
        moments,
        run_dir,
        timing,
    } = seed;
    let role = identity.role;
    let package = app.package;
    let (router, agent) = (app.router, app.agent);
    let declared = app.units.sections(&config);
    let (order, absent) = app.units.split(&config);
    let mut order = LoadOrder::new(order, &absent, Registration::all())?;
    let mut hooks = Hooks::collect(&mut order, role, &timing)?;
    let before = config.clone();
    unless_ended(&moments.shutdown, hooks.load_config(&mut config)).await?;
    hooks.config_will_load(&mut config)?;
    unchanged(&before, &config)?;
    sections::check(&config, &declared)?;
    let limits = crate::config::limits(&config)?;
    if let (Some(run_dir), Some(name)) = (&run_dir, identity.file()) {
        // Again when it is ready: a start that fails needs it, too.
        dump::write(run_dir, name, &config);
    }
    let drain_timeout = config.section::<Cluster>("cluster")?.drain_timeout;
    crate::logging::install(config.section("logger")?);
    let env = config.env().to_owned();
    let app = Application::new(package, env, identity, config, moments);
    hooks.config_did_load(&app)?;
    let extensions = timing.timed("", "extend", || Extensions::new(&order, app.env()))?;
    app.parts().set_extensions(extensions);
    let endpoint = if role == Role::Agent {
        Router::new().into()
    } else {
        timing.timed("", "custom_loader", || custom::load_all(&app, &order))?;
        endpoint(&app, &order, router, &timing)?
    };
    Ok(Loaded {
        app,
        endpoint,
        limits,
        hooks,
        agent: agent.map(Hidden),
        run_dir,
        timing,
        drain_timeout,
    })
}

/// What the master goes by is fixed when it starts: a hook that changed it would only believe so.
fn unchanged(before: &Config, after: &Config) -> Result<(), BoxError> {
    for table in ["cluster", "listen"] {
        let [before, after] =
            [before, after].map(|config| config.get::<Json>(table).ok().flatten());
        if before != after {
            return Err(format!(
                "a hook has changed [{table}], which the master has read already: set it in a file, \
                 a variable or a flag"
            )
            .into());
        }
    }
    Ok(())
}

impl Loaded {
    /// `did_load` and `will_ready`: what is left is to be ready.
    pub(crate) async fn start(self) -> Result<Started, BoxError> {
        self.hooks.start(&self.app).await?;
        let has_agent = matches!(self.app.identity().role, Role::Agent | Role::Single);
        let agent = self.agent.filter(|_| has_agent);
        let agent = agent.map(|Hidden(hook)| hook(self.app.clone()));
        let life = Life::new(
            self.app,
            self.hooks,
            self.timing,
            self.run_dir,
            self.drain_timeout,
        );
        Ok(Started {
            endpoint: self.endpoint,
            limits: self.limits,
            agent,
            life: Arc::new(life),
        })
    }
}

/// An application that can serve.
pub(crate) struct Started {
    pub(crate) endpoint: Endpoint,
    pub(crate) limits: Limits,
    /// What `App::agent` is to do, where there is an agent.
    pub(crate) agent: Option<Hook>,
    pub(crate) life: Arc<Life>,
}

/// Loads what serves: routes, and the middleware before them.
fn endpoint(
    app: &Application,
    order: &LoadOrder,
    build: Option<BuildRouter>,
    timing: &Timing,
) -> Result<Endpoint, BoxError> {
    let mut routes = Routes::default();
    for (unit, registration) in order.items() {
        if let Item::Controller(add) = &registration.item {
            let _step = step(timing, unit, "controller", registration);
            add(&mut routes);
        }
    }
    // They see the controllers' routes of every unit.
    for (unit, registration) in order.items() {
        if let Item::Router(add) = &registration.item {
            let _step = step(timing, unit, "router", registration);
            add(&mut routes, app)?;
        }
    }
    if let Some(build) = build {
        routes.merge_own(timing.timed("", "router", || build(app))?);
    }
    if app.env() == "local" {
        let timing = timing.clone();
        let show = move || std::future::ready(trace_page::page(&timing));
        routes.page(trace_page::PATH, axum::routing::get(show));
    }
    let chain = Chain::load(app, order, timing)?;
    crate::routes::add(&mut routes, app, order)?;
    let whole = timing.timed("", "routes", || routes.compile(app, &chain))?;
    chain.check_used()?;
    Ok(Entry::new(app.clone(), chain.lay_all(whole)).into())
}

fn step(
    timing: &Timing,
    unit: &Unit,
    kind: &'static str,
    item: &Registration,
) -> impl Drop + use<> {
    timing.step(&unit.title(), kind, item.name, &item.place())
}
