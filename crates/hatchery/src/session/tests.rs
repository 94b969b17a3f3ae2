//! Sessions of requests, in process.

mod logged;
mod settings;
mod stored;

use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use cookie::Cookie;
use http::StatusCode;
use serde_json::{Value, json};

use super::Session;
use crate::testing::{TestApp, TestAppBuilder, TestResponse};
use crate::{App, Context, Error};

const NAME: &str = "HATCHERY_SESS";
const HOUR: Duration = Duration::from_hours(1);

/// A time for clocks that stand still.
fn newyear() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600)
}

fn routes() -> Router {
    Router::new()
        .route("/untouched", get(async || "untouched"))
        .route("/", get(show))
        .route("/set/{value}", get(set))
        .route(
            "/remove",
            get(async |session: Session| session.remove("user")),
        )
        .route("/clear", get(async |session: Session| session.clear()))
        .route("/destroy", get(async |session: Session| session.destroy()))
        .route("/login", get(login))
        .route("/remember", get(remember))
}

async fn show(ctx: Context) -> Result<String, Error> {
    let session = ctx.session().await?;
    let user: Option<String> = session.get("user");
    Ok(format!("{user:?} {}", session.is_new()))
}

async fn set(Path(value): Path<String>, ctx: Context, session: Session) -> Result<String, Error> {
    session.set("user", value)?;
    // It is one session, whoever asks.
    Ok(ctx.session().await?.get("user").unwrap_or_default())
}

async fn login(session: Session) -> Result<(), Error> {
    session.destroy();
    session.set("user", "new")
}

async fn remember(session: Session) {
    session.set_max_age(720 * HOUR);
}

fn sessions() -> App {
    App::new(crate::package!()).router(|_| Ok(routes()))
}

fn app(config: &str) -> TestAppBuilder {
    TestApp::new(sessions()).config(&format!("[session]\n{config}"))
}

/// A browser.
struct Client<'a> {
    app: &'a TestApp,
    cookie: Option<String>,
}

impl<'a> Client<'a> {
    fn new(app: &'a TestApp) -> Self {
        Self { app, cookie: None }
    }

    async fn get(&mut self, path: &str) -> TestResponse {
        let mut request = self.app.http_request().get(path);
        if let Some(cookie) = &self.cookie {
            request = request.cookie(NAME, cookie);
        }
        let response = request.send().await;
        if let Some(cookie) = response.cookie(NAME) {
            let is_kept = cookie.max_age() != Some(cookie::time::Duration::ZERO);
            self.cookie = is_kept.then(|| cookie.value().to_owned());
        }
        response
    }

    /// What the session has, and whether it is new.
    async fn shows(&mut self) -> String {
        self.get("/").await.expect_status(200).text()
    }
}

fn set_by(response: &TestResponse) -> Option<Cookie<'static>> {
    response.expect_status(200).cookie(NAME)
}

#[tokio::test]
async fn a_session_lasts_from_request_to_request() {
    let app = app("").start().await.unwrap();
    let mut ann = Client::new(&app);
    assert_eq!(ann.shows().await, "None true");
    assert_eq!(ann.cookie, None, "an empty one is not worth a cookie");
    assert_eq!(ann.get("/set/ann").await.text(), "ann");
    assert!(!ann.cookie.clone().unwrap().contains("ann"));
    assert_eq!(ann.shows().await, "Some(\"ann\") false");
    assert_eq!(Client::new(&app).shows().await, "None true");
    ann.get("/remove").await;
    assert_eq!(ann.shows().await, "None false");
    ann.get("/set/ann").await;
    ann.get("/clear").await;
    assert_eq!(ann.shows().await, "None false");
}

#[tokio::test]
async fn semantic_49_nothing_is_written_when_nothing_has_changed() {
    let app = app("").mock_clock(newyear()).start().await.unwrap();
    let mut ann = Client::new(&app);
    assert!(set_by(&ann.get("/set/ann").await).is_some());
    app.clock().advance(23 * HOUR);
    for path in ["/", "/set/ann", "/untouched"] {
        assert_eq!(set_by(&ann.get(path).await), None, "{path}");
    }
    assert!(set_by(&ann.get("/set/ben").await).is_some());
}

#[tokio::test]
async fn semantic_49_a_session_is_renewed_only_past_half_of_its_age() {
    let app = app("renew = true").mock_clock(newyear()).start().await;
    let app = app.unwrap();
    let mut ann = Client::new(&app);
    ann.get("/set/ann").await;
    app.clock().advance(12 * HOUR);
    assert_eq!(set_by(&ann.get("/").await), None);
    app.clock().advance(Duration::from_secs(1));
    assert!(set_by(&ann.get("/").await).is_some());
    app.clock().advance(20 * HOUR);
    assert_eq!(ann.shows().await, "Some(\"ann\") false");
    // Its own age counts more.
    ann.get("/remember").await;
    app.clock().advance(359 * HOUR);
    assert_eq!(set_by(&ann.get("/").await), None);
    app.clock().advance(2 * HOUR);
    let renewed = set_by(&ann.get("/").await).unwrap();
    assert_eq!(renewed.max_age().unwrap().whole_hours(), 720);
}

#[tokio::test]
async fn semantic_49_a_rolling_session_is_written_with_each_response() {
    let app = app("rolling = true").start().await.unwrap();
    let mut ann = Client::new(&app);
    assert_eq!(set_by(&ann.get("/").await), None, "there is nothing yet");
    ann.get("/set/ann").await;
    for _ in 0..2 {
        assert!(set_by(&ann.get("/").await).is_some());
    }
    let never_asked = ann.get("/untouched").await;
    assert_eq!(set_by(&never_asked), None, "it costs nothing");
}

