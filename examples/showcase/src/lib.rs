//! Hatchery's standing proof: a small service that can be killed, hung and leaked on demand.
//!
//! What it does is in `src/app`: nothing there is named here.

hatchery::app!();
mod settings;

use hatchery::App;

use crate::settings::Showcase;

/// The application, not yet run.
pub fn app() -> App {
    App::new(hatchery::package!()).section::<Showcase>("showcase")
}
