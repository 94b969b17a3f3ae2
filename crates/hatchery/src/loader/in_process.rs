//! The application without sockets: the same start, for tests.

use std::sync::Arc;

use super::load::{Seed, load};
use crate::app::App;
use crate::application::{Identity, Role};
use crate::config::Config;
use crate::lifecycle::{Life, Timing};
use crate::runtime::{Bells, Hook};
use crate::serve::Endpoint;
use crate::{Application, BoxError};

/// An application that has started in this process, and is ready: nobody but its holder can send it
/// requests. Dropping it without [`close`](Self::close) is fine; then `before_close` does not run.
pub(crate) struct InProcess {
    /// What answers requests.
    pub(crate) endpoint: Endpoint,
    /// What [`App::agent`] is to do, for those who run it.
    pub(crate) agent: Option<Hook>,
    bells: Bells,
    life: Arc<Life>,
}

/// Starts `app` as `--single` does, agent and worker in one, up to the end of `server_did_ready`.
/// `config` is what has been read and checked.
pub(crate) async fn boot_in_process(app: App, config: Config) -> Result<InProcess, BoxError> {
    let (bells, moments) = Bells::new();
    let seed = Seed {
        identity: Identity {
            role: Role::Single,
            slot: Some(0),
            instance: 0,
            generation: 0,
            workers: 1,
        },
        config,
        moments,
        run_dir: None,
        timing: Timing::begin(),
    };
    let started = load(app, seed).await?.start().await?;
    let life = started.life;
    life.did_ready().await;
    bells.server_did_ready();
    life.server_did_ready().await;
    Ok(InProcess {
        endpoint: started.endpoint,
        agent: started.agent,
        bells,
        life,
    })
}

impl InProcess {
    /// The application.
    pub(crate) fn app(&self) -> &Application {
        self.life.app()
    }

    /// Ends it as a process would: `shutdown` comes, then `before_close` runs.
    pub(crate) async fn close(self) {
        self.bells.shutdown();
        self.life.close().await;
    }
}

impl std::fmt::Debug for InProcess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InProcess")
            .field("life", &self.life)
            .finish_non_exhaustive()
    }
}
