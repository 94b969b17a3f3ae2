//! The roles that the master gives: this process as agent or worker.

use std::process::ExitCode;

use hatchery_ipc::environment;

use crate::app::App;
use crate::application::{Identity, Role};
use crate::config::Config;
use crate::runtime::{self, Child};
use crate::serve::Limits;
use crate::{Application, BoxError};

/// The role that the environment gives this process; `None` on the command line. An invocation
/// with arguments is the command line's, even when it comes from inside a worker.
pub(crate) fn role() -> Option<Role> {
    if std::env::args_os().len() > 1 {
        return None;
    }
    match std::env::var(environment::ROLE).ok()?.as_str() {
        "agent" => Some(Role::Agent),
        "worker" => Some(Role::Worker),
        _ => None,
    }
}

/// Plays it.
pub(crate) fn run(app: App, role: Role) -> ExitCode {
    let child = match Child::from_env() {
        Ok(child) => child,
        Err(error) => {
            eprintln!("hatchery: this process was given a role but no master: {error}");
            return ExitCode::FAILURE;
        }
    };
    match role {
        Role::Agent => runtime::run_agent(&child, |child| {
            let application = application(&app, child, role)?;
            Ok(app.agent.map(|hook| (hook, application)))
        }),
        _ => runtime::run_worker(child, |child| {
            let application = application(&app, child, role)?;
            let limits: Limits = application.section("http")?;
            Ok(((app.router)(&application)?, limits))
        }),
    }
}

fn application(app: &App, child: &Child, role: Role) -> Result<Application, BoxError> {
    let config = Config::from_json(&child.config, &child.env)?;
    app.check_sections(&config)?;
    let identity = Identity {
        role,
        slot: child.slot,
        instance: child.instance,
        generation: child.generation,
        workers: child.workers,
    };
    Ok(Application::new(
        app.package,
        child.env.clone(),
        identity,
        config,
    ))
}
