//! WebSockets: handlers, limits, pings, and an end that clients can go on after.
//!
//! ```
//! # #[cfg(feature = "websocket")] {
//! use hatchery::Context;
//! use hatchery::websocket::WebSocket;
//!
//! #[hatchery::websocket("/echo")]
//! async fn echo(mut socket: WebSocket, ctx: Context) -> Result<(), hatchery::Error> {
//!     socket.send(format!("this is {}", ctx.app().name())).await?;
//!     while let Some(message) = socket.recv().await {
//!         socket.send(message).await?;
//!     }
//!     Ok(())
//! }
//! # }
//! ```
//!
//! See [the guide](crate::guide::websocket).
//!
//! - [`handshake`]: the request that becomes one. [`origin`]: of which pages. [`handler`]: whose.
//! - [`socket`], [`message`], [`close_code`]: what a handler sees.
//! - [`wire`]: the connection. [`session`]: what drives one. [`hub`]: all of them, and their drain.
//! - [`settings`]: the table `[websocket]`.

#![cfg_attr(
    not(feature = "websocket"),
    allow(
        dead_code,
        reason = "the table is read, so that what is wrong in it is found"
    )
)]
#![allow(
    rustdoc::private_intra_doc_links,
    reason = "a map for who reads the code"
)]

#[cfg(feature = "websocket")]
pub mod close_code;
#[cfg(feature = "websocket")]
mod handler;
#[cfg(feature = "websocket")]
mod handshake;
#[cfg(feature = "websocket")]
mod hub;
#[cfg(feature = "websocket")]
mod message;
mod origin;
#[cfg(feature = "websocket")]
mod session;
pub(crate) mod settings;
#[cfg(feature = "websocket")]
mod socket;
#[cfg(feature = "websocket")]
mod wire;

#[cfg(feature = "websocket")]
pub use self::{
    handler::{Answering, Outcome, SocketHandler},
    handshake::Upgrade,
    message::{Message, Utf8Bytes},
    socket::WebSocket,
    wire::Closed,
};
#[cfg(feature = "websocket")]
pub(crate) use self::{handshake::RouteOptions, hub::Hub};
