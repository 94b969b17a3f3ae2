//! One process without a master: for debuggers and tests.

use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use axum::BoxError;
use hatchery_sys::listen::{self, Address};
use hatchery_sys::page::StatsPage;
use hatchery_sys::recorder::Recorder;
use tokio::signal::unix::{SignalKind, signal};

use crate::complain::complain;
use crate::runtime::orders::Orders;
use crate::runtime::serving::Serving;
use crate::runtime::{self, Bells, Booted, Hook, Moments};

/// How often the loop ticks; nobody looks, but it is the clock of the time-outs.
const HEARTBEAT: Duration = Duration::from_millis(250);

/// What one process without a master is made of.
pub(crate) struct Single {
    pub(crate) listen: Vec<Address>,
    /// How long idle keep-alive connections are kept while draining.
    pub(crate) idle_grace: Duration,
    /// How long the drain takes at most.
    pub(crate) drain_timeout: Duration,
}

/// What the application adds.
pub(crate) struct Application {
    pub(crate) booted: Booted,
    /// What the agent would run.
    pub(crate) hook: Option<Hook>,
}

/// Serves in this process until SIGTERM or SIGINT, then drains; a second signal ends it at once.
///
/// `build` makes the application, within the runtime that then serves it; `ready` gets the
/// addresses that are served, as clients would write them.
pub(crate) fn run_single(
    single: &Single,
    build: impl AsyncFnOnce(&Moments) -> Result<Application, BoxError>,
    ready: impl FnOnce(&[String]),
) -> ExitCode {
    let runtime = match runtime::local_runtime() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.to_string()),
    };
    let served = runtime.block_on(serve(single, build, ready));
    // A blocking task that hangs must not keep the process.
    runtime.shutdown_background();
    match served {
        Ok(0) => ExitCode::SUCCESS,
        Ok(cut) => {
            complain(format_args!(
                "the drain's time is over, connections cut: {cut}"
            ));
            ExitCode::SUCCESS
        }
        Err(reason) => failed(&reason),
    }
}

async fn serve(
    single: &Single,
    build: impl AsyncFnOnce(&Moments) -> Result<Application, BoxError>,
    ready: impl FnOnce(&[String]),
) -> Result<usize, String> {
    let (listeners, addresses) = bind(&single.listen)?;
    let (bells, moments) = Bells::new();
    let Application { booted, hook } = runtime::boot(build(&moments)).await?;
    let (page, _) = StatsPage::create().map_err(|error| format!("stats page: {error}"))?;
    let (recorder, _) = Recorder::create().map_err(|error| format!("recorder: {error}"))?;
    let orders = Rc::new(Orders::default());
    let drain_timeout = single.drain_timeout;
    let hook = hook.map(|hook| tokio::task::spawn_local(agent(hook)));
    let end = {
        let (orders, bells) = (Rc::clone(&orders), bells.clone());
        move || {
            bells.drain(drain_timeout);
            orders.drain(drain_timeout, false);
        }
    };
    heed(end)?;
    let serving = Serving {
        listeners,
        endpoint: booted.endpoint,
        limits: booted.limits,
        page: Arc::new(page),
        recorder: Arc::new(recorder),
        heartbeat: HEARTBEAT,
        idle_grace: single.idle_grace,
        pressure: moments.pressure.clone(),
    };
    let begun = || {
        ready(&addresses);
        if let Some(life) = &booted.life {
            life.begin();
        }
        bells.server_did_ready();
    };
    let cut = serving
        .run(&orders, begun)
        .await
        .map_err(|error| format!("cannot listen: {error}"))?;
    if let Some(hook) = hook
        && tokio::time::timeout(drain_timeout, hook).await.is_err()
    {
        complain(format_args!("the agent's hook did not end in time"));
    }
    if let Some(life) = booted.life {
        life.close().await;
    }
    Ok(cut)
}

fn bind(addresses: &[Address]) -> Result<(Vec<OwnedFd>, Vec<String>), String> {
    let mut listeners = Vec::new();
    let mut bound = Vec::new();
    for address in addresses {
        let refuse = |error| format!("cannot listen on {address}: {error}");
        let socket = listen::bind(address, &listen::Options::default()).map_err(refuse)?;
        // Port 0 has become another. A long unix path cannot be asked for; it has not changed.
        let local = listen::local_address(socket.as_fd());
        bound.push(local.map_or_else(|_| address.to_string(), |local| local.to_string()));
        listeners.push(socket);
    }
    Ok((listeners, bound))
}

/// What the agent would do with its hook: here its failure does not end the process.
async fn agent(hook: Hook) {
    if let Err(error) = hook.await {
        complain(format_args!("the agent's hook failed: {error}"));
    }
}

/// Calls `end` at the first SIGTERM or SIGINT, and ends the process at the second.
fn heed(end: impl FnOnce() + 'static) -> Result<(), String> {
    let signals = |kind| signal(kind).map_err(|error| format!("signals: {error}"));
    let mut term = signals(SignalKind::terminate())?;
    let mut interrupt = signals(SignalKind::interrupt())?;
    tokio::task::spawn_local(async move {
        let mut end = Some(end);
        loop {
            tokio::select! {
                _ = term.recv() => {}
                _ = interrupt.recv() => {}
            }
            match end.take() {
                Some(end) => end(),
                None => hatchery_sys::process::exit_now(1),
            }
        }
    });
    Ok(())
}

