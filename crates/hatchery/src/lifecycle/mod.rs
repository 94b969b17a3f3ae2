//! From start to close: the hooks of applications, agents, plugins and frameworks.
//!
//! [`Boot`] has the hooks, in their order. A process runs them so:
//!
//! 1. `load_config` of all units at the same time, `config_will_load` and `config_did_load` one
//!    after the other in load order.
//! 2. Extensions, custom loaders, services, middleware, controllers and the router are loaded (the
//!    agent has none of the last three).
//! 3. `did_load` of all at the same time, then `will_ready`. An error ends the start: those whose
//!    `did_load` was begun are closed, and the process ends with 1. So it goes when the process is
//!    told to end meanwhile, with 0.
//! 4. The process is ready and serves. `did_ready`, then (when the agent and all workers are ready)
//!    `server_did_ready`.
//! 5. It is told to end: what is in flight is answered, background work ends, `before_close` runs
//!    in reverse order.
//!
//! `--check` does the first two only. `--single` is agent and worker in one process: the agent's
//! hooks (and those for both) start before the workers', and are closed before them.

mod boot;
mod close;
mod hooks;
mod life;
mod settings;
#[cfg(test)]
mod tests;
mod timing;
mod together;
pub(crate) mod trace_page;

#[doc(hidden)]
pub use boot::ErasedBoot;
pub use boot::{Boot, BootRole};
pub(crate) use hooks::{HookError, Hooks};
pub(crate) use life::Life;
pub(crate) use settings::BootSettings;
pub(crate) use timing::Timing;
pub(crate) use together::poll_caught;

use crate::events::ErrorOrigin;
use crate::runtime::Moment;
use crate::{Application, BoxError};

/// One step of a start, which the process's being told to end puts an end to.
pub(crate) async fn unless_ended<T, E: Into<BoxError>>(
    shutdown: &Moment,
    step: impl Future<Output = Result<T, E>>,
) -> Result<T, BoxError> {
    tokio::select! {
        biased;
        () = shutdown.comes() => Err("told to end before it was ready".into()),
        done = step => done.map_err(Into::into),
    }
}

/// What went wrong and does not end the process.
fn report(app: &Application, error: HookError) {
    app.report(&error.into(), &ErrorOrigin::Hook, None);
}