#[tokio::test]
async fn semantic_49_a_destroyed_session_clears_its_cookie() {
    let app = app("secure = true").start().await.unwrap();
    let mut ann = Client::new(&app);
    ann.get("/set/ann").await;
    let response = ann.get("/destroy").await;
    let header = response.header("set-cookie").unwrap();
    let cleared = "HATCHERY_SESS=; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=0; ";
    assert!(header.starts_with(cleared), "{header}");
    assert_eq!(ann.shows().await, "None true");
    // What is set after that begins another one.
    ann.get("/set/ann").await;
    ann.get("/login").await;
    assert_eq!(ann.shows().await, "Some(\"new\") false");
}

#[tokio::test]
async fn an_expired_session_is_a_new_one() {
    let app = app("max_age = '2h'").mock_clock(newyear()).start().await;
    let app = app.unwrap();
    let mut ann = Client::new(&app);
    let cookie = set_by(&ann.get("/set/ann").await).unwrap();
    assert_eq!(cookie.max_age().unwrap().whole_hours(), 2);
    app.clock().advance(Duration::from_secs(7199));
    assert_eq!(ann.shows().await, "Some(\"ann\") false");
    app.clock().advance(Duration::from_secs(1));
    assert_eq!(ann.shows().await, "None true");
}

#[tokio::test]
async fn the_first_key_encrypts_and_all_decrypt() {
    let [old, new] = ["old ".repeat(10), "new ".repeat(10)];
    let with = |keys: &[&String]| {
        let config = app("").env("prod").mock_config("keys", json!(keys));
        async { config.start().await.unwrap() }
    };
    let [only_old, both, only_new] = [
        with(&[&old]).await,
        with(&[&new, &old]).await,
        with(&[&new]).await,
    ];
    let mut ann = Client::new(&only_old);
    ann.get("/set/ann").await;
    ann.app = &both;
    assert_eq!(ann.shows().await, "Some(\"ann\") false");
    ann.app = &only_new;
    assert_eq!(ann.shows().await, "None true", "still the old key's");
    ann.app = &both;
    ann.get("/set/ben").await;
    ann.app = &only_new;
    assert_eq!(ann.shows().await, "Some(\"ben\") false");
    ann.app = &only_old;
    assert_eq!(ann.shows().await, "None true");
}

#[tokio::test]
async fn the_cookie_is_as_the_table_says() {
    let config = "name = 'sid'\nmax_age = 'session'\nhttp_only = false\nsame_site = 'strict'\n[http]\nproxy = true";
    let app = app(config).mock_clock(newyear()).start().await.unwrap();
    let ask = |path: &str| app.http_request().get(path);
    let response = ask("/set/ann").send().await;
    let set = response.cookie("sid").unwrap();
    let header = response.header("set-cookie").unwrap();
    assert!(header.ends_with("; SameSite=Strict; Path=/"), "{header}");
    let secure = ask("/set/ann")
        .header("x-forwarded-proto", "https")
        .send()
        .await;
    let header = secure.header("set-cookie").unwrap();
    assert!(
        header.ends_with("; SameSite=Strict; Secure; Path=/"),
        "{header}"
    );
    // It ends with the browser.
    app.clock().advance(10_000 * HOUR);
    let later = ask("/").cookie("sid", set.value()).send().await;
    assert_eq!(later.text(), "Some(\"ann\") false");
    // A cookie opens under its own name only.
    let moved = ask("/").cookie(NAME, set.value()).send().await;
    assert_eq!(moved.text(), "None true");
}

#[tokio::test]
async fn what_cannot_be_kept_is_an_error() {
    let router = Router::new().route(
        "/{key}",
        get(async |Path(key): Path<String>, session: Session| {
            session.set(key, std::collections::BTreeMap::from([((1, 2), 3)]))
        }),
    );
    let app = TestApp::new(App::new(crate::package!()).router(|_| Ok(router)));
    let app = app.config("[session]").start().await.unwrap();
    let says = async |path: &str| {
        let response = app
            .http_request()
            .get(path)
            .header("accept", "application/json");
        let response = response.send().await;
        response.expect_status(StatusCode::INTERNAL_SERVER_ERROR);
        let body: Value = response.json();
        body["message"].as_str().unwrap().to_owned()
    };
    let reserved = "the session's key `_id` is reserved: begin it without `_`";
    assert_eq!(says("/_id").await, reserved);
    assert_eq!(says("/id").await, "key must be a string");
}

#[tokio::test]
async fn a_value_of_another_type_is_none() {
    let app = app("").start().await.unwrap();
    let session = app.mock_context().session().await.unwrap();
    session.set("user", "ann").unwrap();
    assert_eq!(session.get::<u32>("user"), None);
    assert_eq!(session.get::<String>("user").as_deref(), Some("ann"));
    assert_eq!(format!("{session:?}"), "Session { is_new: true, .. }");
}

#[tokio::test]
async fn tests_begin_with_a_session_of_theirs() {
    let app = app("").mock_session(json!({"user": "ann"})).start().await;
    let app = app.unwrap();
    let mut client = Client::new(&app);
    assert_eq!(client.shows().await, "Some(\"ann\") false");
    assert_eq!(client.cookie, None, "nothing has changed");
    let session = app.mock_context().session().await.unwrap();
    assert_eq!(session.get::<String>("user").as_deref(), Some("ann"));
    // Who brings one has that.
    client.get("/set/ben").await;
    app.mock_session(json!({"user": "cid"}));
    assert_eq!(client.shows().await, "Some(\"ben\") false");
    assert_eq!(Client::new(&app).shows().await, "Some(\"cid\") false");
    app.restore_mocks();
    assert_eq!(Client::new(&app).shows().await, "None true");
}
