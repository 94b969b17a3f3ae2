//! `validate`: what is asked of what comes in.

use http::Method;

use super::*;

/// Whatever comes in, with `validate` before it.
fn asking(method: &str, schema: &str) -> Application {
    application(&format!(
        "[[routes]]\ntype = \"http\"\nroute = \"/x\"\nhandler = \"admin.posts.echo\"\n\
         method = \"{method}\"\nvalidate = {schema}\n"
    ))
}

const POST: &str = r#"{ type = "object", required = ["title"], additionalProperties = false,
    properties.title = { type = "string", minLength = 3 },
    properties.stars = { type = "integer", minimum = 1 },
    properties.mail = { type = "string", format = "email" },
    properties.tags = { type = "array", items = { type = "number" } },
    properties.draft = { type = "boolean" } }"#;

/// The status, and the body as JSON through everything that errors go through.
async fn post(body: impl Into<Body>) -> (StatusCode, Value) {
    let app = asking("post", POST);
    let mut request = http::Request::new(body.into());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = http::Uri::from_static("/x");
    for name in ["accept", "content-type"] {
        let json = http::HeaderValue::from_static("application/json");
        request.headers_mut().insert(name, json);
    }
    let routes = load(&app).unwrap();
    let entry = crate::context::Entry::new(app, crate::middleware::Next::new(routes));
    let response = entry.call(request, None).await;
    let status = response.status();
    let body = to_bytes(response.into_body(), usize::MAX).await;
    (status, serde_json::from_slice(&body.unwrap()).unwrap())
}

#[tokio::test]
async fn what_fits_comes_to_the_handler_as_it_was() {
    let (status, body) = post(r#"{"title":"Eggs","tags":[1.5]}"#).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body, serde_json::json!({"title": "Eggs", "tags": [1.5]}));
}

#[tokio::test]
async fn what_does_not_fit_is_told_with_its_field_and_without_its_value() {
    let (status, body) = post(r#"{"stars":0,"mail":"nobody","tags":["a"],"by/me":1}"#).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let errors = [
        (
            "",
            "Additional properties are not allowed ('by/me' was unexpected)",
        ),
        ("/mail", "the value is not a \"email\""),
        ("/stars", "the value is less than the minimum of 1"),
        ("/tags/0", "the value is not of type \"number\""),
        ("/title", "\"title\" is a required property"),
    ];
    let message = errors.map(|(path, message)| {
        let colon = if path.is_empty() { "" } else { ": " };
        format!("{path}{colon}{message}")
    });
    let errors =
        errors.map(|(path, message)| serde_json::json!({"path": path, "message": message}));
    assert_eq!(
        body,
        serde_json::json!({
            "message": format!("what came in is not as wanted: {}", message.join("; ")),
            "errors": errors,
        })
    );
}

#[tokio::test]
async fn mistakes_are_few_and_short_however_many_there_are() {
    let tags = vec!["\"x\""; 1000].join(",");
    let (_, body) = post(format!("{{\"title\":\"Eggs\",\"tags\":[{tags}]}}")).await;
    assert_eq!(body["errors"].as_array().unwrap().len(), 16);
    let name = "n".repeat(1000);
    let (_, body) = post(format!("{{\"title\":\"Eggs\",\"{name}\":1}}")).await;
    let message = body["errors"][0]["message"].as_str().unwrap();
    assert_eq!(message.chars().count(), 201);
}

#[tokio::test]
async fn a_body_that_is_no_json_is_no_matter_of_the_schema() {
    let (status, body) = post("{").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(
        body["message"],
        "the body is not JSON: EOF while parsing an object at line 1 column 1"
    );
}

#[tokio::test]
async fn fields_of_a_query_are_read_as_what_the_schema_wants() {
    let app = asking("get", POST);
    let query = "/x?title=007&stars=3&tags=1&draft=true";
    let (status, body) = ask(&app, http::Request::get(query), "").await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(body, r#"{"draft":true,"stars":3,"tags":[1],"title":"007"}"#);
    let (status, body) = ask(&app, http::Request::get("/x?title=007&stars=many"), "").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(
        body,
        "what came in is not as wanted: /stars: the value is not of type \"integer\""
    );
}

#[tokio::test]
async fn a_type_reads_fields_that_the_schema_leaves_as_text() {
    let app = application(
        "[[routes]]\ntype = \"http\"\nroute = \"/x\"\nhandler = \"search.page\"\n\
         validate = { properties.from = { type = \"integer\" } }\n",
    );
    let (status, body) = ask(&app, http::Request::get("/x?from=2&to=4"), "").await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, "[2,4]"));
}

#[test]
fn what_is_no_schema_is_said_with_the_place_of_the_route() {
    let entry = |schema: &str| {
        format!("type = \"http\"\nroute = \"/x\"\nhandler = \"search.find\"\nvalidate = {schema}\n")
    };
    for (schema, text) in [
        (
            r#"{ properties.q = { type = "sting" } }"#,
            "/properties/q/type: \"sting\" is not valid under any of the schemas listed in the \
             'anyOf' keyword",
        ),
        (
            r#"{ properties.q = { type = "string", format = "e-mail" } }"#,
            "/properties/q/format: Unknown format: 'e-mail'",
        ),
        (
            r#"{ properties.q.pattern = "(?=a)" }"#,
            "/properties/q/pattern: \"(?=a)\" is not a \"regex\"",
        ),
        (
            r#"{ "$ref" = "https://example.com/schema.json" }"#,
            "Resource 'https://example.com/schema.json' is not present in a registry and retrieving it failed: Retrieval is disabled, cannot fetch https://example.com/schema.json",
        ),
        ("5", "5 is not of types \"boolean\", \"object\""),
    ] {
        let expected =
            format!("config/config.default.toml:1:1: `validate` is no JSON Schema: {text}");
        assert_eq!(problem(&entry(schema)), expected);
    }
}