fn failed(reason: &str) -> ExitCode {
    complain(format_args!("cannot start: {reason}"));
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::TcpStream;
    use std::process::{Child, Command, Stdio};

    use axum::Router;
    use axum::routing::get;
    use hatchery_sys::signals::Signal;
    use hatchery_sys::{peer, process};

    use super::*;
    use crate::serve::Limits;

    /// Where a single process of these tests listens; without it, its `main` does nothing.
    const LISTEN: &str = "TEST_SINGLE_LISTEN";

    #[test]
    fn single_main() {
        let Ok(listen) = std::env::var(LISTEN) else {
            return;
        };
        let single = Single {
            listen: listen
                .split(' ')
                .map(|address| address.parse().unwrap())
                .collect(),
            idle_grace: Duration::ZERO,
            drain_timeout: Duration::from_secs(20),
        };
        let code = run_single(
            &single,
            async |moments: &Moments| build(moments),
            |addresses| {
                println!("\nserves {}", addresses.join(" "));
            },
        );
        process::exit_now(i32::from(code != ExitCode::SUCCESS));
    }

    #[expect(clippy::unnecessary_wraps, reason = "as `run_single` wants it")]
    fn build(moments: &Moments) -> Result<Application, BoxError> {
        let (handler, hook) = (moments.clone(), moments.clone());
        let router = Router::new()
            .route("/hello", get(async || "hello"))
            .route(
                "/never",
                get(async || std::future::pending::<String>().await),
            )
            .route(
                "/wait",
                get(async move || {
                    handler.shutdown.comes().await;
                    "after the drain"
                }),
            );
        let hook: Hook = Box::pin(async move {
            hook.server_did_ready.comes().await;
            println!("the hook runs");
            hook.shutdown.comes().await;
            println!("the hook ends");
            Ok(())
        });
        Ok(Application {
            booted: Booted {
                endpoint: router.into(),
                limits: Limits::default(),
                life: None,
            },
            hook: Some(hook),
        })
    }

    struct Run {
        child: Child,
        addresses: Vec<String>,
        output: BufReader<std::process::ChildStdout>,
    }

    fn command(listen: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["single::tests::single_main", "--exact", "--nocapture"]);
        command
            .env(LISTEN, listen)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn start(listen: &str) -> Run {
        let mut child = command(listen).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        let addresses = loop {
            line.clear();
            assert!(output.read_line(&mut line).unwrap() > 0, "it has ended");
            if let Some(addresses) = line.trim_end().strip_prefix("serves ") {
                break addresses.split(' ').map(str::to_owned).collect();
            }
        };
        Run {
            child,
            addresses,
            output,
        }
    }

    impl Run {
        fn send(&self, path: &str) -> TcpStream {
            let address = &self.addresses[0];
            let mut stream = TcpStream::connect(address).unwrap();
            write!(
                stream,
                "GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
            )
            .unwrap();
            stream
        }

        fn signal(&self, signal: Signal) {
            let pidfd = peer::pidfd_open(self.child.id()).unwrap();
            process::signal(pidfd, signal).unwrap();
        }

        fn wait_until_it_does_not_listen(&self) {
            while TcpStream::connect(&self.addresses[0]).is_ok() {
                std::thread::yield_now();
            }
        }

        /// The exit code and what was written since the start.
        fn ended(mut self) -> (Option<i32>, String) {
            let mut text = String::new();
            self.output.read_to_string(&mut text).unwrap();
            (self.child.wait().unwrap().code(), text)
        }
    }

    fn read(mut stream: TcpStream) -> String {
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text);
        text
    }

    #[test]
    fn one_process_serves_all_addresses_and_drains() {
        let run = start("127.0.0.1:0 [::1]:0");
        assert_eq!(run.addresses.len(), 2);
        for address in &run.addresses {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(b"GET /hello HTTP/1.0\r\n\r\n").unwrap();
            assert!(read(stream).ends_with("hello"));
        }
        // Answered first, so it was accepted in any case.
        let slow = run.send("/wait");
        assert!(read(run.send("/hello")).ends_with("hello"));
        run.signal(Signal::Term);
        assert!(read(slow).ends_with("after the drain"));
        let (code, output) = run.ended();
        assert_eq!(code, Some(0));
        assert!(
            output.contains("the hook runs\nthe hook ends\n"),
            "{output}"
        );
    }

    #[test]
    fn the_second_signal_ends_it_at_once() {
        let run = start("127.0.0.1:0");
        let never = run.send("/never");
        assert!(read(run.send("/hello")).ends_with("hello"));
        run.signal(Signal::Int);
        run.wait_until_it_does_not_listen();
        run.signal(Signal::Int);
        assert_eq!(read(never), "");
        assert_eq!(run.ended().0, Some(1));
    }

    #[test]
    fn an_address_in_use_is_named() {
        let run = start("127.0.0.1:0");
        let output = command(&run.addresses[0]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let text = String::from_utf8(output.stderr).unwrap();
        let expected = format!("cannot start: cannot listen on {}: ", run.addresses[0]);
        assert!(text.contains(&expected), "{text}");
        run.signal(Signal::Term);
        assert_eq!(run.ended().0, Some(0));
    }
}
