//! The thread that an application under test lives in.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use axum::body::Body;
use axum::extract::DefaultBodyLimit;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use tokio::sync::{mpsc, oneshot, watch};

use super::builder::Mock;
use crate::application::{Identity, Role};
use crate::complain::complain;
use crate::config::Sources;
use crate::lifecycle::Timing;
use crate::loader::load::{Seed, Started, load};
use crate::runtime::{self, Bells, Hook, Moments};
use crate::serve::{Endpoint, body_limit};
use crate::testing::{REQUEST_LIMIT, SOON};
use crate::{App, Application, BoxError};

/// What requests go through.
pub(super) type Door = mpsc::UnboundedSender<Ask>;

/// A request on its way.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) request: Request<Bytes>,
    pub(super) peer: Option<SocketAddr>,
    /// Where the complete answer goes, or why there is none. Nothing comes when what lies around
    /// the application has panicked.
    pub(super) tell: oneshot::Sender<Result<Response<Bytes>, String>>,
}

/// The thread of an application under test. Dropped, it ends without ceremony.
#[derive(Debug)]
pub(super) struct Host {
    door: Door,
    close: oneshot::Sender<oneshot::Sender<()>>,
    hooks_finished: watch::Receiver<bool>,
}

/// What the thread says when the application is ready.
type Ready = Result<(Application, Host), String>;

impl Host {
    /// Starts the application in a thread of its own.
    pub(super) async fn start(app: App, sources: Sources, mocks: Vec<Mock>) -> Ready {
        let (tell, told) = oneshot::channel();
        let name = app.package.name.to_owned();
        thread::Builder::new()
            .name(name)
            .spawn(move || live(app, sources, mocks, tell))
            .map_err(|error| format!("no thread for it: {error}"))?;
        told.await
            .unwrap_or_else(|_| Err("its thread has panicked".to_owned()))
    }

    pub(super) fn door(&self) -> Door {
        self.door.clone()
    }

    pub(super) async fn hooks_finished(&self) {
        // An error means that it is gone: nothing runs any more.
        let _ = self.hooks_finished.clone().wait_for(|done| *done).await;
    }

    pub(super) async fn close(self) {
        let (tell, told) = oneshot::channel();
        assert!(self.close.send(tell).is_ok(), "its thread has panicked");
        assert!(told.await.is_ok(), "its thread has panicked");
    }
}

/// The thread from its beginning to its end.
fn live(app: App, sources: Sources, mocks: Vec<Mock>, tell: oneshot::Sender<Ready>) {
    let runtime = match runtime::local_runtime() {
        Ok(runtime) => runtime,
        Err(error) => return drop(tell.send(Err(error.to_string()))),
    };
    runtime.block_on(async {
        let (bells, moments) = Bells::new();
        let started = runtime::boot(boot(app, sources, mocks, &moments)).await;
        let started = match started {
            Ok(started) => started,
            Err(reason) => return drop(tell.send(Err(reason))),
        };
        let agent = started
            .agent
            .map(|hook| tokio::task::spawn_local(agent(hook)));
        // As in a worker: requests come in from here on, beside the hooks that follow.
        started.life.begin();
        bells.server_did_ready();
        let limit = body_limit(started.limits.body_limit);
        let (door, mut asked) = mpsc::unbounded_channel();
        let (close, mut closed) = oneshot::channel();
        let host = Host {
            door,
            close,
            hooks_finished: started.life.hooks_finished(),
        };
        let ready = (started.life.app().clone(), host);
        // A test that is over wants nothing more.
        let _ = tell.send(Ok(ready));
        let done = loop {
            tokio::select! {
                ask = asked.recv() => match ask {
                    Some(ask) => answer(started.endpoint.clone(), limit, ask),
                    None => return,
                },
                done = &mut closed => match done {
                    Ok(done) => break done,
                    Err(_) => return,
                },
            }
        };
        bells.shutdown();
        if let Some(agent) = agent {
            within(SOON, "the agent's hook", agent).await;
        }
        let app = started.life.app().clone();
        within(SOON, "background work", app.background_tasks_finished()).await;
        started.life.close().await;
        let _ = done.send(());
    });
    runtime.shutdown_background();
}

/// The sequence of a start, as with `--single`.
async fn boot(
    app: App,
    sources: Sources,
    mocks: Vec<Mock>,
    moments: &Moments,
) -> Result<Started, BoxError> {
    let (config, _) = app.units.configure(sources)?;
    app.check_sections(&config)?;
    crate::config::settings(&config)?;
    let seed = Seed {
        identity: Identity {
            role: Role::Single,
            slot: Some(0),
            instance: 0,
            generation: 0,
            workers: 1,
        },
        config,
        moments: moments.clone(),
        run_dir: None,
        timing: Timing::begin(),
    };
    let loaded = load(app, seed).await?;
    for mock in mocks {
        mock(&loaded.app);
    }
    loaded.start().await
}

/// Answers beside whatever else goes on.
fn answer(mut endpoint: Endpoint, limit: Option<DefaultBodyLimit>, ask: Ask) {
    let Ask {
        request,
        peer,
        tell,
    } = ask;
    let mut request = request.map(Body::from);
    if let Some(limit) = limit {
        limit.apply(&mut request);
    }
    tokio::task::spawn_local(async move {
        let answer = async {
            let (head, body) = endpoint.call(request, peer).await.into_parts();
            match body.collect().await {
                Ok(body) => Ok(Response::from_parts(head, body.to_bytes())),
                Err(error) => Err(format!("its body breaks off: {error}")),
            }
        };
        let answer = tokio::time::timeout(REQUEST_LIMIT, answer).await;
        let answer =
            answer.unwrap_or_else(|_| Err(format!("no whole answer within {REQUEST_LIMIT:?}")));
        // Whoever asked may have given up.
        let _ = tell.send(answer);
    });
}

async fn agent(hook: Hook) {
    if let Err(error) = hook.await {
        complain(format_args!("the agent's hook failed: {error}"));
    }
}

async fn within<T>(limit: Duration, what: &str, wait: impl Future<Output = T>) {
    if tokio::time::timeout(limit, wait).await.is_err() {
        complain(format_args!("{what} did not end within {limit:?}"));
    }
}
