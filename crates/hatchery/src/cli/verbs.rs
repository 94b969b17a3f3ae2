//! The verbs that speak to a running application. Each waits until it is true.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use hatchery_ipc::control::{Request, Response, Verb};
use hatchery_master::client::Client;
use hatchery_master::{control_socket, registry};

use super::args::Invocation;
use super::{places, say, show};
use crate::Package;

/// How long a master may take to answer `status`.
pub(super) const STATUS_TIMEOUT: Duration = Duration::from_secs(5);

/// From the last line of a `stop` to the end of the process.
const GONE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a restarted application may take to come back, beyond what it says itself.
const BACK_TIMEOUT: Duration = Duration::from_secs(120);

/// `status`.
pub(super) fn status(package: Package, options: &Invocation) -> anyhow::Result<()> {
    let status = connect(package, options)?.status(STATUS_TIMEOUT)?;
    if options.json {
        say(&format!("{}\n", serde_json::to_string_pretty(&status)?));
    } else {
        say(&show::status(&status));
    }
    Ok(())
}

/// `list`.
pub(super) fn list(options: &Invocation) -> anyhow::Result<()> {
    let running = registry::running();
    if options.json {
        let known: Vec<_> = running
            .iter()
            .filter_map(|app| app.status.as_ref().ok())
            .collect();
        say(&format!("{}\n", serde_json::to_string_pretty(&known)?));
    } else {
        say(&show::list(&running));
    }
    Ok(())
}

/// `reload`, `upgrade` and `scale`: asked and answered.
pub(super) fn ask(package: Package, options: &Invocation, verb: Verb) -> anyhow::Result<()> {
    let mut client = connect_to_answer(package, options)?;
    let request = Request {
        wait: !options.no_wait,
        ..Request::new(verb)
    };
    match answer(&mut client, &request, options)? {
        Some(response) => told(response),
        None => bail!("the master (pid {}) ended before it answered", client.pid()),
    }
}

/// `stop`: true when the master's process is gone.
pub(super) fn stop(package: Package, options: &Invocation) -> anyhow::Result<()> {
    let mut client = connect_to_answer(package, options)?;
    let verb = Verb::Stop { fast: options.fast };
    let request = Request {
        wait: !options.no_wait,
        ..Request::new(verb)
    };
    if let Some(response) = answer(&mut client, &request, options)? {
        told(response)?;
    }
    if request.wait && !client.wait_gone(GONE_TIMEOUT) {
        bail!(
            "the master (pid {}) has stopped its pool and is still there",
            client.pid()
        );
    }
    Ok(())
}

/// `restart`: true when the same master process has a ready pool again.
pub(super) fn restart(package: Package, options: &Invocation) -> anyhow::Result<()> {
    let mut client = connect_to_answer(package, options)?;
    let request = Request {
        wait: !options.no_wait,
        ..Request::new(Verb::Restart)
    };
    let began = Instant::now();
    if let Some(response) = answer(&mut client, &request, options)? {
        // A refusal, or `--no-wait`; a restart itself ends the connection.
        return told(response);
    }
    let socket = socket(package, options)?;
    let patience = options.timeout.unwrap_or(BACK_TIMEOUT);
    let deadline = began + patience;
    while Instant::now() < deadline {
        if let Ok(mut again) = Client::connect(&socket)
            && let Ok(status) = again.status(STATUS_TIMEOUT)
            && status.state == "ready"
            && Duration::from_millis(status.master.uptime_ms) <= began.elapsed()
        {
            say(&format!(
                "{} is up again, pid {}
",
                status.app, status.master.pid
            ));
            return Ok(());
        }
        if client.wait_gone(Duration::from_millis(50)) {
            bail!("the application stopped and did not come back up; its output says why");
        }
    }
    bail!(
        "the application is not ready again after {} s",
        patience.as_secs()
    )
}

/// Sends a request and waits for its answer, as long as `--timeout` allows. What was asked for goes
/// on when nobody waits for it any more.
fn answer(
    client: &mut Client,
    request: &Request,
    options: &Invocation,
) -> anyhow::Result<Option<Response>> {
    client
        .request(request, options.timeout)
        .map_err(|error| match options.timeout {
            Some(timeout) if error.is_timeout() => anyhow::anyhow!(
                "not done after {} s; it goes on, `status` shows how far it is",
                timeout.as_secs()
            ),
            _ => error.into(),
        })
}

fn told(response: Response) -> anyhow::Result<()> {
    let message = response.message.unwrap_or_default();
    if !response.ok {
        bail!("{message}");
    }
    say(&format!("{message}\n"));
    Ok(())
}

pub(super) fn connect(package: Package, options: &Invocation) -> anyhow::Result<Client> {
    let socket = socket(package, options)?;
    Client::connect(&socket).map_err(|error| {
        if error.is_not_running() {
            let place = socket.parent().unwrap_or(&socket).display();
            let name = options.app.as_deref().unwrap_or(package.name);
            // A master removes its pid file when it ends by itself.
            let pid_file = socket.with_file_name(format!("{name}.pid"));
            match std::fs::read_to_string(pid_file) {
                Ok(pid) => anyhow::anyhow!(
                    "{name} is not running in {place}: its master (pid {}) has ended without a stop; \
                     its workers serve on for `orphan_grace`, and `start` takes over from them",
                    pid.trim()
                ),
                Err(_) => {
                    anyhow::anyhow!("{name} is not running in {place}; `list` shows what runs")
                }
            }
        } else {
            error.into()
        }
    })
}

/// Connects to a master that answers. What is asked next may take long for good reasons; a master
/// that stands still is none of them.
pub(super) fn connect_to_answer(package: Package, options: &Invocation) -> anyhow::Result<Client> {
    let mut client = connect(package, options)?;
    client.status(STATUS_TIMEOUT)?;
    Ok(client)
}

/// Which application is meant: `--run-dir`, else `--app` by the registry, else the default place.
pub(super) fn socket(package: Package, options: &Invocation) -> anyhow::Result<PathBuf> {
    let name = options.app.as_deref().unwrap_or(package.name);
    if options.run_dir.is_none()
        && let Some(app) = &options.app
    {
        let mut found = registry::running();
        found.retain(|running| running.app == *app);
        return match found.as_slice() {
            [] => bail!("no application {app} is running; `list` shows what runs"),
            [one] => Ok(one.socket.clone()),
            several => {
                let places: Vec<_> = several
                    .iter()
                    .map(|app| {
                        app.socket
                            .parent()
                            .unwrap_or(&app.socket)
                            .display()
                            .to_string()
                    })
                    .collect();
                bail!(
                    "several {app} are running, choose one by --run-dir: {}",
                    places.join(", ")
                )
            }
        };
    }
    let base_dir = places::base_dir(options.base_dir.as_deref(), package.manifest_dir)?;
    let run_dir =
        places::run_dir(options.run_dir.as_deref(), &base_dir).context("the run directory")?;
    Ok(control_socket(&run_dir, name))
}
