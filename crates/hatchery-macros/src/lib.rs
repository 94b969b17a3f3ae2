//! The attributes with which Hatchery finds what an application is made of.
//!
//! Applications take them from `hatchery`, where each of them is described with an example. Every
//! attribute leaves its item as it is and tells of it at link time, so that nobody has to name it.

mod app;
mod arguments;
mod boot;
mod controller;
mod extend;
mod functions;
mod load;
mod register;
mod route;
mod service;

use proc_macro::TokenStream;
use syn::parse::Parse;

/// The text of an attribute's macro: errors stand beside the item, so that they come alone.
fn attribute<A: Parse, I: Parse>(
    arguments: TokenStream,
    item: TokenStream,
    expand: impl FnOnce(&A, &I) -> syn::Result<proc_macro2::TokenStream>,
) -> TokenStream {
    let untouched = item.clone().into();
    attribute_or(&untouched, arguments, item, expand)
}

/// The same, with what is left of the item when there is an error.
fn attribute_or<A: Parse, I: Parse>(
    untouched: &proc_macro2::TokenStream,
    arguments: TokenStream,
    item: TokenStream,
    expand: impl FnOnce(&A, &I) -> syn::Result<proc_macro2::TokenStream>,
) -> TokenStream {
    let expanded =
        syn::parse(arguments).and_then(|arguments| expand(&arguments, &syn::parse(item)?));
    expanded
        .unwrap_or_else(|error| {
            let error = error.into_compile_error();
            quote::quote!(#untouched #error)
        })
        .into()
}

macro_rules! verbs {
    ($($(#[$attribute:meta])* $verb:ident)*) => {
        $(
            $(#[$attribute])*
            #[proc_macro_attribute]
            pub fn $verb(arguments: TokenStream, item: TokenStream) -> TokenStream {
                attribute(arguments, item, |arguments, item| {
                    route::expand(stringify!($verb), arguments, item)
                })
            }
        )*
    };
}

verbs! {
    /// A handler of `GET`, and with it of `HEAD`.
    get
    /// A handler of `POST`.
    post
    /// A handler of `PUT`.
    put
    /// A handler of `PATCH`.
    patch
    /// A handler of `DELETE`.
    delete
    /// A handler of `HEAD` alone.
    head
    /// A handler of `OPTIONS`.
    options
    /// A handler of every method.
    all
    /// A handler of a WebSocket.
    websocket
}

/// Methods of a type as handlers.
#[proc_macro_attribute]
pub fn controller(arguments: TokenStream, item: TokenStream) -> TokenStream {
    // Its methods' attributes are this one's to read: they would make errors of their own.
    let untouched = controller::without_routes(item.clone().into());
    attribute_or(&untouched, arguments, item, controller::expand)
}

/// A function that adds routes.
#[proc_macro_attribute]
pub fn router(arguments: TokenStream, item: TokenStream) -> TokenStream {
    attribute(arguments, item, functions::router)
}

/// A type with lifecycle hooks.
#[proc_macro_attribute]
pub fn boot(arguments: TokenStream, item: TokenStream) -> TokenStream {
    attribute(arguments, item, boot::expand)
}

/// A piece of business logic, made once for a request.
#[proc_macro_attribute]
pub fn service(arguments: TokenStream, item: TokenStream) -> TokenStream {
    attribute(arguments, item, service::expand)
}

/// A middleware that the configuration can name.
#[proc_macro_attribute]
pub fn middleware(arguments: TokenStream, item: TokenStream) -> TokenStream {
    attribute(arguments, item, functions::middleware)
}

/// A condition that `match` and `ignore` of a middleware can name.
#[proc_macro_attribute]
pub fn predicate(arguments: TokenStream, item: TokenStream) -> TokenStream {
    attribute(arguments, item, functions::predicate)
}

/// A handler that `[[routes]]` can name.
#[proc_macro_attribute]
pub fn handler(arguments: TokenStream, item: TokenStream) -> TokenStream {
    attribute(arguments, item, functions::handler)
}

/// A function that becomes a method of an object of the framework.
#[proc_macro_attribute]
pub fn extend(arguments: TokenStream, item: TokenStream) -> TokenStream {
    attribute(arguments, item, extend::expand)
}

/// A type in a directory of the application's own kind.
#[proc_macro_attribute]
pub fn load(arguments: TokenStream, item: TokenStream) -> TokenStream {
    attribute(arguments, item, load::expand)
}

/// The modules below `src/app` that the build script has found.
#[proc_macro]
pub fn app(input: TokenStream) -> TokenStream {
    app::expand(&input).unwrap_or_else(|error| error.into_compile_error().into())
}
