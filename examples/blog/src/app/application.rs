//! Hooks of the workers: Egg's `app.js`.

use hatchery::{Application, Boot, BoxError};

use super::model::store::Store;

#[hatchery::boot(application)]
#[derive(Default)]
struct Worker;

impl Boot for Worker {
    /// A new blog has something to read.
    async fn did_load(&self, app: &Application) -> Result<(), BoxError> {
        let store = app.loaded::<Store>()?;
        if store.is_empty()? {
            store.create("Hello", "This post was there before you.")?;
        }
        Ok(())
    }

    async fn server_did_ready(&self, app: &Application) -> Result<(), BoxError> {
        app.logger().info("everybody is up");
        Ok(())
    }
}
