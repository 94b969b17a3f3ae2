//! What the attributes tell of their items.

mod controller;
mod extend;
#[path = "extend.unittest.rs"]
mod extend_unittest;
#[cfg(feature = "testing")]
mod running;

use hatchery::http::request::Parts;
use hatchery::loader::registry::{Item, Registration};
use hatchery::{Application, Boot, BootRole, BoxError, Context, Routes};

#[hatchery::get("/hello", name = "hello")]
async fn hello() -> &'static str {
    "Hello"
}

#[hatchery::router]
fn router(routes: &mut Routes, _: &Application) -> Result<(), BoxError> {
    routes.get("/routed", hello);
    Ok(())
}

#[hatchery::router]
fn short_router(routes: &mut Routes) {
    routes.get("/short", hello);
}

#[hatchery::service]
#[expect(dead_code, reason = "nobody asks for it")]
struct Posts {
    ctx: Context,
    seen: Vec<String>,
}

#[hatchery::boot(application)]
struct Hooks;

impl Boot for Hooks {}

#[hatchery::predicate]
fn is_long(parts: &Parts) -> bool {
    parts.uri.path().len() > 10
}

/// The application that all of it belongs to: it is made in the crate's root.
#[cfg(feature = "testing")]
fn app() -> hatchery::App {
    hatchery::App::new(hatchery::package!())
}

/// Where `part` first stands in this text.
fn line(text: &str, part: &str) -> u32 {
    let before = text.lines().take_while(|line| !line.contains(part));
    before.fold(1, |line, _| line + 1)
}

/// The registrations of this name in that module.
fn registered(module: &str, name: &str) -> Vec<&'static Registration> {
    let all = Registration::all().into_iter();
    all.filter(|one| one.module == module && one.name == name)
        .collect()
}

#[test]
fn a_handler_is_a_route_and_an_action() {
    let [one, other] = registered(module_path!(), "hello")[..] else {
        panic!("{:?}", registered(module_path!(), "hello"));
    };
    let (action, route) = match one.item {
        Item::Action => (one, other),
        _ => (other, one),
    };
    assert!(matches!(action.item, Item::Action));
    assert!(matches!(route.item, Item::Controller(_)));
    let type_name = std::any::type_name_of_val(&hello);
    assert_eq!(type_name, format!("{}::{}", action.module, action.name));
    assert_eq!(
        (action.file, action.line),
        (file!(), line(include_str!("main.rs"), "fn hello("))
    );
}

#[test]
fn every_item_is_registered_once() {
    for (name, kind) in [
        ("router", "Router("),
        ("short_router", "Router("),
        ("Posts", "Service "),
        ("Hooks", "Boot "),
        ("is_long", "Predicate("),
    ] {
        let [one] = registered(module_path!(), name)[..] else {
            panic!("{:?}", registered(module_path!(), name));
        };
        assert!(format!("{:?}", one.item).starts_with(kind), "{one:?}");
        assert_eq!(one.module, module_path!());
    }
    let [hooks] = registered(module_path!(), "Hooks")[..] else {
        unreachable!()
    };
    let Item::Boot { role, make } = &hooks.item else {
        unreachable!()
    };
    assert_eq!(*role, BootRole::Application);
    assert!(make().type_name().ends_with("Hooks"));
}
