//! From names to URLs.

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use serde_json::json;

use super::{Known, ask_router, built, hello, id, routes};
use crate::config::{Config, Sources};
use crate::runtime::Bells;
use crate::{Application, Identity, Role, Routes};

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
