//! The guide: a chapter for each concept.
//!
//! An application is a crate with a `config/` directory and a `src/app/` directory:
//!
//! ```text
//! build.rs                     hatchery_build::scan()
//! config/config.default.toml   and config.<env>.toml, plugin.toml
//! src/main.rs                  names the plugins and runs
//! src/app/router.rs            routes that no controller brings itself
//! src/app/application.rs       hooks of the workers
//! src/app/agent.rs             hooks of the agent
//! src/app/controller/**.rs     handlers
//! src/app/service/**.rs        business logic, made once for a request
//! src/app/middleware/**.rs     named layers, ordered by the configuration
//! src/app/extend/**.rs         methods of your own on the framework's objects
//! src/app/<yours>/**.rs        directories of your own kind
//! ```
//!
//! `src/main.rs` names the plugins and nothing that is in `src/app`:
//!
//! ```ignore
//! use std::process::ExitCode;
//!
//! use hatchery::App;
//!
//! hatchery::app!();
//!
//! fn main() -> ExitCode {
//!     App::new(hatchery::package!()).run()
//! }
//! ```
//!
//! `examples/blog` is such an application.
//!
//! 1. [Configuration](configuration)
//! 2. [Plugins and frameworks](plugins)
//! 3. [Lifecycle](lifecycle)
//! 4. [Context and services](services)
//! 5. [Sessions](session)
//! 6. [Routes and controllers](routes)
//! 7. [Routes in the configuration](configured_routes)
//! 8. [Static files](static_files)
//! 9. [WebSocket](websocket)
//! 10. [Middleware](middleware)
//! 11. [Extensions and custom loaders](extensions)
//! 12. [Errors](errors)
//! 13. [Testing](testing)
//!
//! Who comes from elsewhere: [from Egg](from_egg), [from Vemo](from_vemo).

#[doc = include_str!("../docs/guide/configuration.md")]
pub mod configuration {}

#[doc = include_str!("../docs/guide/plugins.md")]
pub mod plugins {}

#[doc = include_str!("../docs/guide/lifecycle.md")]
pub mod lifecycle {}

#[doc = include_str!("../docs/guide/services.md")]
pub mod services {}

#[cfg_attr(
    all(feature = "session", feature = "testing"),
    doc = include_str!("../docs/guide/session.md")
)]
#[cfg_attr(
    not(all(feature = "session", feature = "testing")),
    doc = "*Sessions*: this chapter is there with the features `session` and `testing`."
)]
pub mod session {}

#[doc = include_str!("../docs/guide/routes.md")]
pub mod routes {}

#[doc = include_str!("../docs/guide/configured_routes.md")]
pub mod configured_routes {}

#[doc = include_str!("../docs/guide/static_files.md")]
pub mod static_files {}

#[cfg_attr(feature = "websocket", doc = include_str!("../docs/guide/websocket.md"))]
#[cfg_attr(
    not(feature = "websocket"),
    doc = "*WebSocket*: this chapter is there with the feature `websocket`."
)]
pub mod websocket {}

#[doc = include_str!("../docs/guide/middleware.md")]
pub mod middleware {}

#[doc = include_str!("../docs/guide/extensions.md")]
pub mod extensions {}

#[doc = include_str!("../docs/guide/errors.md")]
pub mod errors {}

#[cfg_attr(feature = "testing", doc = include_str!("../docs/guide/testing.md"))]
#[cfg_attr(
    not(feature = "testing"),
    doc = "*Testing*: this chapter is there with the feature `testing`."
)]
pub mod testing {}

#[doc = include_str!("../docs/guide/from_egg.md")]
pub mod from_egg {}

#[doc = include_str!("../docs/guide/from_vemo.md")]
pub mod from_vemo {}
