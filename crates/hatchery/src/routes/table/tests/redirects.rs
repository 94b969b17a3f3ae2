//! `type = "redirect"`.

use super::*;

/// Where a GET of `path` is sent, and how.
async fn redirected(app: &Application, path: &'static str) -> (u16, String) {
    let mut request = http::Request::new(Body::empty());
    *request.uri_mut() = http::Uri::from_static(path);
    let context = app.context_for(&request);
    request.extensions_mut().insert(context);
    let response = load(app).unwrap().call(request).await.unwrap();
    let location = response.headers().get("location");
    let location = location.map_or("", |location| location.to_str().unwrap());
    (response.status().as_u16(), location.to_owned())
}

#[tokio::test]
async fn it_leads_to_a_path_an_address_or_a_name() {
    let redirect = |route: &str, to: &str, more: &str| {
        format!("[[routes]]\ntype = \"redirect\"\nroute = \"{route}\"\nto = \"{to}\"\n{more}")
    };
    let app = application(
        &[
            redirect("/old", "/taken", ""),
            redirect("/now", "/taken?a=b", "status = 307\n"),
            redirect("/posts/{id}", "/p/{id}", "status = 308\nname = \"post\"\n"),
            redirect("/elsewhere", "https://example.org/x", "status = 302\n"),
            redirect("/first", "search", "status = 303\n"),
            "[[routes]]\ntype = \"http\"\nroute = \"/search\"\nhandler = \"search.find\"\n\
         name = \"search\"\n"
                .to_owned(),
        ]
        .concat(),
    );
    for (path, status, to) in [
        ("/old", 301, "/taken"),
        ("/now", 307, "/taken?a=b"),
        ("/posts/7", 308, "/p/7"),
        ("/elsewhere", 302, "https://example.org/x"),
        ("/first", 303, "/search"),
    ] {
        assert_eq!(
            redirected(&app, path).await,
            (status, to.to_owned()),
            "{path}"
        );
    }
}

#[test]
fn where_it_cannot_lead_is_said_at_the_start() {
    let redirect = "type = \"redirect\"\nroute = \"/old\"\n";
    for (more, text) in [
        (
            "to = \"/new\"\nstatus = 200\n",
            "200 OK is no redirect: use 301, 302, 303, 307 or 308",
        ),
        (
            "to = \"/new\"\nstatus = 20\n",
            "the status 20 is no redirect: use 301, 302, 303, 307 or 308",
        ),
        (
            "to = \"/p/{id}\"\n",
            "redirects to `/p/{id}`, whose parameter `id` /old does not have",
        ),
        (
            "to = \"taken\"\n",
            "redirects to `taken`, which is neither a path nor the name of a route",
        ),
        (
            "to = \"/a\"\nmiddlewares = [\"x\"]\n",
            "no middleware is called `x`",
        ),
    ] {
        let expected = format!("config/config.default.toml:1:1: {text}");
        assert_eq!(problem(&format!("{redirect}{more}")), expected);
    }
    let taken = problem("type = \"redirect\"\nroute = \"/old\"\n");
    assert!(taken.contains("missing"), "{taken}");
}
