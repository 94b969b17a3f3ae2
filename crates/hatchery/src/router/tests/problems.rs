//! All that can be wrong with routes.

use axum::Router;
use http::{Method, StatusCode};

use super::{hello, problems};

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
