//! `/framework`: the text of `/hello`, through everything that the framework has. The comparison
//! measures it.

use hatchery::{Context, Error, get};

use crate::app::service::greeter::Greeter;

#[get("/framework")]
async fn framework(ctx: Context) -> Result<&'static str, Error> {
    ctx.service::<Greeter>().greet()
}
