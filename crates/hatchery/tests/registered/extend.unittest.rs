//! What extensions do in the environment `unittest`.

use hatchery::{Application, Context};

#[hatchery::extend(replace)]
async fn greeting(app: &Application, whom: &str) -> String {
    format!("Testing {}, {whom}", app.name())
}

/// There in this environment only.
#[hatchery::extend]
pub fn mocked(ctx: &Context) -> usize {
    ctx.app().name().len()
}
