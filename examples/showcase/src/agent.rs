//! The agent's hook: background work that exists once, however many workers serve.

use std::time::Duration;

use hatchery::{Application, BoxError};
use tokio::time::{MissedTickBehavior, interval};

use crate::settings::Showcase;

const TICK: Duration = Duration::from_secs(1);

/// Ticks until the pool stops.
pub(crate) async fn agent(app: Application) -> Result<(), BoxError> {
    app.section::<Showcase>("showcase")?.boot_agent()?;
    eprintln!("the agent ticks every {}", humantime::format_duration(TICK));
    let mut ticker = interval(TICK);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut ticks = 0_u64;
    let mut told = false;
    loop {
        tokio::select! {
            _ = ticker.tick() => ticks += 1,
            () = app.server_did_ready().comes(), if !told => {
                told = true;
                eprintln!("the agent knows that every worker is ready");
            }
            () = app.shutdown().comes() => break,
        }
    }
    eprintln!("the agent stops after {ticks} ticks");
    Ok(())
}
