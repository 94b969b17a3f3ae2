//! What is served.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use hatchery::response::Response;
use hatchery::websocket::{Message, Upgrade, WebSocket, close_code};
use hatchery::{Application, Context, Error};

#[hatchery::websocket("/echo", name = "echo")]
async fn echo(mut socket: WebSocket) {
    while let Some(message) = socket.recv().await {
        if socket.send(message).await.is_err() {
            break;
        }
    }
}

/// Says who serves it, and then what it hears.
#[hatchery::websocket("/whoami")]
async fn whoami(mut socket: WebSocket, ctx: Context) -> Result<(), Error> {
    let instance = ctx.app().identity().instance;
    socket.send(instance.to_string()).await?;
    while let Some(message) = socket.recv().await {
        socket.send(message).await?;
    }
    Ok(())
}

/// Named by the configuration.
#[hatchery::handler]
async fn small(mut socket: WebSocket, ctx: Context) -> Result<(), Error> {
    let protocol = socket.protocol().unwrap_or("none").to_owned();
    socket.send(format!("{protocol} {}", ctx.path())).await?;
    while let Some(message) = socket.recv().await {
        socket.send(message).await?;
    }
    Ok(())
}

/// Takes no socket.
#[hatchery::handler]
async fn plain() -> &'static str {
    "plain"
}

/// Ends as its first message says.
#[hatchery::websocket("/end")]
async fn end(mut socket: WebSocket) -> Result<(), Error> {
    let how = socket.recv().await;
    match how.as_ref().and_then(Message::as_text) {
        Some("panic") => panic!("as it was told"),
        Some("error") => Err(Error::internal("as it was told")),
        Some("close") => {
            socket.close(4001, "enough");
            // It can be awaited.
            assert!(socket.recv().await.is_none());
            Ok(())
        }
        _ => {
            socket.send("last words").await?;
            Ok(())
        }
    }
}

/// Does not look at what comes, for a while.
#[hatchery::websocket("/busy")]
async fn busy(mut socket: WebSocket) -> Result<(), Error> {
    tokio::time::sleep(Duration::from_millis(1500)).await;
    while let Some(message) = socket.recv().await {
        socket.send(message).await?;
    }
    socket.send("too late").await?;
    Ok(())
}

/// Reads in one task and writes in another.
#[hatchery::websocket("/halves")]
async fn halves(socket: WebSocket) {
    let (mut sink, mut stream) = socket.split();
    let (tell, mut told) = tokio::sync::mpsc::channel(4);
    tokio::spawn(async move {
        while let Some(message) = told.recv().await {
            if sink.send(message).await.is_err() {
                break;
            }
        }
    });
    tokio::spawn(async move {
        while let Some(message) = stream.next().await {
            let _ = tell.send(message).await;
        }
    });
}

/// Decides before it becomes one.
#[hatchery::get("/choosy")]
async fn choosy(upgrade: Upgrade, ctx: Context) -> Result<Response, Error> {
    if ctx.header("authorization").is_none() {
        return Err(Error::unauthorized("say who you are"));
    }
    Ok(upgrade.max_message(8).on(async |mut socket: WebSocket| {
        while let Some(message) = socket.recv().await {
            let _ = socket.send(message).await;
        }
        assert_eq!(socket.close_code(), Some(close_code::TOO_LARGE));
    }))
}

#[hatchery::get("/count")]
async fn count(app: Application) -> String {
    app.websockets().to_string()
}

#[hatchery::get("/hello")]
async fn hello() -> &'static str {
    "hello"
}
