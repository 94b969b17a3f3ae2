//! actix-web: one thread a worker, connections handed to them by an accept thread.

use actix_web::web::{self, Json, Path};
use actix_web::{App, HttpResponse, HttpServer, Responder};
use hatchery_bench_peers::{Arguments, HELLO, MESSAGE, User, listen};
use serde_json::Value;

fn main() -> std::io::Result<()> {
    let arguments = Arguments::from_env();
    let listener = listen(arguments.port)?;
    actix_web::rt::System::new().block_on(async move {
        HttpServer::new(|| {
            App::new()
                .route("/hello", web::get().to(|| async { HELLO }))
                .route("/framework", web::get().to(|| async { HELLO }))
                .route("/json", web::get().to(|| async { Json(MESSAGE) }))
                .route("/users/{id}", web::get().to(user))
                .route(
                    "/echo",
                    web::post().to(|value: Json<Value>| async move { value }),
                )
        })
        .workers(arguments.workers)
        .listen(listener)?
        .run()
        .await
    })
}

async fn user(id: Path<String>) -> impl Responder {
    HttpResponse::Ok().json(User { id: &id })
}
