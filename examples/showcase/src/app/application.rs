//! The life of a worker.

use hatchery::{Application, Boot, BoxError};

use super::service::cache;
use crate::settings::Showcase;

#[hatchery::boot(application)]
struct Worker;

impl Boot for Worker {
    async fn did_load(&self, app: &Application) -> Result<(), BoxError> {
        app.section::<Showcase>("showcase")?.boot_worker()?;
        tokio::spawn(cache::trim(app.clone()));
        Ok(())
    }
}
