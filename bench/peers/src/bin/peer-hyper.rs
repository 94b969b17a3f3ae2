//! Bare hyper on tokio's multi-thread runtime: the floor under every framework that stands on it.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use hatchery_bench_peers::{Arguments, HELLO, MESSAGE, User, listen};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;

/// Pause after a failed accept: most such failures are a want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

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
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        tokio::spawn(async move {
            // A client that goes away ends its connection with an error; nobody needs to know.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service_fn(answer))
                .await;
        });
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path();
    Ok(match (request.method(), path) {
        (&Method::GET, "/hello" | "/framework") => text(HELLO),
        (&Method::GET, "/json") => json(&MESSAGE),
        (&Method::POST, "/echo") => echo(request).await,
        (&Method::GET, path) => match path.strip_prefix("/users/") {
            Some(id) if !id.is_empty() && !id.contains('/') => json(&User { id }),
            _ => status(StatusCode::NOT_FOUND),
        },
        _ => status(StatusCode::NOT_FOUND),
    })
}

async fn echo(request: Request<Incoming>) -> Response<Full<Bytes>> {
    let Ok(body) = request.into_body().collect().await else {
        return status(StatusCode::BAD_REQUEST);
    };
    match serde_json::from_slice::<serde_json::Value>(&body.to_bytes()) {
        Ok(value) => json(&value),
        Err(_) => status(StatusCode::BAD_REQUEST),
    }
}

fn text(body: &'static str) -> Response<Full<Bytes>> {
    with_type(
        Bytes::from_static(body.as_bytes()),
        "text/plain; charset=utf-8",
    )
}

fn json(value: &impl Serialize) -> Response<Full<Bytes>> {
    match serde_json::to_vec(value) {
        Ok(body) => with_type(body.into(), "application/json"),
        Err(_) => status(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

fn with_type(body: Bytes, content_type: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn status(code: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = code;
    response
}
