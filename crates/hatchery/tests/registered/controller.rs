//! `#[controller]`: actions and routes of their own.

use hatchery::extract::Path;
use hatchery::loader::Inject;
use hatchery::loader::registry::Item;
use hatchery::{Application, BoxError, Context, Load, Routes};

struct Posts;

#[hatchery::controller(resources = "/posts", name = "posts", singular = "entry")]
impl Posts {
    async fn index(ctx: Context) -> String {
        ctx.app().name().to_owned()
    }

    async fn show(Path(id): Path<u32>) -> String {
        helper(id)
    }

    #[hatchery::get("/posts/top", name = "top_posts")]
    async fn top() -> &'static str {
        "top"
    }
}

fn helper(id: u32) -> String {
    format!("post {id}")
}

#[hatchery::load(kind = "model")]
#[allow(dead_code, reason = "read where the feature `testing` is on")]
pub(crate) struct Rates(pub(crate) u32);

impl Load for Rates {
    type From = Application;

    fn load(app: &Application) -> Result<Self, BoxError> {
        Ok(Self(u32::try_from(app.name().len())?))
    }
}

#[test]
fn a_controller_adds_actions_and_routes() {
    let [controller] = crate::registered(module_path!(), "Posts")[..] else {
        panic!("{:?}", crate::registered(module_path!(), "Posts"));
    };
    let Item::Controller(add) = controller.item else {
        panic!("{controller:?}");
    };
    let mut routes = Routes::default();
    add(&mut routes);
    let routes = format!("{routes:#?}");
    let has = |part: &str| assert!(routes.contains(part), "{part}: {routes}");
    has("path: \"/posts\"");
    has("path: \"/posts/{id}\"");
    has("\"entry\"");
    has("\"top_posts\"");
    has("handler: \"registered::controller::Posts::show\"");
    has(&format!("file: {:?}", file!()));
    assert!(!routes.contains("edit"), "{routes}");
    let [show] = crate::registered(module_path!(), "Posts::show")[..] else {
        panic!("{:?}", crate::registered(module_path!(), "Posts::show"));
    };
    assert!(matches!(show.item, Item::Action));
}

#[test]
fn a_type_of_an_own_kind_says_what_it_is_made_from() {
    let [rates] = crate::registered(module_path!(), "Rates")[..] else {
        panic!("{:?}", crate::registered(module_path!(), "Rates"));
    };
    let Item::Loaded { kind, inject, .. } = rates.item else {
        panic!("{rates:?}");
    };
    assert_eq!((kind, inject()), ("model", Inject::Application));
}
