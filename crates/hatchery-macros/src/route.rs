//! `#[get("/path")]` and its siblings.

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{ItemFn, Signature};

use crate::arguments::{Route, RouteOptions};
use crate::register::{place, registration};

/// The attributes, which are also methods of `hatchery::Routes`.
pub(crate) const VERBS: [&str; 9] = [
    "get",
    "post",
    "put",
    "patch",
    "delete",
    "head",
    "options",
    "all",
    "websocket",
];

/// A function as a handler.
pub(crate) fn expand(verb: &str, route: &Route, function: &ItemFn) -> syn::Result<TokenStream> {
    check(&function.sig, verb)?;
    let ident = &function.sig.ident;
    let name = ident.to_string();
    let added = added(verb, route, &quote!(#ident), ident);
    let item = quote! {
        ::hatchery::loader::registry::Item::Controller(|routes| { #added })
    };
    let route = registration(&function.attrs, &name, ident, &item);
    let item = quote!(::hatchery::loader::registry::Item::Action);
    let action = registration(&function.attrs, &name, ident, &item);
    // A handler is asynchronous, whether this one waits or not.
    Ok(quote!(#[allow(clippy::unused_async)] #function #route #action))
}

/// Only `async` functions without a receiver can be handlers.
pub(crate) fn check(signature: &Signature, verb: &str) -> syn::Result<()> {
    if let Some(receiver) = signature.receiver() {
        return Err(syn::Error::new(
            receiver.span(),
            "a handler has no `self`: it asks for what it needs, for example `ctx: Context`",
        ));
    }
    if signature.asyncness.is_none() {
        return Err(syn::Error::new(
            signature.fn_token.span,
            format!("a handler is asynchronous: `async fn {}`", signature.ident),
        ));
    }
    if let Some(generic) = signature.generics.params.first() {
        return Err(syn::Error::new(
            generic.span(),
            format!("`#[{verb}]` cannot choose a generic function's types"),
        ));
    }
    Ok(())
}

/// Adds a route to `routes`. Errors about the handler's type point at the handler.
pub(crate) fn added(verb: &str, route: &Route, handler: &TokenStream, at: &Ident) -> TokenStream {
    let (file, line) = place(at);
    let verb = Ident::new(verb, at.span());
    let path = &route.path;
    let options = options(&route.options);
    quote_spanned! {at.span()=>
        let route = ::hatchery::Routes::#verb(routes, #path, #handler);
        #options
        let _ = route.at(#file, #line);
    }
}

/// Gives `route` its name and its middleware.
pub(crate) fn options(options: &RouteOptions) -> TokenStream {
    let name = options.name.as_ref().map(|name| quote!(.name(#name)));
    let middleware = &options.middleware;
    quote!(let route = route #name #(.middleware(#middleware))*;)
}
