//! The whole application in one process (`--single`): for debuggers and tests. Nobody minds it.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hatchery_master::settings::Settings;
use hatchery_sys::listen::{self, Address, Options};
use hatchery_sys::page::StatsPage;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::spawn_local;

use super::crew::{Crew, Foreman, Service};
use super::shutdown::{Shutdown, ShutdownSender};
use super::with_causes;
use crate::Application;
use crate::app::AgentHook;
use crate::serve::Limits;

/// Binds the addresses, serves, and runs the agent's hook beside it. SIGTERM and SIGINT drain; the
/// second one ends the process at once.
pub(crate) fn run_single(
    settings: &Settings,
    limits: Limits,
    router: Router,
    agent: Option<(AgentHook, Application)>,
) -> anyhow::Result<ExitCode> {
    let mut listeners = Vec::new();
    let options = Options {
        backlog: settings.listen.backlog,
        ..Options::default()
    };
    for text in &settings.listen.addresses {
        let address: Address = text
            .parse()
            .map_err(|error| anyhow::anyhow!("listen {text:?}: {error}"))?;
        let socket = listen::bind(&address, &options)
            .map_err(|error| anyhow::anyhow!("cannot listen on {text}: {error}"))?;
        eprintln!("listening on {}", listen::local_address(&socket)?);
        listeners.push(socket);
    }
    let (page, _) = StatsPage::create()?;
    let service = Service {
        router,
        limits,
        listeners,
        page: Arc::new(page),
        heartbeat: settings.cluster.heartbeat_interval,
        idle_grace: settings.cluster.idle_grace,
    };
    let (crew, foreman) = Crew::start(&service)?;
    drop(service);
    let limit = settings.cluster.drain_timeout;
    let (sender, shutdown) = Shutdown::new();
    let cut = crew.serve(async move {
        let agent = agent.map(|agent| spawn_local(run_agent(agent, shutdown)));
        if let Err(error) = obey_signals(foreman, sender, limit).await {
            eprintln!("cannot receive signals: {error}");
        }
        if let Some(agent) = agent {
            let _ = agent.await;
        }
    });
    if cut > 0 {
        eprintln!("{cut} connections were cut: the time to drain was over");
    }
    Ok(ExitCode::SUCCESS)
}

async fn run_agent((hook, application): (AgentHook, Application), shutdown: Shutdown) {
    if let Err(error) = hook(application, shutdown).await {
        eprintln!("the agent's work has failed: {}", with_causes(&*error));
    }
}

async fn obey_signals(foreman: Foreman, sender: ShutdownSender, limit: Duration) -> io::Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut asked = 0;
    loop {
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
        asked += 1;
        if asked > 1 {
            std::process::exit(1);
        }
        foreman.drain(limit, false);
        sender.request();
    }
}
