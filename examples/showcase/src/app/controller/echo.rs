//! `/json`, `/users/{id}` and `/echo`: small answers.

use hatchery::body::Bytes;
use hatchery::extract::Path;
use hatchery::http::StatusCode;
use hatchery::response::{IntoResponse, Response};
use hatchery::{Json, get, post};
use serde::Serialize;
use serde_json::Value;

#[derive(Serialize)]
struct Message {
    message: &'static str,
}

#[get("/json")]
async fn json() -> Json<Message> {
    Json(Message {
        message: "Hello, World!",
    })
}

#[derive(Serialize)]
struct User {
    id: String,
}

#[get("/users/{id}", name = "user")]
async fn user(Path(id): Path<String>) -> Json<User> {
    Json(User { id })
}

/// JSON in, JSON out. The content type is not asked for: a person with `curl -d` is understood.
#[post("/echo")]
async fn echo(body: Bytes) -> Response {
    match serde_json::from_slice::<Value>(&body) {
        Ok(value) => Json(value).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, format!("not JSON: {error}\n")).into_response(),
    }
}
