//! Hooks of the agent: Egg's `agent.js`.

use hatchery::{Application, Boot, BoxError};

use super::model::store::Store;

#[hatchery::boot(agent)]
#[derive(Default)]
struct Agent;

impl Boot for Agent {
    /// A new blog has something to read. There is one agent, and it is ready before any worker.
    async fn did_load(&self, app: &Application) -> Result<(), BoxError> {
        let store = app.loaded::<Store>()?;
        if store.is_empty()? {
            store.create("Hello", "This post was there before you.")?;
        }
        Ok(())
    }

    async fn before_close(&self, app: &Application) -> Result<(), BoxError> {
        app.logger().info("the agent leaves");
        Ok(())
    }
}
