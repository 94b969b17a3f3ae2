//! Applications in process.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::extract::Query;
use axum::routing::{get, post};
use axum::{Form, Json, Router};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::TestApp;
use crate::{App, Application, Boot, BootRole, BoxError, Context, Service};

fn package() -> crate::Package {
    crate::package!()
}

fn serves(router: impl FnOnce(&Application) -> Router + Send + 'static) -> App {
    App::new(package()).router(|app| Ok(router(app)))
}

/// Runs a test in a runtime of its own.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(test);
}

#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<String>>>);

impl Diary {
    fn note(&self, text: impl Into<String>) {
        self.0.lock().unwrap().push(text.into());
    }

    fn notes(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// Notes each hook.
struct Noting(&'static str, Diary);

impl Noting {
    #[expect(clippy::unnecessary_wraps, reason = "as hooks want it")]
    fn note(&self, hook: &str) -> Result<(), BoxError> {
        self.1.note(format!("{} {hook}", self.0));
        Ok(())
    }
}

impl Boot for Noting {
    fn config_did_load(&self, _: &Application) -> Result<(), BoxError> {
        self.note("config_did_load")
    }

    async fn did_load(&self, _: &Application) -> Result<(), BoxError> {
        self.note("did_load")
    }

    async fn will_ready(&self, _: &Application) -> Result<(), BoxError> {
        self.note("will_ready")
    }

    async fn did_ready(&self, _: &Application) -> Result<(), BoxError> {
        self.note("did_ready")
    }

    async fn server_did_ready(&self, _: &Application) -> Result<(), BoxError> {
        self.note("server_did_ready")
    }

    async fn before_close(&self, _: &Application) -> Result<(), BoxError> {
        self.note("before_close")
    }
}

#[test]
fn it_lives_from_the_first_hook_to_the_last() {
    run(async {
        let diary = Diary::default();
        let agent = diary.clone();
        let app = App::new(package())
            .boot(BootRole::Application, Noting("worker", diary.clone()))
            .boot(BootRole::Agent, Noting("agent", diary.clone()))
            .agent(async move |app: Application| {
                app.shutdown().comes().await;
                agent.note("agent ends");
                Ok(())
            });
        let app = TestApp::new(app).start().await.unwrap();
        app.hooks_finished().await;
        let begun = [
            "agent config_did_load",
            "worker config_did_load",
            "agent did_load",
            "agent will_ready",
            "worker did_load",
            "worker will_ready",
        ];
        assert_eq!(diary.notes()[..6], begun);
        let ready = diary.notes()[6..].to_vec();
        assert_eq!(ready.len(), 4, "{ready:?}");
        assert!(ready[..2].iter().all(|note| note.ends_with(" did_ready")));
        assert!(
            ready[2..]
                .iter()
                .all(|note| note.ends_with(" server_did_ready"))
        );
        app.close().await;
        let ended = ["agent ends", "agent before_close", "worker before_close"];
        assert_eq!(diary.notes()[10..], ended);
    });
}

/// Ready for ever: its hooks do not end.
struct Restless(Diary);

impl Boot for Restless {
    async fn did_ready(&self, _: &Application) -> Result<(), BoxError> {
        self.0.note("did_ready");
        std::future::pending().await
    }

    async fn server_did_ready(&self, _: &Application) -> Result<(), BoxError> {
        self.0.note("server_did_ready");
        Ok(())
    }

    async fn before_close(&self, _: &Application) -> Result<(), BoxError> {
        self.0.note("before_close");
        Ok(())
    }
}

#[test]
fn it_takes_requests_when_it_is_ready_and_hooks_go_on_beside_them() {
    run(async {
        let diary = Diary::default();
        let app = serves(|_| Router::new().route("/", get(async || "here")));
        let app = app.boot(BootRole::Application, Restless(diary.clone()));
        let app = TestApp::new(app).start().await.unwrap();
        let answer = app.http_request().get("/").send().await;
        assert_eq!(answer.text(), "here");
        app.close().await;
        assert_eq!(diary.notes(), ["did_ready", "before_close"]);
    });
}

#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Post {
    title: String,
}

#[test]
fn requests_and_answers_are_typed() {
    run(async {
        let app = serves(|_| {
            Router::new()
                .route(
                    "/json",
                    post(async |Json(post): Json<Post>| (StatusCode::CREATED, Json(post))),
                )
                .route("/form", post(async |Form(post): Form<Post>| post.title))
                .route("/query", get(async |Query(post): Query<Post>| post.title))
                .route(
                    "/panic",
                    get(async || -> &'static str { panic!("on purpose") }),
                )
        });
        let app = TestApp::new(app)
            .config("[http]\nbody_limit = \"64B\"")
            .start()
            .await
            .unwrap();
        let hello = Post {
            title: "Hello & so on".to_owned(),
        };
        let made = app.http_request().post("/json").json(&hello).send().await;
        assert_eq!(
            made.expect_status(StatusCode::CREATED).json::<Post>(),
            hello
        );
        assert_eq!(made.header("content-type"), Some("application/json"));
        let form = app.http_request().post("/form").form(&hello).send().await;
        assert_eq!(form.expect_status(200).text(), hello.title);
        let query = app.http_request().get("/query?title=x").send().await;
        assert_eq!(query.text(), "x");
        let long = json!({ "title": "x".repeat(64) });
        let refused = app.http_request().post("/json").json(&long).send().await;
        refused.expect_status(StatusCode::PAYLOAD_TOO_LARGE);
        let failed = app.http_request().get("/panic").send().await;
        failed.expect_status(StatusCode::INTERNAL_SERVER_ERROR);
        let after = app.http_request().get("/query?title=lives").send().await;
        assert_eq!(after.text(), "lives");
    });
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Shop {
    currency: String,
    open: bool,
}

#[test]
fn the_configuration_of_a_test_lies_over_that_of_the_application() {
    run(async {
        let base = tempfile::tempdir().unwrap();
        fs::create_dir(base.path().join("config")).unwrap();
        let file = |name: &str, text: &str| {
            fs::write(base.path().join("config").join(name), text).unwrap();
        };
        file(
            "config.default.toml",
            "[shop]\ncurrency = \"EUR\"\nopen = true",
        );
        file("config.unittest.toml", "[shop]\ncurrency = \"XTS\"");
        let shop = || App::new(package()).section::<Shop>("shop");
        let shown = |app: &TestApp| app.section::<Shop>("shop").unwrap();

        let app = TestApp::new(shop())
            .base_dir(base.path())
            .start()
            .await
            .unwrap();
        assert_eq!(
            (shown(&app).currency.as_str(), shown(&app).open),
            ("XTS", true)
        );
        assert_eq!(app.env(), "unittest");

        let app = TestApp::new(shop())
            .base_dir(base.path())
            .env("prod")
            .config("[shop]\nopen = false")
            .start()
            .await
            .unwrap();
        assert_eq!(
            (shown(&app).currency.as_str(), shown(&app).open),
            ("EUR", false)
        );

        let wrong = TestApp::new(shop()).mock_config("shop.curency", "EUR");
        let error = wrong.start().await.unwrap_err().to_string();
        let expected = "cannot start: flag TestApp::config: unknown key `shop.curency`, \
                        did you mean `currency`?";
        assert_eq!(error, expected);
    });
}

struct Failing;

impl Boot for Failing {
    async fn did_load(&self, _: &Application) -> Result<(), BoxError> {
        Err("no database".into())
    }
}

#[test]
fn a_start_that_fails_says_why() {
    run(async {
        let app = App::new(package()).boot(BootRole::Application, Failing);
        let error = TestApp::new(app).start().await.unwrap_err().to_string();
        assert!(error.starts_with("cannot start: "), "{error}");
        assert!(
            error.contains("did_load") && error.contains("no database"),
            "{error}"
        );
    });
}

struct Weather {
    text: &'static str,
}

impl Service for Weather {
    fn new(_: &Context) -> Self {
        Self {
            text: "asks a satellite",
        }
    }
}

#[derive(Debug, PartialEq)]
struct User(&'static str);

#[test]
fn what_is_mocked_is_what_requests_see() {
    run(async {
        let app = || {
            serves(|app| {
                let clock = app.clock().clone();
                Router::new().route(
                    "/",
                    get(async move |ctx: Context| {
                        let now = clock.now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
                        Json(json!({
                            "weather": ctx.service::<Weather>().text,
                            "user": ctx.user::<User>().map(|user| user.0),
                            "now": now.as_secs(),
                        }))
                    }),
                )
            })
        };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(86_400);
        let mocked = TestApp::new(app())
            .mock_service(|_| Weather { text: "sunny" })
            .mock_user(User("ann"))
            .mock_clock(now)
            .start()
            .await
            .unwrap();
        let seen = || async { mocked.http_request().get("/").send().await.json::<Value>() };
        let expected = json!({ "weather": "sunny", "user": "ann", "now": 86_400 });
        assert_eq!(seen().await, expected);
        assert_eq!(mocked.mock_context().service::<Weather>().text, "sunny");
        mocked.clock().advance(Duration::from_secs(5));
        assert_eq!(seen().await["now"], 86_405);
        mocked.mock_service(|_| Weather { text: "rainy" });
        assert_eq!(seen().await["weather"], "rainy");
        mocked.restore_mocks();
        let real = seen().await;
        assert_eq!(
            (&real["weather"], &real["user"]),
            (&json!("asks a satellite"), &Value::Null)
        );
    });
}

#[test]
fn background_work_can_be_waited_for_and_is_waited_for_at_the_end() {
    run(async {
        let done = Arc::new(AtomicBool::new(false));
        let work = Arc::clone(&done);
        let app = serves(move |_| {
            Router::new().route(
                "/",
                post(async move |ctx: Context| {
                    ctx.run_in_background("noting", async move {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                        work.store(true, Ordering::Relaxed);
                        Ok(())
                    });
                    "accepted"
                }),
            )
        });
        let app = TestApp::new(app).start().await.unwrap();
        app.http_request().post("/").send().await.expect_status(200);
        app.background_tasks_finished().await;
        assert!(done.swap(false, Ordering::Relaxed));
        app.http_request().post("/").send().await.expect_status(200);
        app.close().await;
        assert!(done.load(Ordering::Relaxed));
    });
}

#[test]
fn a_panic_is_an_error_as_any_other() {
    run(async {
        let diary = Diary::default();
        let listens = diary.clone();
        let app = serves(move |app| {
            app.on_error({
                let diary = listens.clone();
                move |event| diary.note(event.error().to_string())
            });
            app.on_response(move |event| listens.note(event.status().as_str()));
            Router::new().route(
                "/panic",
                get(async |ctx: Context| -> &'static str {
                    ctx.cookies().set(("seen", "yes"));
                    panic!("{} on purpose", ctx.request_id())
                }),
            )
        });
        let app = TestApp::new(app)
            .config("[middleware.meta]\nenable = true")
            .start()
            .await
            .unwrap();
        let ask = app.http_request().get("/panic");
        let ask = ask.header("accept", "application/json");
        let failed = ask.header("x-request-id", "abc").send().await;
        failed.expect_status(StatusCode::INTERNAL_SERVER_ERROR);
        let message = failed.json::<Value>()["message"].clone();
        assert_eq!(message, "panicked: abc on purpose");
        assert_eq!(failed.header("x-request-id"), Some("abc"));
        assert!(failed.header("set-cookie").is_some());
        // The outer middleware has seen the response out.
        assert!(failed.header("x-readtime").is_some());
        assert_eq!(diary.notes(), ["panicked: abc on purpose", "500"]);
    });
}
