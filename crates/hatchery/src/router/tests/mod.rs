//! Routes as they are served, and all that can be wrong with them.

mod problems;
mod urls;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request};
use axum::response::Response;
use http::{Method, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::json;
use tower_service::Service as _;

use super::compile::{Compiled, TrailingSlash, WrongMethod};
use super::*;
use crate::BoxError;
use crate::middleware::Next;

/// Knows `admin`, `off` (which is switched off) and `broken`.
struct Known;

impl NamedMiddleware for Known {
    fn lay(&self, name: &str, next: Next) -> Option<Result<Next, BoxError>> {
        match name {
            "admin" | "token" => Some(Ok(next.wrap(&stamp(name)))),
            "off" => Some(Ok(next)),
            "broken" => Some(Err("no such file".into())),
            _ => None,
        }
    }

    fn names(&self) -> Vec<String> {
        vec!["admin".into(), "token".into(), "broken".into()]
    }
}

/// Writes that it was there, the innermost first.
fn stamp(name: &str) -> impl tower_layer::Layer<Next, Service = Next> + Clone + use<> {
    let name = name.to_owned();
    tower_layer::layer_fn(move |next: Next| {
        let name = name.clone();
        Next::new(axum::handler::HandlerWithoutStateExt::into_service(
            move |request: Request| {
                let (next, name) = (next.clone(), name.clone());
                async move {
                    let mut response: Response = next.run(request).await;
                    response
                        .headers_mut()
                        .append("stamp", name.parse().unwrap());
                    response
                }
            },
        ))
    })
}

async fn hello() -> &'static str {
    "hello"
}

async fn both(Path((team, id)): Path<(String, String)>) -> String {
    format!("{team} {id}")
}

async fn id(Path(id): Path<String>) -> String {
    id
}

fn routes(add: impl FnOnce(&mut Routes)) -> Routes {
    let mut routes = Routes::default();
    add(&mut routes);
    routes
}

fn built(add: impl FnOnce(&mut Routes)) -> Compiled {
    let built = routes(add).build(RouterSettings::default(), false, &Known);
    built.unwrap_or_else(|error| panic!("{error}"))
}

/// What is wrong, without this file's name.
fn problems(add: impl FnOnce(&mut Routes)) -> String {
    let built = routes(add).build(RouterSettings::default(), false, &Known);
    built.unwrap_err().to_string()
}

async fn ask(compiled: &Compiled, method: Method, path: &str) -> Response {
    ask_router(&compiled.router, method, path).await
}

async fn ask_router(router: &Router, method: Method, path: &str) -> Response {
    let request = Request::builder().method(method).uri(path);
    let request = request.body(Body::empty()).unwrap();
    router.clone().call(request).await.unwrap()
}

async fn text(response: Response) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

