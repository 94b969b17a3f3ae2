//! axum with its own `serve` on tokio's multi-thread runtime.

use axum::extract::Path;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use hatchery_bench_peers::{Arguments, HELLO, MESSAGE, User, listen};
use serde_json::Value;

fn main() -> std::io::Result<()> {
    let arguments = Arguments::from_env();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(arguments.workers)
        .enable_all()
        .build()?
        .block_on(async {
            // On a worker of the runtime: the thread that blocks on it is not one.
            let served = tokio::spawn(serve(listen(arguments.port)?));
            served.await.map_err(std::io::Error::other)?
        })
}

async fn serve(listener: std::net::TcpListener) -> std::io::Result<()> {
    let router = Router::new()
        .route("/hello", get(|| async { HELLO }))
        .route("/framework", get(|| async { HELLO }))
        .route("/json", get(|| async { Json(MESSAGE) }))
        .route("/users/{id}", get(user))
        .route(
            "/echo",
            post(|Json(value): Json<Value>| async { Json(value) }),
        );
    axum::serve(tokio::net::TcpListener::from_std(listener)?, router).await
}

async fn user(Path(id): Path<String>) -> impl IntoResponse {
    Json(User { id: &id }).into_response()
}
