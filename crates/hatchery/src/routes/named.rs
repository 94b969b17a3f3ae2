//! Handlers that the configuration can name.

use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;

use axum::extract::FromRequestParts;
use axum::response::IntoResponse;
use http::request::Parts;

use super::event::{FromInput, Input};
use super::reply::{IntoReply, Reply};

/// A handler that `[[routes]]` can name.
pub trait NamedHandler: Send + Sync {
    /// Answers a request.
    #[doc(hidden)]
    fn call(&self, parts: Parts, input: Input) -> Replying;

    /// Whether it takes a WebSocket, so that only a route of that type can name it.
    #[doc(hidden)]
    fn takes_socket(&self) -> bool;
}

/// A reply that is under way.
#[doc(hidden)]
pub type Replying = Pin<Box<dyn Future<Output = Reply> + Send>>;

/// An asynchronous function that is a handler by name: `async fn(event: Event<T>, ctx: Context)`.
/// The event may be left out, and up to three extractors that leave the body alone may follow it.
/// `M` tells the forms apart.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no handler that `[[routes]]` can name",
    note = "it is `async fn(event: Event<T>, ctx: Context) -> R`, where `T` is \
            `serde::Deserialize` and `R` is `serde::Serialize` or a `Result` of it; `event` may be \
            a `serde_json::Value` or left out, and after it stand up to three extractors"
)]
pub trait HandlerFunction<M>: Clone + Send + Sync + 'static {
    /// Whether it takes a WebSocket.
    const TAKES_SOCKET: bool = false;

    fn reply(&self, parts: Parts, input: Input) -> Replying;
}

/// Marks the forms that take an event.
#[doc(hidden)]
#[derive(Debug)]
pub struct WithEvent<E>(PhantomData<E>);

macro_rules! handlers {
    ($($extractor:ident)*) => {
        #[allow(non_snake_case, unused_mut, unused_variables, reason = "of all arities")]
        impl<Fun, Fut, M, $($extractor,)*> HandlerFunction<(M, $($extractor,)*)> for Fun
        where
            Fun: Fn($($extractor,)*) -> Fut + Clone + Send + Sync + 'static,
            Fut: Future<Output: IntoReply<M>> + Send + 'static,
            $($extractor: FromRequestParts<()> + Send + 'static,)*
        {
            fn reply(&self, mut parts: Parts, _: Input) -> Replying {
                let function = self.clone();
                Box::pin(async move {
                    $(let $extractor = match $extractor::from_request_parts(&mut parts, &()).await {
                        Ok(value) => value,
                        Err(refusal) => return Reply::Response(refusal.into_response()),
                    };)*
                    function($($extractor,)*).await.into_reply()
                })
            }
        }

        #[allow(non_snake_case, unused_mut, unused_variables, reason = "of all arities")]
        impl<Fun, Fut, M, In, $($extractor,)*> HandlerFunction<(M, WithEvent<In>, $($extractor,)*)>
            for Fun
        where
            Fun: Fn(In, $($extractor,)*) -> Fut + Clone + Send + Sync + 'static,
            Fut: Future<Output: IntoReply<M>> + Send + 'static,
            In: FromInput + Send,
            $($extractor: FromRequestParts<()> + Send + 'static,)*
        {
            fn reply(&self, mut parts: Parts, input: Input) -> Replying {
                let function = self.clone();
                Box::pin(async move {
                    let event = match In::from_input(input) {
                        Ok(event) => event,
                        Err(error) => return Reply::Response(error.into_response()),
                    };
                    $(let $extractor = match $extractor::from_request_parts(&mut parts, &()).await {
                        Ok(value) => value,
                        Err(refusal) => return Reply::Response(refusal.into_response()),
                    };)*
                    function(event, $($extractor,)*).await.into_reply()
                })
            }
        }
    };
}

handlers!();
handlers!(A);
handlers!(A B);
handlers!(A B C);

/// Marks the forms that take a WebSocket.
#[cfg(feature = "websocket")]
#[doc(hidden)]
#[derive(Debug)]
pub struct WithSocket<M>(PhantomData<M>);

#[cfg(feature = "websocket")]
impl<Fun, M> HandlerFunction<WithSocket<M>> for Fun
where
    Fun: crate::websocket::SocketHandler<M>,
{
    const TAKES_SOCKET: bool = true;

    fn reply(&self, parts: Parts, _: Input) -> Replying {
        let answering = self.answer(parts);
        Box::pin(async move { Reply::Response(answering.await) })
    }
}

/// What `#[handler]` writes: the function as an object.
#[doc(hidden)]
pub fn named<F, M>(function: F) -> Box<dyn NamedHandler>
where
    F: HandlerFunction<M>,
    M: 'static,
{
    Box::new(Named {
        function,
        form: PhantomData,
    })
}

struct Named<F, M> {
    function: F,
    form: PhantomData<fn() -> M>,
}

impl<F, M> NamedHandler for Named<F, M>
where
    F: HandlerFunction<M>,
    M: 'static,
{
    fn call(&self, parts: Parts, input: Input) -> Replying {
        self.function.reply(parts, input)
    }

    fn takes_socket(&self) -> bool {
        F::TAKES_SOCKET
    }
}

impl fmt::Debug for dyn NamedHandler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NamedHandler")
    }
}
