//! Types that are not what they are used as.

use hatchery::{App, Context};

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

fn used(ctx: &Context) {
    ctx.service::<Nothing>();
    let _ = App::new(hatchery::package!()).plugin(Nothing).framework(Nothing);
}

fn main() {}
