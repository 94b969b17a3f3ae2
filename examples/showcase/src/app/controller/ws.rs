//! `/ws`: a WebSocket that says what it hears.

use hatchery::Error;
use hatchery::websocket::WebSocket;

#[hatchery::websocket("/ws", name = "ws")]
async fn echo(mut socket: WebSocket) -> Result<(), Error> {
    while let Some(message) = socket.recv().await {
        socket.send(message).await?;
    }
    Ok(())
}
