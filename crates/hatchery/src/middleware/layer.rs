//! Layers that functions make: the first form of `#[middleware]`.

use std::convert::Infallible;

use axum::extract::Request;
use axum::response::IntoResponse;
use serde::de::DeserializeOwned;
use tower_service::Service;

use super::{MiddlewareArguments, Next, Wrap};
use crate::{Application, BoxError};

/// A tower layer that can be a middleware: its service never fails. Every `tower::Layer` of which
/// that is true is one; [`from_fn`](super::from_fn) makes one of a function.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no layer that can be a middleware",
    note = "a middleware is a `tower::Layer<hatchery::middleware::Next>`; its service is `Clone`, \
            its responses are responses, and its error is `Infallible`",
    note = "`hatchery::middleware::from_fn` makes one of a function"
)]
pub trait Layer {
    /// Lays itself around what comes after it.
    fn around(&self, next: Next) -> Next;
}

impl<L> Layer for L
where
    L: tower_layer::Layer<Next>,
    L::Service: Service<Request> + Clone + Send + Sync + 'static,
    <L::Service as Service<Request>>::Response: IntoResponse,
    <L::Service as Service<Request>>::Error: Into<Infallible>,
    <L::Service as Service<Request>>::Future: Send + 'static,
{
    fn around(&self, next: Next) -> Next {
        Next::new(self.layer(next))
    }
}

/// What a function that makes a middleware returns: a layer, or a `Result` of one. `M` tells the
/// two apart.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "a middleware's function returns a layer, `{Self}` is none",
    note = "return `impl hatchery::middleware::Layer`, or `Result<impl hatchery::middleware::Layer, \
            hatchery::BoxError>`"
)]
pub trait IntoLayer<M> {
    type Layer: Layer;

    fn into_layer(self) -> Result<Self::Layer, BoxError>;
}

/// Markers of [`IntoLayer`].
#[doc(hidden)]
#[derive(Debug)]
pub enum Plain {}
#[doc(hidden)]
#[derive(Debug)]
pub enum Fallible {}

impl<L: Layer> IntoLayer<Plain> for L {
    type Layer = L;

    fn into_layer(self) -> Result<L, BoxError> {
        Ok(self)
    }
}

impl<L: Layer, E: Into<BoxError>> IntoLayer<Fallible> for Result<L, E> {
    type Layer = L;

    fn into_layer(self) -> Result<L, BoxError> {
        self.map_err(Into::into)
    }
}

/// A function that makes a middleware: `fn(options, app)`, `fn(options)`, `fn(app)`, `fn()`. `M`
/// tells them apart. The lifetime is that of the application which it borrows: an `impl Layer` that
/// it returns is taken to depend on it.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` makes no middleware",
    note = "it is `fn(options: O, app: &Application) -> impl hatchery::middleware::Layer` (or a \
            `Result` of it), where `O` is `serde::Deserialize`; either argument may be left out",
    note = "or `async fn(ctx: Context, request: Request, next: Next) -> impl IntoResponse`"
)]
pub trait MakeLayer<'a, M> {
    fn make(self, arguments: &MiddlewareArguments<'a>) -> Result<Wrap<'a>, BoxError>;
}

impl<'a, F, O, R, M> MakeLayer<'a, (O, &'a Application, M)> for F
where
    F: FnOnce(O, &'a Application) -> R,
    O: DeserializeOwned,
    R: IntoLayer<M>,
    R::Layer: 'a,
{
    fn make(self, arguments: &MiddlewareArguments<'a>) -> Result<Wrap<'a>, BoxError> {
        wrap(self(arguments.options()?, arguments.app))
    }
}

impl<'a, F, O, R, M> MakeLayer<'a, ((O,), M)> for F
where
    F: FnOnce(O) -> R,
    O: DeserializeOwned,
    R: IntoLayer<M>,
    R::Layer: 'a,
{
    fn make(self, arguments: &MiddlewareArguments<'a>) -> Result<Wrap<'a>, BoxError> {
        wrap(self(arguments.options()?))
    }
}

impl<'a, F, R, M> MakeLayer<'a, (&'a Application, M)> for F
where
    F: FnOnce(&'a Application) -> R,
    R: IntoLayer<M>,
    R::Layer: 'a,
{
    fn make(self, arguments: &MiddlewareArguments<'a>) -> Result<Wrap<'a>, BoxError> {
        arguments.no_options()?;
        wrap(self(arguments.app))
    }
}

impl<'a, F, R, M> MakeLayer<'a, ((), M)> for F
where
    F: FnOnce() -> R,
    R: IntoLayer<M>,
    R::Layer: 'a,
{
    fn make(self, arguments: &MiddlewareArguments<'a>) -> Result<Wrap<'a>, BoxError> {
        arguments.no_options()?;
        wrap(self())
    }
}

fn wrap<'a, R, M>(made: R) -> Result<Wrap<'a>, BoxError>
where
    R: IntoLayer<M>,
    R::Layer: 'a,
{
    let layer = made.into_layer()?;
    Ok(Box::new(move |next| layer.around(next)))
}

/// What `#[middleware]` writes for a function that makes a layer.
#[doc(hidden)]
pub fn from_layer<'a, F, M>(
    arguments: &MiddlewareArguments<'a>,
    make: F,
) -> Result<Wrap<'a>, BoxError>
where
    F: MakeLayer<'a, M>,
{
    make.make(arguments)
}
