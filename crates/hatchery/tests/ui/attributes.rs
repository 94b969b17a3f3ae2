//! Attributes with arguments that mean nothing, and on items that they do not fit.

use hatchery::{Application, Context, Routes};

#[hatchery::get]
async fn no_path() {}

#[hatchery::get("posts")]
async fn no_slash() {}

#[hatchery::get("/posts/:id")]
async fn old_parameter() {}

#[hatchery::post("/files/*rest")]
async fn old_rest() {}

#[hatchery::get("/", nmae = "home")]
async fn unknown_option() {}

#[hatchery::get("/", name = "a", name = "b")]
async fn option_twice() {}

#[hatchery::get("/", middleware = [timing])]
async fn middleware_without_quotes() {}

#[hatchery::get("/", middleware = "timing")]
async fn middleware_without_brackets() {}

#[hatchery::get("/")]
fn not_asynchronous() {}

#[hatchery::get("/")]
async fn generic<T>(_: T) {}

struct Posts;

#[hatchery::controller(resource = "/posts")]
impl Posts {
    async fn index() {}
}

#[hatchery::controller(resources = "/posts")]
impl Posts {
    async fn list() {}
}

#[hatchery::controller]
impl Posts {
    async fn top() {}
}

#[hatchery::controller(name = "posts")]
impl Posts {
    #[hatchery::get("/")]
    async fn first() {}
}

#[hatchery::controller(resources = "/posts")]
impl Posts {
    async fn show(&self) {}
}

#[hatchery::controller]
impl Default for Posts {
    fn default() -> Self {
        Self
    }
}

#[hatchery::controller(resources = "/posts")]
impl [u8] {
    async fn index() {}
}

#[hatchery::router]
async fn waiting(_: &mut Routes) {}

#[hatchery::router]
fn too_much(_: &mut Routes, _: &Application, _: u32) {}

#[hatchery::boot]
struct NoRole;

#[hatchery::boot(worker)]
struct UnknownRole;

#[hatchery::boot(agent)]
fn not_a_type() {}

#[hatchery::service]
struct Generic<T>(T);

#[hatchery::service(lazy)]
struct WithArguments;

#[hatchery::service]
fn not_a_struct() {}

struct Timing;

impl Timing {
    #[hatchery::middleware]
    async fn with_self(&self) {}
}

#[hatchery::predicate]
async fn patient() -> bool {
    true
}

#[hatchery::extend]
fn without_object() {}

#[hatchery::extend]
fn of_any<T>(_: &Context, _: T) {}

#[hatchery::extend(replaces)]
fn unknown_word(_: &Context) {}

#[hatchery::extend(replace)]
fn not_replaceable(_: &hatchery::http::HeaderMap) {}

#[hatchery::load]
struct WithoutKind;

#[hatchery::load]
fn not_loadable() {}

hatchery::app!("src/app");

hatchery::app!();

fn main() {}
