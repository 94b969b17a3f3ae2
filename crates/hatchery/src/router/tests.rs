//! Routes as they are served, and all that can be wrong with them.

use std::collections::BTreeMap;

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
use crate::config::{Config, Sources};
use crate::middleware::Next;
use crate::runtime::Bells;
use crate::{Application, BoxError, Identity, Role};

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

#[test]
fn semantic_43_urls_are_encoded_leftovers_are_the_query_lists_are_repeated() {
    let compiled = built(|routes| {
        routes.get("/posts/{id}/{slug}", hello).name("post");
        routes.get("/files/{*path}", hello).name("file");
        routes.get("/posts", hello).name("posts");
    });
    let table = &compiled.table;
    let url = table.url_for(
        "post",
        json!({"id": 7, "slug": "ä/b c", "page": 2, "none": null}),
    );
    assert_eq!(url.unwrap(), "/posts/7/%C3%A4%2Fb%20c?page=2");
    let url = table.url_for("file", [("path", "a b/c&d")]).unwrap();
    assert_eq!(url, "/files/a%20b/c%26d");
    let url = table
        .url_for("posts", json!({"tag": ["a", "b&"], "x y": true}))
        .unwrap();
    assert_eq!(url, "/posts?tag=a&tag=b%26&x%20y=true");
    let map = BTreeMap::from([("q", "x")]);
    assert_eq!(table.url_for("posts", &map).unwrap(), "/posts?q=x");
    assert_eq!(table.url_for("posts", ()).unwrap(), "/posts");
}

#[tokio::test]
async fn semantic_43_a_request_makes_urls_and_templates_get_an_empty_one() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::load(&Sources::new(dir.path())).unwrap();
    let identity = Identity {
        role: Role::Single,
        slot: Some(0),
        instance: 0,
        generation: 0,
        workers: 1,
    };
    let (_bells, moments) = Bells::new();
    let app = Application::new(crate::package!(), "prod".into(), identity, config, moments);
    assert_eq!(
        app.url_for("post", ()).unwrap_err().to_string(),
        "no route is called `post`"
    );
    let added = routes(|routes| {
        routes.get("/posts/{id}", id).name("post");
    });
    let router = added.compile(&app, &Known).unwrap();
    assert_eq!(app.url_for("post", [("id", 3)]).unwrap(), "/posts/3");
    assert_eq!(app.url_or_empty("post", [("id", 3)]), "/posts/3");
    assert_eq!(app.url_or_empty("pots", [("id", 3)]), "");
    let page = ask_router(&router, Method::GET, "/__routes__").await;
    assert_eq!(page.status(), StatusCode::NOT_FOUND);
}

#[test]
fn semantic_43_an_unknown_route_is_an_error_with_a_suggestion() {
    let mut routes = Routes::default();
    routes
        .get("/posts/{id}", hello)
        .name("post")
        .at("src/app/router.rs", 3);
    let problem =
        |name, params: serde_json::Value| routes.url_for(name, params).unwrap_err().to_string();
    assert_eq!(
        problem("pots", json!({})),
        "no route is called `pots`, did you mean `post`?"
    );
    assert_eq!(
        problem("post", json!({"ids": 1})),
        "the route `post` (/posts/{id}, src/app/router.rs:3) needs the parameter `id`"
    );
    assert_eq!(
        problem("post", json!({"id": ""})),
        problem("post", json!({}))
    );
    assert_eq!(
        problem("post", json!({"id": {"x": 1}})),
        "a URL's parameter `id` must be a plain value or a list of them"
    );
    assert_eq!(
        problem("post", json!("id")),
        "a URL's parameters must be a table, or pairs of names and values"
    );
}

#[test]
fn two_routes_of_one_method_and_path_name_both_places() {
    let text = problems(|routes| {
        routes.get("/posts", hello).at("src/app/router.rs", 3);
        routes
            .route(&[Method::POST, Method::GET], "/posts", hello)
            .at("src/app/controller/posts.rs", 8);
    });
    assert_eq!(
        text,
        "src/app/controller/posts.rs:8: GET /posts has a route already, at src/app/router.rs:3; \
         remove one of the two"
    );
}

#[test]
fn all_problems_are_told_at_once_each_with_both_places() {
    let text = problems(|routes| {
        routes.get("/posts/{id}", hello).name("post").at("r.rs", 1);
        routes.post("/posts/{slug}", hello).at("r.rs", 2);
        routes.get("/users/:id", hello).at("r.rs", 3);
        routes.get("/posts/{id}/", hello).at("r.rs", 4);
        routes.get("/other", hello).name("post").at("r.rs", 5);
        routes.get("/third", hello).middleware("admn").at("r.rs", 6);
        routes
            .get("/fourth", hello)
            .middleware("broken")
            .at("r.rs", 7);
        routes.redirect("/a", "pots").route().at("r.rs", 8);
        routes
            .redirect("/b/{id}", "/c/{slug}")
            .route()
            .at("r.rs", 9);
        routes
            .redirect("/d", "/")
            .status(StatusCode::OK)
            .route()
            .at("r.rs", 10);
        routes.all("/e", hello).at("r.rs", 11);
        routes.all("/e", hello).at("r.rs", 12);
        let purge = Method::from_bytes(b"PURGE").unwrap();
        routes.route(&[purge], "/f", hello).at("r.rs", 13);
        routes.route(&[], "/g", hello).at("r.rs", 14);
        routes.get("h", hello).at("r.rs", 15);
    });
    assert_eq!(
        text,
        "\
r.rs:2: /posts/{slug} is the same path as /posts/{id} at r.rs:1: give its parameters the same names
r.rs:3: the path `/users/:id` has `:id`: write `{id}`
r.rs:4: GET /posts/{id}/ is GET /posts/{id} at r.rs:1, because a trailing slash is tolerated; \
remove one of the two, or set router.trailing_slash = \"strict\"
r.rs:12: every method of /e has a route already, at r.rs:11; remove one of the two
r.rs:13: axum does not route the method PURGE: use `all`
r.rs:14: the route /g has no method
r.rs:15: the path `h` must begin with `/`: write `/h`
r.rs:5: the name `post` is that of /posts/{id} at r.rs:1; a name belongs to one path
r.rs:6: no middleware is called `admn`, did you mean `admin`?
r.rs:7: middleware `broken`: no such file
r.rs:8: redirects to `pots`, which is neither a path nor the name of a route, did you mean `post`?
r.rs:9: redirects to `/c/{slug}`, whose parameter `slug` /b/{id} does not have
r.rs:10: 200 OK is no redirect: use 301, 302, 303, 307 or 308"
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

#[test]
fn an_axum_router_that_does_not_fit_is_an_error_with_both_places() {
    let line = line!() + 3;
    let text = problems(|routes| {
        routes.get("/x", hello).at("r.rs", 1);
        routes.merge(Router::new().route("/x", axum::routing::get(hello)));
        routes.prefix("/y", |below| {
            below.get("/", hello).at("r.rs", 2);
        });
    });
    let file = file!();
    assert_eq!(
        text,
        format!(
            "{file}:{line}: the axum router merged here does not fit: Overlapping method route. \
             Handler for `GET /x` already exists (/x is at r.rs:1)"
        )
    );
    let text = problems(|routes| {
        routes.get("/y", hello).at("r.rs", 2);
        routes.nest("/y", Router::new());
    });
    assert!(
        text.ends_with(": the axum router nested at /y overlaps /y at r.rs:2"),
        "{text}"
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
