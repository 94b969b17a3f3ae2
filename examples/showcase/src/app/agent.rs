//! The life of the agent: background work that exists once, however many workers serve.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hatchery::{Application, Boot, BoxError};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::settings::Showcase;

const TICK: Duration = Duration::from_secs(1);

#[hatchery::boot(agent)]
#[derive(Default)]
struct Agent {
    ticking: Mutex<Option<JoinHandle<()>>>,
}

impl Boot for Agent {
    async fn did_load(&self, app: &Application) -> Result<(), BoxError> {
        app.section::<Showcase>("showcase")?.boot_agent()?;
        eprintln!("the agent ticks every {}", humantime::format_duration(TICK));
        *self.ticking() = Some(tokio::spawn(tick(app.clone())));
        Ok(())
    }

    async fn server_did_ready(&self, _: &Application) -> Result<(), BoxError> {
        eprintln!("the agent knows that every worker is ready");
        Ok(())
    }

    async fn before_close(&self, _: &Application) -> Result<(), BoxError> {
        let ticking = self.ticking().take();
        match ticking {
            Some(ticking) => Ok(ticking.await?),
            None => Ok(()),
        }
    }
}

impl Agent {
    fn ticking(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.ticking.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ticks until the pool stops.
async fn tick(app: Application) {
    let mut ticker = interval(TICK);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut ticks = 0_u64;
    loop {
        tokio::select! {
            _ = ticker.tick() => ticks += 1,
            () = app.shutdown().comes() => break,
        }
    }
    eprintln!("the agent stops after {ticks} ticks");
}
