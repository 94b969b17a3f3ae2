//! `start`: this process becomes the master, or a daemon's launcher, or the whole application at
//! once (`--single`); or only checks (`--check`).

use std::ffi::OsString;
use std::io::Write as _;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use hatchery_master::settings::Settings;
use hatchery_master::{Emitted, Launch, Outcome, Resume};
use hatchery_sys::listen::Address;
use hatchery_sys::process;

use super::args::Invocation;
use super::{daemon, places, say};
use crate::App;
use crate::app::Pretence;
use crate::application::{Identity, Role};
use crate::complain::complain;
use crate::config::{self, Config, Sources};
use crate::lifecycle::Timing;
use crate::loader::load::{Seed, load};
use crate::runtime::{self, Booted, Moments};
use crate::single::{self, Single};

/// Everything that an invocation resolves before it acts.
pub(super) struct Prepared {
    binary: PathBuf,
    base_dir: PathBuf,
    run_dir: PathBuf,
    pub(super) config: Config,
    settings: Settings,
}

/// Does what the flags ask for.
pub(super) fn start(app: App, invocation: &Invocation) -> anyhow::Result<ExitCode> {
    if let Some(state) = invocation.check_state {
        return check_state(&app, invocation, state);
    }
    if let Some(state) = invocation.resume_fd {
        return resume(&app, state);
    }
    let prepared = prepare(&app, invocation)?;
    if invocation.check {
        return check(app, invocation, prepared);
    }
    if invocation.single {
        return run_single(app, prepared);
    }
    if invocation.daemon {
        daemon::start(
            &prepared.binary,
            &prepared.run_dir,
            app.package.name,
            invocation,
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    run_master(&app, invocation, prepared)
}

/// Reads and checks the whole configuration.
pub(super) fn prepare(app: &App, invocation: &Invocation) -> anyhow::Result<Prepared> {
    let base_dir = places::base_dir(invocation.base_dir.as_deref(), app.package.manifest_dir)?;
    let run_dir = places::run_dir(invocation.run_dir.as_deref(), &base_dir)?;
    let place = || format!("in {}", base_dir.display());
    let config = configure(app, invocation, &base_dir)?;
    app.check_sections(&config).with_context(place)?;
    let settings = config::settings(&config).with_context(place)?;
    Ok(Prepared {
        binary: places::executable()?,
        base_dir,
        run_dir,
        config,
        settings,
    })
}

/// Reads the configuration as flags, environment and files in `base_dir` say, with what the plugins
/// bring that are enabled by it; says which are so for others' sake.
pub(super) fn configure(
    app: &App,
    invocation: &Invocation,
    base_dir: &Path,
) -> anyhow::Result<Config> {
    let sources = Sources {
        env: invocation.env.clone(),
        scope: invocation.scope.clone(),
        flags: invocation.overrides(),
        ..Sources::new(base_dir)
    };
    let (config, notes) = app
        .units
        .configure(sources)
        .map_err(anyhow::Error::from_boxed)
        .with_context(|| format!("in {}", base_dir.display()))?;
    for note in notes {
        complain(format_args!("{}: {note}", app.package.name));
    }
    Ok(config)
}

/// `--check`: builds everything that a worker would, and says that all is well; or (to a master that
/// prepares a reload) what would be run.
fn check(app: App, invocation: &Invocation, prepared: Prepared) -> anyhow::Result<ExitCode> {
    let package = app.package;
    let config = prepared.config.clone();
    // Before the application's own code opens anything.
    let emit = invocation
        .emit_fd
        .map(process::take_fd)
        .transpose()
        .context("--emit-fd")?;
    runtime::look_into(async |moments| {
        let seed = seed(Role::Check, config, moments, None);
        load(app, seed).await.map(drop)
    })
    .map_err(|reason| anyhow::anyhow!("cannot start: {reason}"))?;
    if let Some(emit) = emit {
        let emitted = Emitted {
            config: serde_json::from_slice(&prepared.config.to_json())?,
            settings: prepared.settings,
        };
        std::fs::File::from(emit).write_all(&serde_json::to_vec(&emitted)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let files: Vec<_> = prepared
        .config
        .files()
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    let files = if files.is_empty() {
        "no configuration file".into()
    } else {
        files.join(", ")
    };
    say(&format!(
        "{} {}: configuration and routes are good (env {}; {files} in {})\n",
        package.name,
        package.version,
        prepared.config.env(),
        prepared.base_dir.display(),
    ));
    Ok(ExitCode::SUCCESS)
}

/// What the application outside of a pool begins with.
pub(super) fn seed(
    role: Role,
    config: Config,
    moments: &Moments,
    run_dir: Option<PathBuf>,
) -> Seed {
    let slot = (role == Role::Single).then_some(0);
    Seed {
        identity: Identity {
            role,
            slot,
            instance: 0,
            generation: 0,
            workers: 1,
        },
        config,
        moments: moments.clone(),
        run_dir,
        timing: Timing::begin(),
    }
}

fn run_single(app: App, prepared: Prepared) -> anyhow::Result<ExitCode> {
    let Prepared {
        config,
        settings,
        run_dir,
        ..
    } = prepared;
    // What it writes there is for people to look at.
    let run_dir = hatchery_master::create_run_dir(&run_dir)
        .ok()
        .map(|()| run_dir);
    let listen: Result<_, _> = settings
        .listen
        .addresses
        .iter()
        .map(|text| text.parse::<Address>())
        .collect();
    let single = Single {
        listen: listen?,
        idle_grace: settings.cluster.idle_grace,
        drain_timeout: settings.cluster.drain_timeout,
    };
    let name = app.package.name;
    let build = async move |moments: &Moments| {
        let seed = seed(Role::Single, config, moments, run_dir);
        let started = load(app, seed).await?.start().await?;
        Ok(single::Application {
            booted: Booted {
                endpoint: started.endpoint,
                limits: started.limits,
                life: Some(started.life),
            },
            hook: started.agent,
        })
    };
    let ready = |addresses: &[String]| {
        let addresses = addresses.join(", ");
        complain(format_args!(
            "{name} serves in one process, without a master, on {addresses}"
        ));
    };
    Ok(single::run_single(&single, build, ready))
}

fn run_master(app: &App, invocation: &Invocation, prepared: Prepared) -> anyhow::Result<ExitCode> {
    let package = app.package;
    let ready_fd = match invocation.ready_fd {
        Some(fd) => {
            daemon::detach();
            Some(process::take_fd(fd).context("--ready-fd")?)
        }
        None => None,
    };
    let binary = prepared.binary.clone();
    let outcome = hatchery_master::run(Launch {
        app: package.name.to_owned(),
        env: prepared.config.env().to_owned(),
        version: package.version.to_owned(),
        title: invocation
            .title
            .clone()
            .unwrap_or_else(|| package.name.to_owned()),
        check_args: check_args(invocation, &prepared),
        arguments: same_arguments(),
        config: prepared.config.to_json(),
        config_files: prepared.config.files().to_vec(),
        settings: prepared.settings,
        base_dir: prepared.base_dir,
        run_dir: prepared.run_dir,
        binary: prepared.binary,
        ready_fd,
    })?;
    end(outcome, &binary)
}

/// `--check-state`, to a master that prepares its own replacement: could this build go on from its
/// state? What is on disk besides this executable does not count.
fn check_state(app: &App, invocation: &Invocation, state: RawFd) -> anyhow::Result<ExitCode> {
    if app.pretences.contains(&Pretence::KnowsNoState) {
        anyhow::bail!("unknown flag `--check-state`");
    }
    let state = process::take_fd(state).context("--check-state")?;
    let emit = invocation
        .emit_fd
        .map(process::take_fd)
        .transpose()
        .context("--emit-fd")?;
    let proof =
        hatchery_master::check_state(state, app.package.name).map_err(anyhow::Error::msg)?;
    if let Some(emit) = emit {
        writeln!(std::fs::File::from(emit), "{proof}")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// `--resume-fd`: this process is a running master already, with a new executable.
fn resume(app: &App, state: RawFd) -> anyhow::Result<ExitCode> {
    let name = if app.pretences.contains(&Pretence::CannotResume) {
        "nobody"
    } else {
        app.package.name
    };
    let (binary, outcome) = hatchery_master::resume(Resume {
        state: process::take_fd(state).context("--resume-fd")?,
        app: name.to_owned(),
        version: app.package.version.to_owned(),
        arguments: same_arguments(),
    })?;
    end(outcome, &binary)
}

/// The master is done: this process ends, or begins anew.
fn end(outcome: Outcome, binary: &Path) -> anyhow::Result<ExitCode> {
    match outcome {
        Outcome::Stopped => Ok(ExitCode::SUCCESS),
        Outcome::Restart => {
            let environment: Vec<_> = std::env::vars_os().collect();
            Err(process::exec(binary, &same_arguments(), &environment))
                .with_context(|| format!("cannot start {} again", binary.display()))
        }
    }
}

/// Flags with which `--check` sees what this master sees, wherever it is run and whatever the
/// environment says by then: the environment's name is resolved once.
fn check_args(invocation: &Invocation, prepared: &Prepared) -> Vec<OsString> {
    Invocation {
        env: Some(prepared.config.env().to_owned()),
        scope: prepared.config.scope().map(str::to_owned),
        base_dir: Some(prepared.base_dir.clone()),
        run_dir: Some(prepared.run_dir.clone()),
        ..invocation.clone()
    }
    .config_arguments()
}

/// This process's arguments, without what is true only once: whoever waits for a daemon's start
/// does not wait for the next.
pub(super) fn same_arguments() -> Vec<OsString> {
    let mut arguments = Vec::new();
    let mut given = std::env::args_os();
    while let Some(argument) = given.next() {
        match argument.to_str() {
            Some("--ready-fd" | "--resume-fd" | "--timeout") => drop(given.next()),
            Some("--daemon" | "--no-wait") => {}
            Some(word) if word.starts_with("--timeout=") => {}
            _ => arguments.push(argument),
        }
    }
    arguments
}
