//! Hooks of the workers: Egg's `app.js`.

use hatchery::{Application, Boot, BoxError};

#[hatchery::boot(application)]
#[derive(Default)]
struct Worker;

impl Boot for Worker {
    async fn server_did_ready(&self, app: &Application) -> Result<(), BoxError> {
        app.logger().info("everybody is up");
        Ok(())
    }

    /// Its last request is answered.
    async fn before_close(&self, app: &Application) -> Result<(), BoxError> {
        app.logger().info("this worker leaves");
        Ok(())
    }
}
