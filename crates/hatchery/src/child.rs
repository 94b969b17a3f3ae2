//! The roles that the master gives: this process as agent or worker.

use std::process::ExitCode;

use crate::app::App;
use crate::application::{Identity, Role};
use crate::complain::complain;
use crate::config::Config;
use crate::runtime::{self, Child, Role as ChildRole};
use crate::{Application, BoxError};

/// Plays the role that the environment gives this process, and ends with its exit code. Hands the
/// application back on the command line. An invocation with arguments is the command line's, even
/// when it comes from inside a worker.
pub(crate) fn play(app: App) -> Result<ExitCode, Box<App>> {
    if std::env::args_os().len() > 1 {
        return Err(Box::new(app));
    }
    let role = match ChildRole::from_env() {
        Ok(Some(role)) => role,
        Ok(None) => return Err(Box::new(app)),
        Err(error) => return Ok(refuse(&error)),
    };
    let child = match Child::from_env() {
        Ok(child) => child,
        Err(error) => return Ok(refuse(&error)),
    };
    Ok(match role {
        ChildRole::Agent => runtime::run_agent(&child, |child| {
            let application = application(&app, child, Role::Agent)?;
            Ok(match app.agent {
                Some(hook) => hook(application),
                None => Box::pin(async { Ok(()) }),
            })
        }),
        ChildRole::Worker => runtime::run_worker(child, |child| {
            let application = application(&app, child, Role::Worker)?;
            let limits = application.limits()?;
            Ok(((app.router)(&application)?, limits))
        }),
    })
}

fn refuse(error: &dyn std::error::Error) -> ExitCode {
    complain(format_args!("hatchery: {error}"));
    ExitCode::FAILURE
}

fn application(app: &App, child: &Child, role: Role) -> Result<Application, BoxError> {
    let config = Config::from_json(&child.config, &child.env)?;
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
        child.moments.clone(),
    ))
}
