//! Asynchronous functions as middleware: the second form of `#[middleware]`, and [`from_fn`].

use std::any::Any;
use std::convert::Infallible;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request};
use axum::response::IntoResponse;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tower_service::Service;

use super::next::Answer;
use super::{MiddlewareArguments, Next, Wrap, caught};
use crate::{BoxError, Context};

/// The first argument of an asynchronous middleware that has options: `[middleware.<name>]` as a
/// type, read once.
#[derive(Debug)]
pub struct Options<T>(Arc<T>);

/// Options of a middleware that has none of its own.
#[doc(hidden)]
#[derive(Debug, Deserialize)]
pub struct NoOptions {}

/// An asynchronous function that is a middleware. Its last arguments are the request and what comes
/// after it; before them stand up to three extractors that leave the body alone, such as
/// [`Context`](crate::Context), and before those [`Options`]. `M` tells the forms apart.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no middleware",
    note = "it is `async fn(ctx: Context, request: Request, next: Next) -> impl IntoResponse`, with \
            `hatchery::extract::Request` and `hatchery::middleware::Next`; instead of `ctx` there \
            may be up to three extractors, or none, and before them `Options<O>`"
)]
pub trait AsyncMiddleware<M>: Clone + Send + Sync + 'static {
    type Options: DeserializeOwned + Send + Sync + 'static;

    fn answer(&self, options: &Arc<Self::Options>, request: Request, next: Next) -> Answer;
}

/// Marks the forms that take [`Options`].
#[doc(hidden)]
#[derive(Debug)]
pub struct WithOptions<O>(PhantomData<O>);

impl<F, Fut> AsyncMiddleware<()> for F
where
    F: Fn(Request, Next) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output: IntoResponse> + Send + 'static,
{
    type Options = NoOptions;

    fn answer(&self, _: &Arc<NoOptions>, request: Request, next: Next) -> Answer {
        caught::answer(|| self(request, next))
    }
}

impl<F, Fut, O> AsyncMiddleware<WithOptions<O>> for F
where
    F: Fn(Options<O>, Request, Next) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output: IntoResponse> + Send + 'static,
    O: DeserializeOwned + Send + Sync + 'static,
{
    type Options = O;

    fn answer(&self, options: &Arc<O>, request: Request, next: Next) -> Answer {
        caught::answer(|| self(Options(Arc::clone(options)), request, next))
    }
}

