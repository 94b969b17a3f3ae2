//! An application of all that is registered here, as it runs.

use hatchery::Context;
use hatchery::testing::TestApp;

use crate::controller::Rates;
use crate::extend::{Greeting, IsAdmin};
use crate::extend_unittest::Mocked;
use crate::{app, line};

#[hatchery::get("/greeting")]
async fn greeting(ctx: Context) -> String {
    ctx.app().greeting("you").await
}

#[hatchery::get("/extended")]
async fn extended(ctx: Context) -> String {
    format!("{} {}", ctx.is_admin(1), ctx.mocked())
}

#[hatchery::get("/loaded")]
async fn loaded(ctx: Context) -> String {
    let rates = ctx.app().loaded::<Rates>();
    rates.map_or_else(|error| error.to_string(), |rates| rates.0.to_string())
}

#[tokio::test]
async fn everything_registered_runs() {
    let config = "[custom_loader.model]";
    let app = TestApp::new(app()).config(config).start().await.unwrap();
    for (path, expected) in [
        ("/greeting", "Testing hatchery, you"),
        ("/extended", "false 8"),
        ("/loaded", "8"),
        ("/posts", "hatchery"),
        ("/posts/3", "post 3"),
        ("/posts/top", "top"),
        ("/hello", "Hello"),
        ("/routed", "Hello"),
        ("/short", "Hello"),
    ] {
        let answer = app.http_request().get(path).send().await;
        assert_eq!(answer.text(), expected, "{path}");
    }
}

#[tokio::test]
async fn what_replaces_in_one_environment_does_not_in_another() {
    let config = "[custom_loader.model]";
    let app = TestApp::new(app())
        .env("prod")
        .config(config)
        .start()
        .await
        .unwrap();
    let answer = app.http_request().get("/greeting").send().await;
    assert_eq!(answer.text(), "Hello, you, from hatchery");
}

#[tokio::test]
async fn an_undeclared_kind_ends_the_start() {
    let error = TestApp::new(app()).start().await.unwrap_err().to_string();
    let line = line(include_str!("controller.rs"), "struct Rates(");
    let place = format!("crates/hatchery/tests/registered/controller.rs:{line}");
    assert_eq!(
        error,
        format!(
            "cannot start: {place}: `Rates` is of the kind `model`, which no configuration \
             declares: write `[custom_loader.model]` with `inject = \"application\"` into \
             config/config.default.toml"
        )
    );
}
