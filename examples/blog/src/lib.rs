//! A small blog: what an application on Hatchery looks like.
//!
//! Nothing here names a controller, a service or a middleware: what is in `src/app` is found when
//! the crate is built. Look there in the order in which it loads: `extend`, `model`, `service`,
//! `middleware`, `controller`, `router.rs`.

hatchery::app!();
mod plugin;
mod settings;

use hatchery::App;

use crate::plugin::audit::Audit;
use crate::settings::Blog;

/// The application, not yet run.
pub fn app() -> App {
    App::new(hatchery::package!())
        .plugin(Audit)
        .section::<Blog>("blog")
}