/// The forms with extractors. Each is taken out of the request's head in turn; one that refuses
/// answers the request.
macro_rules! with_extractors {
    ($($extractor:ident)+) => {
        impl<Fun, Fut, $($extractor),+> AsyncMiddleware<($($extractor,)+)> for Fun
        where
            Fun: Fn($($extractor,)+ Request, Next) -> Fut + Clone + Send + Sync + 'static,
            Fut: Future<Output: IntoResponse> + Send + 'static,
            $($extractor: FromRequestParts<()> + Send + 'static,)+
        {
            type Options = NoOptions;

            #[allow(non_snake_case, reason = "the types' names serve for their values")]
            fn answer(&self, _: &Arc<NoOptions>, request: Request, next: Next) -> Answer {
                if let Some(($($extractor,)+)) = at_hand(&request) {
                    return caught::answer(|| self($($extractor,)+ request, next));
                }
                let function = self.clone();
                // What the future holds twice, every request pays for.
                let (mut parts, body) = request.into_parts();
                Box::pin(async move {
                    $(let $extractor = match $extractor::from_request_parts(&mut parts, &()).await {
                        Ok(value) => value,
                        Err(refusal) => return refusal.into_response(),
                    };)+
                    function($($extractor,)+ Request::from_parts(parts, body), next)
                        .await
                        .into_response()
                })
            }
        }

        impl<Fun, Fut, O, $($extractor),+> AsyncMiddleware<(WithOptions<O>, $($extractor,)+)> for Fun
        where
            Fun: Fn(Options<O>, $($extractor,)+ Request, Next) -> Fut
                + Clone + Send + Sync + 'static,
            Fut: Future<Output: IntoResponse> + Send + 'static,
            O: DeserializeOwned + Send + Sync + 'static,
            $($extractor: FromRequestParts<()> + Send + 'static,)+
        {
            type Options = O;

            #[allow(non_snake_case, reason = "the types' names serve for their values")]
            fn answer(&self, options: &Arc<O>, request: Request, next: Next) -> Answer {
                let options = Options(Arc::clone(options));
                if let Some(($($extractor,)+)) = at_hand(&request) {
                    return caught::answer(|| self(options, $($extractor,)+ request, next));
                }
                let function = self.clone();
                // What the future holds twice, every request pays for.
                let (mut parts, body) = request.into_parts();
                Box::pin(async move {
                    $(let $extractor = match $extractor::from_request_parts(&mut parts, &()).await {
                        Ok(value) => value,
                        Err(refusal) => return refusal.into_response(),
                    };)+
                    function(options, $($extractor,)+ Request::from_parts(parts, body), next)
                        .await
                        .into_response()
                })
            }
        }
    };
}

/// What a middleware that takes only the [`Context`] wants: most do, and nothing is to be waited for
/// then, nor does the request have to be taken apart.
fn at_hand<T: 'static>(request: &Request) -> Option<T> {
    let mut found = None::<T>;
    let any: &mut dyn Any = &mut found;
    if let Some(wanted) = any.downcast_mut::<Option<(Context,)>>() {
        *wanted = Context::of(request).map(|context| (context,));
    }
    found
}

with_extractors!(A);
with_extractors!(A B);
with_extractors!(A B C);

/// What `#[middleware]` writes for an asynchronous function.
#[doc(hidden)]
pub fn from_async<'a, F, M>(
    arguments: &MiddlewareArguments<'a>,
    function: F,
) -> Result<Wrap<'a>, BoxError>
where
    F: AsyncMiddleware<M>,
{
    let options = Arc::new(arguments.options::<F::Options>()?);
    Ok(Box::new(move |next| around(&function, &options, next)))
}

fn around<F, M>(function: &F, options: &Arc<F::Options>, next: Next) -> Next
where
    F: AsyncMiddleware<M>,
{
    let (function, options) = (function.clone(), Arc::clone(options));
    Next::of(move |request| function.answer(&options, request, next.clone()))
}

/// A layer of an asynchronous function: `async |request: Request, next: Next| …`, with up to three
/// extractors before the request, as [`Context`](crate::Context).
///
/// ```
/// use hatchery::extract::Request;
/// use hatchery::http::HeaderValue;
/// use hatchery::middleware::{Layer, Next, from_fn};
///
/// #[derive(serde::Deserialize)]
/// struct Stamp {
///     text: String,
/// }
///
/// fn stamp(options: Stamp) -> Result<impl Layer, hatchery::BoxError> {
///     let text = HeaderValue::try_from(options.text)?;
///     Ok(from_fn(move |request: Request, next: Next| {
///         let text = text.clone();
///         async move {
///             let mut response = next.run(request).await;
///             response.headers_mut().insert("x-stamp", text);
///             response
///         }
///     }))
/// }
/// ```
pub fn from_fn<F, M>(function: F) -> FromFn<F, M>
where
    F: AsyncMiddleware<M, Options = NoOptions>,
{
    FromFn {
        function,
        form: PhantomData,
    }
}

/// The layer that [`from_fn`] makes.
pub struct FromFn<F, M> {
    function: F,
    form: PhantomData<fn() -> M>,
}

impl<F, M, S> tower_layer::Layer<S> for FromFn<F, M>
where
    F: AsyncMiddleware<M, Options = NoOptions>,
    S: Service<Request> + Clone + Send + Sync + 'static,
    S::Response: IntoResponse,
    S::Error: Into<Infallible>,
    S::Future: Send + 'static,
{
    type Service = Next;

    fn layer(&self, inner: S) -> Next {
        around(&self.function, &Arc::new(NoOptions {}), Next::new(inner))
    }
}

impl<F: Clone, M> Clone for FromFn<F, M> {
    fn clone(&self) -> Self {
        Self {
            function: self.function.clone(),
            form: PhantomData,
        }
    }
}

impl<F, M> fmt::Debug for FromFn<F, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FromFn({})", std::any::type_name::<F>())
    }
}

impl<T> Deref for Options<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> Clone for Options<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
