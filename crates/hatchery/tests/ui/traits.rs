//! Types that are not what they are used as.

use hatchery::{App, Application, BoxError, Context, Routes};

struct Nothing;

#[hatchery::boot(application)]
struct WithoutHooks;

#[hatchery::boot(application)]
struct WithoutDefault {
    _name: &'static str,
}

impl hatchery::Boot for WithoutDefault {}

#[hatchery::load(kind = "model")]
struct WithoutLoad;

#[hatchery::service]
struct WithoutDefaultField {
    _nothing: Nothing,
}

struct FromNothing;

impl hatchery::Load for FromNothing {
    type From = Nothing;

    fn load(_: &Nothing) -> Result<Self, BoxError> {
        Ok(Self)
    }
}

#[hatchery::middleware]
fn no_layer(_: (), _: &Application) -> Nothing {
    Nothing
}

#[hatchery::middleware]
async fn without_next(_: Context) {}

#[hatchery::handler]
async fn takes_nothing(_: Nothing, _: Context) {}

#[hatchery::handler]
async fn returns_nothing(_: hatchery::Event<u8>) -> Nothing {
    Nothing
}

fn used(ctx: &Context, routes: &mut Routes) {
    ctx.service::<Nothing>();
    routes.resources::<Nothing>("posts", "/posts");
    let _ = App::new(hatchery::package!()).plugin(Nothing).framework(Nothing);
}

fn main() {}