fn header_of(response: &Response, name: header::HeaderName) -> &str {
    response
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

struct Posts;

impl Controller for Posts {
    fn routes(scope: &mut ResourceScope<'_>) {
        use ResourceAction::{Create, Edit, Index, New, Show, Update};
        scope.action(Index, async || "index").at("posts.rs", 1);
        scope.action(New, async || "new").at("posts.rs", 2);
        scope.action(Create, async || "create").at("posts.rs", 3);
        scope
            .action(Show, async |Path(id): Path<u32>| format!("show {id}"))
            .at("posts.rs", 4);
        scope.action(Edit, async || "edit").at("posts.rs", 5);
        scope.action(Update, async || "update").at("posts.rs", 6);
        scope
            .route(&[Method::POST], "/{id}/like", async || "like")
            .name("like")
            .at("posts.rs", 7);
    }
}

#[tokio::test]
async fn resources_are_the_actions_that_the_controller_has() {
    let compiled = built(|routes| {
        routes
            .resources::<Posts>("posts", "/posts")
            .middleware("admin");
    });
    for (method, path, expected) in [
        (Method::GET, "/posts", "index"),
        (Method::GET, "/posts/new", "new"),
        (Method::POST, "/posts", "create"),
        (Method::GET, "/posts/7", "show 7"),
        (Method::GET, "/posts/7/edit", "edit"),
        (Method::PUT, "/posts/7", "update"),
        (Method::PATCH, "/posts/7", "update"),
        (Method::POST, "/posts/7/like", "like"),
    ] {
        let response = ask(&compiled, method, path).await;
        assert_eq!(response.headers()["stamp"], "admin");
        assert_eq!(text(response).await, expected, "{path}");
    }
    let destroy = ask(&compiled, Method::DELETE, "/posts/7").await;
    assert_eq!(destroy.status(), StatusCode::METHOD_NOT_ALLOWED);
    let table: Vec<_> = compiled
        .table
        .cells()
        .map(|[method, path, name, ..]| (method, path, name))
        .collect();
    let table: Vec<_> = table
        .iter()
        .map(|(m, p, n)| format!("{m} {p} {n}"))
        .collect();
    assert_eq!(
        table,
        [
            "GET /posts posts",
            "GET /posts/new new_post",
            "POST /posts posts",
            "GET /posts/{id} post",
            "GET /posts/{id}/edit edit_post",
            "PUT PATCH /posts/{id} post",
            "POST /posts/{id}/like like",
        ]
    );
}

#[tokio::test]
async fn a_resource_can_say_its_singular() {
    let compiled = built(|routes| {
        routes
            .resources::<Posts>("people", "/people")
            .singular("person");
    });
    let url = |name| compiled.table.url_for(name, json!({"id": 1})).unwrap();
    assert_eq!(url("person"), "/people/1");
    assert_eq!(url("edit_person"), "/people/1/edit");
    assert_eq!(url("people"), "/people?id=1");
}

#[tokio::test]
async fn semantic_39_path_and_method_decide_the_status() {
    let compiled = built(|routes| {
        routes.get("/posts", hello);
        routes.post("/posts", hello);
        routes.all("/any", hello);
    });
    for (method, path, status, allow) in [
        (Method::GET, "/posts", 200, ""),
        (Method::HEAD, "/posts", 200, ""),
        (Method::GET, "/Posts", 404, ""),
        (Method::GET, "/nowhere", 404, ""),
        (Method::OPTIONS, "/nowhere", 404, ""),
        (Method::PUT, "/posts", 405, "GET, HEAD, POST, OPTIONS"),
        (Method::TRACE, "/posts", 405, "GET, HEAD, POST, OPTIONS"),
        (Method::OPTIONS, "/posts", 204, "GET, HEAD, POST, OPTIONS"),
        (Method::DELETE, "/any", 200, ""),
    ] {
        let response = ask(&compiled, method.clone(), path).await;
        assert_eq!(response.status(), status, "{method} {path}");
        assert_eq!(
            header_of(&response, header::ALLOW),
            allow,
            "{method} {path}"
        );
    }
    let head = ask(&compiled, Method::HEAD, "/posts").await;
    assert_eq!(header_of(&head, header::CONTENT_LENGTH), "5");
    assert_eq!(text(head).await, "");
}

#[tokio::test]
async fn semantic_39_a_wrong_method_can_be_404_as_in_egg() {
    let settings = RouterSettings {
        wrong_method: WrongMethod::NotFound,
        ..RouterSettings::default()
    };
    let compiled = routes(|routes| {
        routes.get("/posts", hello);
    });
    let compiled = compiled.build(settings, false, &Known).unwrap();
    let response = ask(&compiled, Method::POST, "/posts").await;
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
    assert_eq!(header_of(&response, header::ALLOW), "");
}

#[tokio::test]
async fn a_trailing_slash_is_tolerated_unless_it_is_not() {
    let add = |routes: &mut Routes| {
        routes.get("/posts", hello);
        routes.get("/users/{id}/", id);
        routes.get("/files/{*rest}", id);
    };
    let tolerant = built(add);
    for path in ["/posts", "/posts/", "/users/a", "/users/a/", "/files/a/b/"] {
        assert_eq!(
            ask(&tolerant, Method::GET, path).await.status(),
            200,
            "{path}"
        );
    }
    let settings = RouterSettings {
        trailing_slash: TrailingSlash::Strict,
        ..RouterSettings::default()
    };
    let strict = routes(add).build(settings, false, &Known).unwrap();
    for (path, status) in [
        ("/posts", 200),
        ("/posts/", 404),
        ("/users/a", 404),
        ("/users/a/", 200),
    ] {
        assert_eq!(
            ask(&strict, Method::GET, path).await.status(),
            status,
            "{path}"
        );
    }
}

#[tokio::test]
async fn prefixes_and_namespaces_put_themselves_before_paths_and_names() {
    let compiled = built(|routes| {
        routes.prefix("/api", |api| {
            api.get("/", hello).name("api");
            api.prefix("/v1/", |v1| {
                v1.get("/posts", hello).name("posts");
            });
        });
        routes.namespace("admin", |admin| {
            admin.get("/posts/{id}", id).name("post");
            admin.namespace("deep", |deep| {
                deep.get("/x", hello).name("x");
            });
        });
    });
    for (name, url) in [
        ("api", "/api"),
        ("posts", "/api/v1/posts"),
        ("admin_post", "/admin/posts/3"),
        ("admin_deep_x", "/admin/deep/x"),
    ] {
        let made = compiled.table.url_for(name, [("id", "3")]).unwrap();
        assert!(made.starts_with(url), "{name}: {made}");
        let path = made.split('?').next().unwrap();
        assert_eq!(
            ask(&compiled, Method::GET, path).await.status(),
            200,
            "{path}"
        );
    }
}

#[tokio::test]
async fn the_first_middleware_is_the_outermost() {
    let compiled = built(|routes| {
        let api = |api: &mut Routes| {
            api.get("/x", hello).middleware("admin").layer(stamp("own"));
        };
        routes
            .prefix("/api", api)
            .middleware("token")
            .layer(stamp("group"))
            .middleware("off");
    });
    let response = ask(&compiled, Method::GET, "/api/x").await;
    let stamps: Vec<_> = response.headers().get_all("stamp").iter().collect();
    assert_eq!(stamps, ["own", "admin", "group", "token"]);
    let [_, _, _, middleware, ..] = compiled.table.cells().next().unwrap();
    assert_eq!(middleware, "token (layer) off admin (layer)");
}

#[tokio::test]
async fn redirects_go_to_paths_addresses_and_names() {
    let compiled = built(|routes| {
        routes.get("/posts/{id}", id).name("post");
        routes.get("/", hello).name("home");
        routes.redirect("/start", "home");
        routes
            .redirect("/old", "/new?from=old")
            .status(StatusCode::FOUND);
        routes.redirect("/p/{id}", "post").name("short");
        routes
            .redirect("/q/{id}", "/posts/{id}?q=1")
            .status(StatusCode::PERMANENT_REDIRECT);
        routes.redirect(
            "/away",
            "https://example.com/a b".replace(' ', "%20").as_str(),
        );
    });
    for (path, status, to) in [
        ("/start", 301, "/"),
        ("/old", 302, "/new?from=old"),
        ("/p/a%2Fb", 301, "/posts/a%2Fb"),
        ("/q/7/", 308, "/posts/7?q=1"),
        ("/away", 301, "https://example.com/a%20b"),
    ] {
        let response = ask(&compiled, Method::GET, path).await;
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(header_of(&response, header::LOCATION), to, "{path}");
    }
}

#[tokio::test]
async fn axum_routers_are_merged_and_nested() {
    let compiled = built(|routes| {
        routes.get("/mine", hello);
        routes.merge(Router::new().route("/theirs", axum::routing::get(hello)));
        routes.nest(
            "/below",
            Router::new().route("/x", axum::routing::get(hello)),
        );
        routes.prefix("/api", |api| {
            api.merge(Router::new().route("/y", axum::routing::get(hello)));
        });
    });
    for path in ["/mine", "/theirs", "/below/x", "/api/y"] {
        assert_eq!(
            ask(&compiled, Method::GET, path).await.status(),
            200,
            "{path}"
        );
    }
    assert_eq!(ask(&compiled, Method::GET, "/below/z").await.status(), 404);
}

/// The stamps of the answer, the innermost first.
async fn stamps(compiled: &Compiled, path: &str) -> (StatusCode, Vec<String>) {
    let response = ask(compiled, Method::GET, path).await;
    let stamps = response.headers().get_all("stamp").into_iter();
    let stamps = stamps.map(|stamp| stamp.to_str().unwrap().to_owned());
    (response.status(), stamps.collect())
}

#[tokio::test]
async fn a_groups_middleware_covers_the_axum_routers_in_it() {
    async fn path(request: Request) -> String {
        request.uri().path().to_owned()
    }
    let theirs = || Router::new().route("/x", axum::routing::get(path));
    let compiled = built(|routes| {
        routes
            .namespace("admin", |admin| {
                admin.nest("/files", theirs());
                admin
                    .prefix("/{team}", |team| team.merge(theirs()))
                    .layer(stamp("team"));
            })
            .middleware("token")
            .middleware("admin");
        routes
            .prefix("", |group| {
                group.merge(theirs().fallback(async || StatusCode::NOT_FOUND));
            })
            .middleware("admin");
        routes.nest("/open", theirs());
    });
    let expected = |status: u16, stamps: &[&str]| {
        let stamps = stamps.iter().map(ToString::to_string).collect();
        (StatusCode::from_u16(status).unwrap(), stamps)
    };
    for (path, status, marks) in [
        ("/admin/files/x", 200, &["admin", "token"][..]),
        ("/admin/files/nothing", 404, &["admin", "token"]),
        ("/admin/files", 404, &["admin", "token"]),
        ("/admin/red/x", 200, &["team", "admin", "token"]),
        ("/x", 200, &["admin"]),
        ("/nothing", 404, &["admin"]),
        ("/open/x", 200, &[]),
    ] {
        assert_eq!(
            stamps(&compiled, path).await,
            expected(status, marks),
            "{path}"
        );
    }
    let nested = ask(&compiled, Method::GET, "/admin/files/x").await;
    assert_eq!(text(nested).await, "/x");
    let cells: Vec<_> = compiled.table.cells().map(|row| row[3].clone()).collect();
    assert_eq!(cells, ["token admin", "token admin (layer)", "admin", ""]);
}

#[tokio::test]
async fn the_middleware_around_a_nested_router_sees_the_whole_path() {
    let compiled = built(|routes| {
        let told = tower_layer::layer_fn(|next: Next| {
            Next::of(move |request| {
                let path = request.uri().path().to_owned();
                let answer = next.answer(request);
                Box::pin(async move { ([("path", path)], answer.await).into_response() })
            })
        });
        routes
            .prefix("/api/{team}", |api| {
                api.nest(
                    "/v1",
                    Router::new().route("/{id}", axum::routing::get(both)),
                );
            })
            .layer(told);
    });
    let response = ask(&compiled, Method::GET, "/api/red/v1/7").await;
    assert_eq!(response.headers()["path"], "/api/red/v1/7");
    assert_eq!(text(response).await, "red 7");
}

#[test]
fn a_middleware_around_an_axum_router_that_nobody_knows_is_an_error() {
    let text = problems(|routes| {
        routes
            .prefix("/api", |api| api.merge(Router::new()))
            .middleware("amdin");
    });
    assert!(
        text.ends_with(": no middleware is called `amdin`, did you mean `admin`?"),
        "{text}"
    );
}

#[tokio::test]
async fn a_merged_router_brings_its_fallback() {
    let compiled = built(|routes| {
        routes.get("/x", hello);
        routes.merge(Router::new().fallback(async || "nothing here"));
    });
    assert_eq!(text(ask(&compiled, Method::GET, "/x").await).await, "hello");
    let other = ask(&compiled, Method::GET, "/other").await;
    assert_eq!(text(other).await, "nothing here");
    let text = problems(|routes| {
        routes.get("/x", hello).at("r.rs", 1);
        routes.merge_own(Router::new().route("/x", axum::routing::get(hello)));
    });
    assert_eq!(
        text,
        "`App::router`: the axum router merged here does not fit: Overlapping method route. \
         Handler for `GET /x` already exists (/x is at r.rs:1)"
    );
}

#[tokio::test]
async fn listings_name_handlers_and_their_places() {
    let compiled = routes(|routes| {
        routes
            .get("/posts", hello)
            .name("posts")
            .at("src/app/router.rs", 3)
            .middleware("admin");
        routes
            .route(&[Method::PUT, Method::PATCH], "/posts/{id}", async || "")
            .at("r.rs", 4)
            .handled_by("posts.update");
        routes.merge(Router::new());
    });
    let compiled = compiled
        .build(RouterSettings::default(), true, &Known)
        .unwrap();
    let hello = format!("{}::hello", module_path!());
    assert_eq!(
        compiled.table.to_json(),
        json!([
            {"method": "GET", "path": "/posts", "name": "posts", "handler": hello,
             "place": "src/app/router.rs:3", "middleware": ["admin"]},
            {"method": "PUT", "path": "/posts/{id}", "name": null, "handler": "posts.update",
             "place": "r.rs:4", "middleware": []},
            {"method": "PATCH", "path": "/posts/{id}", "name": null, "handler": "posts.update",
             "place": "r.rs:4", "middleware": []},
        ])
    );
    let page = text(ask(&compiled, Method::GET, "/__routes__").await).await;
    assert!(
        page.contains("<td>PUT PATCH<td>/posts/{id}<td><td><td>posts.update<td>r.rs:4"),
        "{page}"
    );
    let run_dir = tempfile::tempdir().unwrap();
    compiled.table.dump(run_dir.path());
    let dumped = std::fs::read(run_dir.path().join("router.json")).unwrap();
    let dumped: serde_json::Value = serde_json::from_slice(&dumped).unwrap();
    assert_eq!(dumped[1]["param_names"], json!(["id"]));
    assert_eq!(dumped[1]["methods"], json!(["PUT", "PATCH"]));
    assert_eq!(std::fs::read_dir(run_dir.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn the_page_is_in_local_only_and_no_route_of_the_application() {
    let add = |routes: &mut Routes| {
        routes.get("/__routes__", async || "mine");
    };
    let compiled = routes(add)
        .build(RouterSettings::default(), true, &Known)
        .unwrap();
    assert_eq!(
        text(ask(&compiled, Method::GET, "/__routes__").await).await,
        "mine"
    );
    let without = built(|routes| {
        routes.get("/", hello);
    });
    assert_eq!(
        ask(&without, Method::GET, "/__routes__").await.status(),
        404
    );
}
