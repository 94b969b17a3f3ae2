//! What `/framework` says.

use hatchery::{Context, Error};

/// The configured greeting, read once. It lives as long as the process.
pub(crate) struct Greeting(pub(crate) &'static str);

/// Greets whoever has sent a request.
#[hatchery::service]
pub(crate) struct Greeter {
    ctx: Context,
}

impl Greeter {
    /// The text that the configuration wants.
    pub(crate) fn greet(&self) -> Result<&'static str, Error> {
        let greeting = self.ctx.app().locals().get::<Greeting>();
        let greeting = greeting.ok_or_else(|| Error::not_found("nobody has said what to say"))?;
        Ok(greeting.0)
    }
}
