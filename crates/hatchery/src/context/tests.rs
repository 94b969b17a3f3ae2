//! Requests through the outermost layer, in process.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::header::{ACCEPT, ALLOW, CONTENT_LENGTH, CONTENT_TYPE, SET_COOKIE};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::*;
use crate::application::{Application, Identity, Role};
use crate::config::Config;
use crate::middleware::{Next, from_fn};
use crate::runtime::Bells;
use crate::{Error, Package};

pub(crate) fn app_in(env: &str, config: &Value) -> Application {
    let identity = Identity {
        role: Role::Check,
        slot: Some(0),
        instance: 0,
        generation: 0,
        workers: 1,
    };
    let package = Package {
        name: "test",
        ..crate::package!()
    };
    let config = Config::from_json(config.to_string().as_bytes(), env).unwrap();
    let (_, moments) = Bells::new();
    Application::new(package, env.to_owned(), identity, config, moments)
}

fn unittest() -> Application {
    app_in("unittest", &json!({}))
}

fn request(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

async fn send(app: &Application, router: Router, request: Request<Body>) -> Response<String> {
    let peer: SocketAddr = "192.0.2.7:1234".parse().unwrap();
    let entry = Entry::new(app.clone(), Next::new(router));
    let (parts, body) = entry.call(request, Some(peer)).await.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    Response::from_parts(parts, String::from_utf8(bytes.to_vec()).unwrap())
}

fn accepting(path: &str, accept: &'static str) -> Request<Body> {
    let mut request = request(path);
    let value = HeaderValue::from_static(accept);
    request.headers_mut().insert(ACCEPT, value);
    request
}

fn message(response: &Response<String>) -> Value {
    serde_json::from_str(response.body()).unwrap()
}

struct Counter {
    ctx: Context,
}

impl Service for Counter {
    fn new(ctx: &Context) -> Self {
        Self { ctx: ctx.clone() }
    }
}

struct Sum(Arc<Counter>);

impl Service for Sum {
    fn new(ctx: &Context) -> Self {
        Self(ctx.service())
    }
}

#[test]
fn a_service_is_made_once_for_a_request_and_ends_with_it() {
    let ctx = unittest().anonymous_context();
    let counter = ctx.service::<Counter>();
    assert!(Arc::ptr_eq(&counter, &ctx.clone().service()));
    assert!(Arc::ptr_eq(&counter, &ctx.service::<Sum>().0));
    assert!(Arc::ptr_eq(&counter, &counter.ctx.service::<Sum>().0));
    let rest = Arc::downgrade(&counter);
    drop((ctx, counter));
    assert!(rest.upgrade().is_none());
}

struct Hen(#[expect(dead_code, reason = "it never comes to be")] Arc<Egg>);

impl Service for Hen {
    fn new(ctx: &Context) -> Self {
        Self(ctx.service())
    }
}

struct Egg;

impl Service for Egg {
    fn new(ctx: &Context) -> Self {
        // Of another request, it is no circle.
        ctx.app().anonymous_context().service::<Sum>();
        let _ = ctx.service::<Hen>();
        Self
    }
}

#[test]
fn services_that_ask_for_each_other_while_they_are_made_are_named() {
    let ctx = unittest().anonymous_context();
    let asks = std::panic::AssertUnwindSafe(|| ctx.service::<Egg>());
    let panic = std::panic::catch_unwind(asks).err().unwrap();
    let message = crate::runtime::panic_message(&*panic);
    assert_eq!(
        message,
        "services ask for each other in a circle while they are made: \
         hatchery::context::tests::Egg → hatchery::context::tests::Hen → \
         hatchery::context::tests::Egg; one of them must ask where it needs the other, not in `new`"
    );
    // The thread goes on with other requests, and this one with other services.
    assert!(Arc::ptr_eq(
        &ctx.service::<Counter>(),
        &ctx.service::<Sum>().0
    ));
}

#[test]
fn tests_can_put_a_service_and_a_user_in_the_place_of_the_real_ones() {
    let app = unittest();
    let other = app.anonymous_context().service::<Counter>();
    let given = Arc::clone(&other);
    app.mock_service(move |_| Sum(Arc::clone(&given)));
    app.mock_user("ann".to_owned());
    let ctx = app.anonymous_context();
    assert!(Arc::ptr_eq(&other, &ctx.service::<Sum>().0));
    assert_eq!(*ctx.user::<String>().unwrap(), "ann");
    ctx.set_user("ben".to_owned());
    assert_eq!(*ctx.user::<String>().unwrap(), "ben");
    app.restore_mocks();
    let ctx = app.anonymous_context();
    assert!(!Arc::ptr_eq(&other, &ctx.service::<Sum>().0));
    assert!(ctx.user::<String>().is_none());
}

#[test]
fn locals_of_a_request_lie_above_those_of_the_application() {
    let app = unittest();
    app.locals().insert(1_u8);
    app.locals().set("site", "blog").unwrap();
    let (one, other) = (app.anonymous_context(), app.anonymous_context());
    one.locals().insert(2_u8);
    one.locals().set("title", "hello").unwrap();
    assert_eq!(one.locals().get(), Some(Arc::new(2_u8)));
    assert_eq!(other.locals().get(), Some(Arc::new(1_u8)));
    assert_eq!(other.locals().get::<u16>(), None);
    let names: Vec<_> = one.locals().all_named().into_keys().collect();
    assert_eq!(names, ["site", "title"]);
    assert_eq!(other.locals().named("title"), None);
}

#[tokio::test]
async fn cookies_are_read_and_set() {
    let router = Router::new().route(
        "/",
        get(async |ctx: Context| {
            ctx.cookies().set(("b", "2 ü"));
            ctx.cookies().remove("c");
            let cookies = ctx.cookies();
            let [a, b, c] = ["a", "b", "c"].map(|name| cookies.get(name));
            format!("{a:?} {b:?} {c:?}")
        }),
    );
    let mut request = request("/");
    let value = HeaderValue::from_static("a=1%20; c=3; rubbish");
    request.headers_mut().insert(http::header::COOKIE, value);
    let response = send(&unittest(), router, request).await;
    assert_eq!(response.body(), "Some(\"1 \") Some(\"2 ü\") Some(\"\")");
    let set = response.headers().get_all(SET_COOKIE).iter();
    let mut set: Vec<_> = set.map(|value| value.to_str().unwrap()).collect();
    set.sort_unstable();
    assert_eq!(set[0], "b=2%20%C3%BC; HttpOnly; Path=/");
    assert!(set[1].starts_with("c=; Path=/; Max-Age=0; "), "{set:?}");
}

#[tokio::test]
async fn the_response_carries_the_id_once_it_was_used() {
    let router = Router::new()
        .route(
            "/used",
            get(async |ctx: Context| ctx.request_id().to_owned()),
        )
        .route("/unused", get(async || "unused"));
    let app = unittest();
    let response = send(&app, router.clone(), request("/used")).await;
    assert_eq!(response.headers()["x-request-id"], **response.body());
    assert_eq!(response.body().len(), 32);
    let unused = send(&app, router.clone(), request("/unused")).await;
    assert!(unused.headers().get("x-request-id").is_none());
    let always = app_in("prod", &json!({ "http": { "request_id_header": true } }));
    let unused = send(&always, router.clone(), request("/unused")).await;
    assert!(unused.headers().get("x-request-id").is_some());
    for (given, is_taken) in [("abc-1", true), ("a b", false), ("", false)] {
        let mut request = request("/used");
        let value = HeaderValue::from_static(given);
        request.headers_mut().insert("x-request-id", value);
        let response = send(&app, router.clone(), request).await;
        assert_eq!(response.body() == given, is_taken, "{given}");
    }
}

#[test]
fn semantic_40_the_query_is_the_first_value_and_queries_are_all() {
    let queries = Queries::parse("a=1&a=2&b[]=1&c=%C3%BC+x&d");
    assert_eq!(queries.get("a"), Some("1"));
    assert_eq!(queries.all("a"), ["1", "2"]);
    assert_eq!(queries.all("b[]"), ["1"]);
    assert_eq!(queries.all("b"), ["1"]);
    assert_eq!(queries.get("c"), Some("ü x"));
    assert_eq!(queries.get("d"), Some(""));
    assert_eq!(queries.all("e"), [""; 0]);
    let ctx = unittest().context_for(&request("/?a=1&a=2"));
    assert_eq!(ctx.query("a").as_deref(), Some("1"));
    assert_eq!(ctx.queries().all("a"), ["1", "2"]);
}

#[test]
fn semantic_45_forwarded_addresses_count_only_behind_a_proxy_and_from_the_right() {
    let asks = |config: Value| {
        let mut request = request("/");
        let headers = request.headers_mut();
        for (name, value) in [
            (
                "x-forwarded-for",
                "198.51.100.1, ::ffff:203.0.113.9, 10.0.0.1:80",
            ),
            ("x-forwarded-proto", "https, http"),
            ("x-forwarded-host", "blog.example"),
            ("host", "inner:7001"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let app = app_in("prod", &json!({ "http": config }));
        let peer = "[::ffff:192.0.2.7]:1234".parse().ok();
        let ctx = Context::new(app, &request, peer);
        let ips = ctx
            .ips()
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>();
        let ip = ctx.ip().unwrap().to_string();
        format!("{ip} {ips:?} {} {}", ctx.host().unwrap(), ctx.protocol())
    };
    assert_eq!(asks(json!({})), "192.0.2.7 [] inner:7001 http");
    // Unless it is said how many proxies there are, there is one: the rest anybody can write.
    assert_eq!(
        asks(json!({ "proxy": true })),
        r#"10.0.0.1 ["10.0.0.1"] inner:7001 https"#
    );
    assert_eq!(
        asks(json!({ "proxy": true, "max_ips_count": 0 })),
        r#"198.51.100.1 ["198.51.100.1", "203.0.113.9", "10.0.0.1"] inner:7001 https"#
    );
    assert_eq!(
        asks(json!({ "proxy": true, "max_ips_count": 2 })),
        r#"203.0.113.9 ["203.0.113.9", "10.0.0.1"] inner:7001 https"#
    );
    let all = json!({ "proxy": true, "max_ips_count": 1, "host_headers": ["x-forwarded-host"] });
    assert_eq!(asks(all), r#"10.0.0.1 ["10.0.0.1"] blog.example https"#);
    let other = json!({ "proxy": true, "ip_headers": ["x-client"] });
    assert_eq!(asks(other), "192.0.2.7 [] inner:7001 https");
}

#[test]
fn a_proxys_own_line_counts_before_the_clients() {
    let mut request = request("/");
    for line in ["203.0.113.66", "198.51.100.1"] {
        let line = HeaderValue::from_static(line);
        request.headers_mut().append("x-forwarded-for", line);
    }
    let app = app_in("prod", &json!({ "http": { "proxy": true } }));
    let ctx = Context::new(app, &request, None);
    assert_eq!(ctx.ip().unwrap().to_string(), "198.51.100.1");
}

#[test]
fn of_two_cookies_with_one_name_the_first_counts() {
    let mut request = request("/");
    let both = HeaderValue::from_static("id=mine; id=tossed");
    request.headers_mut().insert("cookie", both);
    let ctx = unittest().context_for(&request);
    assert_eq!(ctx.cookies().get("id").as_deref(), Some("mine"));
}

async fn fails() -> Result<(), Error> {
    let file = std::fs::read_to_string("/nowhere/at/all");
    file.map(drop)?;
    Ok(())
}

fn failing() -> Router {
    let refuse = async || {
        let header = HeaderValue::from_static("Basic");
        let error = Error::unauthorized("who are you?").with_code("anonymous");
        Err::<(), _>(
            error
                .with_header("www-authenticate", header)
                .with_errors(json!({ "name": "is missing" })),
        )
    };
    Router::new()
        .route("/fails", get(fails))
        .route("/refuses", get(refuse))
        .route("/takes", post(async |Json(_): Json<Vec<u8>>| "taken"))
        .layer(DefaultBodyLimit::max(16))
}

#[tokio::test]
async fn semantic_41_errors_come_in_the_form_that_the_client_wants() {
    let app = unittest();
    let wants = async |accept| send(&app, failing(), accepting("/refuses", accept)).await;
    let response = wants("application/json").await;
    assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
    let expected = json!({
        "message": "who are you?", "code": "anonymous", "errors": { "name": "is missing" }
    });
    assert_eq!(message(&response), expected);
    let response = wants("text/html").await;
    assert_eq!(response.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
    assert!(response.body().contains("<p>who are you?</p>"));
    let response = wants("*/*").await;
    assert_eq!(
        response.headers()[CONTENT_TYPE],
        "text/plain; charset=utf-8"
    );
    assert_eq!(response.body(), "who are you?\n");
    let response = send(&app, failing(), request("/nowhere.json")).await;
    assert_eq!(message(&response), json!({ "message": "Not Found" }));
    let response = send(&app, failing(), accepting("/fails", "application/json")).await;
    let place = message(&response)["place"].as_str().unwrap().to_owned();
    assert!(place.contains("tests.rs:"), "{place}");
}

#[tokio::test]
async fn semantic_42_a_4xx_is_shown_a_5xx_is_hidden_and_headers_are_copied() {
    for (env, sees) in [("prod", false), ("local", true), ("unittest", true)] {
        let app = app_in(env, &json!({}));
        let response = send(&app, failing(), accepting("/fails", "application/json")).await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.body().contains("No such file"), sees, "{env}");
        let response = send(&app, failing(), request("/refuses")).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(response.headers()["www-authenticate"], "Basic");
        assert!(response.body().starts_with("who are you?"));
    }
    let app = app_in("prod", &json!({}));
    let response = send(&app, failing(), request("/fails")).await;
    assert_eq!(response.body(), "Internal Server Error");
    let open = async || Err::<(), _>(Error::internal("the disk is full").expose(true));
    let router = Router::new().route("/", get(open));
    let response = send(&app, router, request("/")).await;
    assert_eq!(response.body(), "the disk is full");
}

#[tokio::test]
async fn semantic_39_what_the_router_and_extractors_refuse_is_negotiated_too() {
    let app = app_in("prod", &json!({}));
    let wants = "application/json";
    let response = send(&app, failing(), accepting("/nowhere", wants)).await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert_eq!(message(&response), json!({ "message": "Not Found" }));
    let response = send(&app, failing(), accepting("/takes", "text/html")).await;
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(response.headers()[ALLOW], "POST");
    assert!(response.body().contains("<h1>405 Method Not Allowed</h1>"));
    let takes = async |body: &'static str| {
        let request = Request::post("/takes")
            .header(CONTENT_TYPE, wants)
            .header(ACCEPT, wants);
        send(&app, failing(), request.body(body.into()).unwrap()).await
    };
    let response = takes("[").await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let said = message(&response)["message"].as_str().unwrap().to_owned();
    assert!(said.starts_with("Failed to parse the request body as JSON"));
    let response = takes("[1,2,3,4,5,6,7,8,9]").await;
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert!(message(&response)["message"].is_string());
    assert_eq!(takes("[1]").await.body(), "taken");
}

#[tokio::test]
async fn listeners_hear_of_requests_responses_and_errors() {
    let app = unittest();
    let heard = Arc::new(std::sync::Mutex::new(Vec::new()));
    for which in ["request", "response", "error"] {
        let heard = Arc::clone(&heard);
        match which {
            "request" => app.on_request(move |ctx| {
                heard.lock().unwrap().push(format!("request {}", ctx.uri()));
            }),
            "response" => app.on_response(move |event| {
                heard
                    .lock()
                    .unwrap()
                    .push(format!("response {}", event.status()));
            }),
            _ => app.on_error(move |event| {
                let line = format!("error {} {:?}", event.error(), event.origin());
                heard.lock().unwrap().push(line);
            }),
        }
    }
    app.on_response(|_| panic!("a listener's own mistake"));
    let response = send(&app, failing(), request("/refuses")).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let expected = [
        "request /refuses",
        "error who are you? Request",
        "response 401 Unauthorized",
    ];
    assert_eq!(*heard.lock().unwrap(), expected);
}

/// What the framework costs, beside a router alone:
/// `cargo test --release -p hatchery --lib -- --ignored --nocapture the_framework_costs`.
#[tokio::test]
#[ignore = "a measurement"]
async fn the_framework_costs() {
    use std::time::Instant;
    use tower_service::Service as _;

    async fn pass(
        _: Context,
        request: axum::extract::Request,
        next: Next,
    ) -> axum::response::Response {
        next.run(request).await
    }

    let app = app_in("prod", &json!({}));
    let router = Router::new().route("/", get(async || "hello"));
    let hello = async |ctx: Context| match ctx.service::<Counter>().ctx.path() {
        "/" => "hello",
        _ => "where is this?",
    };
    let served = Router::new().route("/", get(hello));
    let chain = Next::new(served).wrap(&from_fn(pass)).wrap(&from_fn(pass));
    let entries = [
        (
            "a context",
            Entry::new(app.clone(), Next::new(router.clone())),
        ),
        ("all", Entry::new(app.clone(), chain)),
    ];
    let rounds = 400_000;
    for _ in 0..3 {
        let mut plain = router.clone();
        let began = Instant::now();
        for _ in 0..rounds {
            let _ = plain.call(wrk()).await;
        }
        print!("router alone {:?}", began.elapsed() / rounds);
        for (name, entry) in &entries {
            let began = Instant::now();
            for _ in 0..rounds {
                entry.call(wrk(), None).await;
            }
            print!(", with {name} {:?}", began.elapsed() / rounds);
        }
        println!();
    }
}

fn wrk() -> Request<Body> {
    let mut request = request("/");
    let host = HeaderValue::from_static("127.0.0.1:7001");
    request.headers_mut().insert("host", host);
    request
}

/// Asks something of the application when it ends.
struct Asking(Application);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.locals().insert(1_u8);
        let ctx = self.0.anonymous_context();
        assert!(ctx.user::<u16>().is_none());
        ctx.service::<Counter>();
    }
}

#[test]
fn a_value_ends_when_nothing_is_locked() {
    let app = unittest();
    for _ in 0..2 {
        app.locals().insert(Asking(app.clone()));
        app.mock_user(Asking(app.clone()));
        let held = Asking(app.clone());
        app.mock_service::<Counter>(move |ctx| {
            let _ = &held;
            Counter::new(ctx)
        });
    }
    app.restore_mocks();
    assert_eq!(app.locals().get(), Some(Arc::new(1_u8)));
}

#[tokio::test]
async fn a_head_of_an_error_has_the_headers_of_a_get_and_no_body() {
    async fn own() -> (StatusCode, Json<Value>) {
        (StatusCode::CONFLICT, Json(json!({ "own": true })))
    }
    let router = Router::new()
        .route("/own", get(own))
        .route("/bare", get(async || StatusCode::CONFLICT))
        .route(
            "/raised",
            get(async || Err::<(), _>(Error::internal("it broke"))),
        );
    for path in ["/own", "/bare", "/raised", "/nowhere"] {
        for accept in ["application/json", "text/html", "text/plain"] {
            let got = send(&unittest(), router.clone(), accepting(path, accept)).await;
            let mut head = accepting(path, accept);
            *head.method_mut() = Method::HEAD;
            let head = send(&unittest(), router.clone(), head).await;
            assert_eq!(head.body(), "");
            assert_eq!(head.status(), got.status());
            assert_eq!(head.headers()[CONTENT_TYPE], got.headers()[CONTENT_TYPE]);
            let told = head.headers()[CONTENT_LENGTH].to_str().unwrap();
            let length = got.body().len();
            if path != "/raised" || accept == "text/plain" {
                assert_eq!(told, length.to_string(), "{path} {accept}");
            } else {
                // The detail may name the request's method.
                assert!(told.parse::<usize>().unwrap().abs_diff(length) < 8);
            }
        }
    }
}
