//! The command line of every application's executable.

pub(crate) mod args;
mod config;
mod daemon;
mod history;
mod places;
mod routes;
mod show;
mod start;
mod verbs;

use std::io::Write as _;
use std::process::ExitCode;

use hatchery_ipc::control::Verb as ControlVerb;

use self::args::{EXIT_USAGE, Invocation, Verb};
use crate::App;
use crate::complain::complain;
use crate::config::{ConfigError, Place};

/// Does what the arguments ask. Exit codes: 0 done, 1 failed with the reason on stderr, 2 usage.
pub(crate) fn run(app: App) -> ExitCode {
    let name = app.package.name;
    let invocation = match Invocation::parse(std::env::args_os().skip(1)) {
        Ok(invocation) => invocation,
        Err(error) => {
            complain(format_args!(
                "{name}: {error} (`{name} help` shows what there is)"
            ));
            return ExitCode::from(EXIT_USAGE);
        }
    };
    match act(app, &invocation) {
        Ok(code) => code,
        Err(error) => {
            complain(format_args!("{name}: {error:#}"));
            if is_usage(&error) {
                ExitCode::from(EXIT_USAGE)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// Writes to stdout. A reader that has seen enough (`status | head -1`) is no failure, and no panic
/// as with `print!`.
fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Whether a flag's value is what is wrong.
fn is_usage(error: &anyhow::Error) -> bool {
    error.downcast_ref::<ConfigError>().is_some_and(|error| {
        error
            .problems()
            .iter()
            .any(|problem| problem.place().is_some_and(Place::is_flag))
    })
}

fn act(app: App, invocation: &Invocation) -> anyhow::Result<ExitCode> {
    let package = app.package;
    match invocation.verb {
        Verb::Start => return start::start(app, invocation),
        Verb::Stop => verbs::stop(package, invocation)?,
        Verb::Restart => verbs::restart(package, invocation)?,
        Verb::Reload => verbs::ask(package, invocation, ControlVerb::Reload)?,
        Verb::Upgrade => verbs::ask(package, invocation, ControlVerb::Upgrade)?,
        Verb::Scale(workers) => verbs::ask(package, invocation, ControlVerb::Scale { workers })?,
        Verb::Status => verbs::status(package, invocation)?,
        Verb::Exits => history::exits(package, invocation)?,
        Verb::Events => history::events(package, invocation)?,
        Verb::List => verbs::list(invocation)?,
        Verb::Routes => routes::routes(app, invocation)?,
        Verb::Config => config::config(&app, invocation)?,
        Verb::Help(topic) => say(&args::help(package.name, topic)),
        Verb::Version => say(&args::version(package.name, package.version)),
    }
    Ok(ExitCode::SUCCESS)
}
