//! What is known when a worker boots: the page, and the greeting.

use hatchery::Application;

use super::whoami::Whoami;

/// The page with what is known of this worker filled in.
pub(crate) fn page(app: &Application) -> String {
    let whoami = Whoami::of(app);
    let slot = whoami
        .slot
        .map_or_else(|| "–".to_owned(), |slot| slot.to_string());
    include_str!("../../page.html")
        .replace("{{workers}}", &app.identity().workers.to_string())
        .replace("{{slot}}", &slot)
        .replace("{{pid}}", &whoami.pid.to_string())
        .replace("{{instance}}", &whoami.instance.to_string())
        .replace("{{generation}}", &whoami.generation.to_string())
}
