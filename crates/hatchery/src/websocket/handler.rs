//! Functions that are a WebSocket's handler.

use std::pin::Pin;

use axum::extract::FromRequestParts;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::Method;
use http::request::Parts;

use super::{Upgrade, WebSocket};
use crate::router::Route;
use crate::{Error, Routes};

/// A response that is under way.
#[doc(hidden)]
pub type Answering = Pin<Box<dyn Future<Output = Response> + Send>>;

/// An asynchronous function that takes a [`WebSocket`], and after it up to three extractors. `M`
/// tells the forms apart.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no handler of a WebSocket",
    note = "it is `async fn(socket: WebSocket, ctx: Context)`; after `socket` stand up to three \
            extractors, and it may return a `Result` whose error is a `hatchery::Error` or can \
            become one"
)]
pub trait SocketHandler<M>: Clone + Send + Sync + 'static {
    fn answer(&self, parts: Parts) -> Answering;
}

/// What such a function may return.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "a handler of a WebSocket cannot return `{Self}`",
    note = "it returns nothing, or a `Result<(), E>` whose error is a `hatchery::Error` or can \
            become one"
)]
pub trait Outcome {
    fn into_result(self) -> Result<(), Error>;
}

impl Outcome for () {
    fn into_result(self) -> Result<(), Error> {
        Ok(())
    }
}

impl<E: Into<Error>> Outcome for Result<(), E> {
    fn into_result(self) -> Result<(), Error> {
        self.map_err(Into::into)
    }
}

macro_rules! handlers {
    ($($extractor:ident)*) => {
        #[allow(non_snake_case, reason = "of all arities")]
        impl<Fun, Fut, R, $($extractor,)*> SocketHandler<(R, $($extractor,)*)> for Fun
        where
            Fun: Fn(WebSocket, $($extractor,)*) -> Fut + Clone + Send + Sync + 'static,
            Fut: Future<Output = R> + Send + 'static,
            R: Outcome,
            $($extractor: FromRequestParts<()> + Send + 'static,)*
        {
            fn answer(&self, mut parts: Parts) -> Answering {
                let function = self.clone();
                Box::pin(async move {
                    let upgrade = match Upgrade::from_request_parts(&mut parts, &()).await {
                        Ok(upgrade) => upgrade,
                        Err(refusal) => return refusal,
                    };
                    $(let $extractor = match $extractor::from_request_parts(&mut parts, &()).await {
                        Ok(value) => value,
                        Err(refusal) => return refusal.into_response(),
                    };)*
                    upgrade.on(move |socket| function(socket, $($extractor,)*))
                })
            }
        }
    };
}

handlers!();
handlers!(A);
handlers!(A B);
handlers!(A B C);

impl Routes {
    /// A WebSocket at `path`. `handler` takes a [`WebSocket`], and up to three extractors after it,
    /// which may refuse the request before it becomes one.
    ///
    /// ```
    /// use hatchery::websocket::WebSocket;
    /// use hatchery::{Context, Routes};
    ///
    /// async fn echo(mut socket: WebSocket, _ctx: Context) {
    ///     while let Some(message) = socket.recv().await {
    ///         let _ = socket.send(message).await;
    ///     }
    /// }
    ///
    /// fn routes(routes: &mut Routes) {
    ///     routes.websocket("/echo", echo).name("echo");
    /// }
    /// ```
    #[track_caller]
    pub fn websocket<H, M>(&mut self, path: &str, handler: H) -> &mut Route
    where
        H: SocketHandler<M>,
    {
        let answer = move |request: Request| handler.answer(request.into_parts().0);
        let route = self.route(&[Method::GET], path, answer);
        route.handled_by(std::any::type_name::<H>())
    }
}
