//! Hooks of the agent: Egg's `agent.js`.

use hatchery::{Application, Boot, BoxError};

#[hatchery::boot(agent)]
#[derive(Default)]
struct Agent;

impl Boot for Agent {
    async fn did_load(&self, app: &Application) -> Result<(), BoxError> {
        app.logger().info("the agent looks after the blog");
        Ok(())
    }

    async fn before_close(&self, app: &Application) -> Result<(), BoxError> {
        app.logger().info("the agent leaves");
        Ok(())
    }
}
