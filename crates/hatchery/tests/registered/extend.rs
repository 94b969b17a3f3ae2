//! `#[extend]`: methods of `Context` and `Application`, and of what has no application.

use hatchery::http::request::Parts;
use hatchery::loader::registry::Item;
use hatchery::{Application, Context};

/// Whether it may do everything.
#[hatchery::extend]
pub fn is_admin(ctx: &Context, level: u32) -> bool {
    ctx.app().name() == "root" && level > limit()
}

fn limit() -> u32 {
    3
}

#[hatchery::extend]
pub async fn greeting(app: &Application, whom: &str) -> String {
    format!("Hello, {whom}, from {}", app.name())
}

#[hatchery::extend]
pub fn wants_json(request: &Parts) -> bool {
    request.uri.path().starts_with("/api")
}

#[test]
fn an_extension_without_an_application_is_a_trait() {
    let (parts, ()) = hatchery::http::Request::get("/api/x")
        .body(())
        .unwrap()
        .into_parts();
    assert!(parts.wants_json());
    assert!(crate::registered(module_path!(), "wants_json").is_empty());
}

#[test]
fn extensions_are_registered_with_their_form() {
    let [one] = crate::registered(module_path!(), "is_admin")[..] else {
        panic!("{:?}", crate::registered(module_path!(), "is_admin"));
    };
    let Item::Extension {
        target,
        env,
        replaces,
        function,
        ..
    } = one.item
    else {
        panic!("{one:?}");
    };
    assert_eq!((target, env, replaces), ("Context", None, false));
    assert!(function().is::<fn(&Context, u32) -> bool>());
}
