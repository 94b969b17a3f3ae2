//! The roles that the master gives: this process as agent or worker.

use std::process::ExitCode;

use crate::BoxError;
use crate::app::App;
use crate::application::{Identity, Role};
use crate::complain::complain;
use crate::config::Config;
use crate::lifecycle::Timing;
use crate::loader::load::{Seed, load};
use crate::runtime::{self, Booted, Child, Hook, Role as ChildRole};

/// Plays the role that the environment gives this process, and ends with its exit code. Hands the
/// application back on the command line. An invocation with arguments is the command line's, even
/// when it comes from inside a worker.
pub(crate) fn play(app: App) -> Result<ExitCode, Box<App>> {
    if std::env::args_os().len() > 1 {
        return Err(Box::new(app));
    }
    let timing = Timing::begin();
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
        ChildRole::Agent => runtime::run_agent(&child, async |child: &Child| {
            let seed = seed(child, Role::Agent, timing)?;
            let started = load(app, seed).await?.start().await?;
            let hook: Hook = started.agent.unwrap_or_else(|| Box::pin(async { Ok(()) }));
            Ok((hook, Some(started.life)))
        }),
        ChildRole::Worker => runtime::run_worker(child, async |child: &Child| {
            let seed = seed(child, Role::Worker, timing)?;
            let started = load(app, seed).await?.start().await?;
            Ok(Booted {
                endpoint: started.endpoint,
                limits: started.limits,
                life: Some(started.life),
            })
        }),
    })
}

fn refuse(error: &dyn std::error::Error) -> ExitCode {
    complain(format_args!("hatchery: {error}"));
    ExitCode::FAILURE
}

fn seed(child: &Child, role: Role, timing: Timing) -> Result<Seed, BoxError> {
    Ok(Seed {
        identity: Identity {
            role,
            slot: child.slot,
            instance: child.instance,
            generation: child.generation,
            workers: child.workers,
        },
        config: Config::from_json(&child.config, &child.env)?,
        moments: child.moments.clone(),
        run_dir: child.run_dir.clone(),
        timing,
    })
}
