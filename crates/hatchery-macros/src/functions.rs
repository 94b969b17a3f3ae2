//! Functions that are registered as they are: routers, middleware, predicates, handlers.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{ItemFn, ReturnType};

use crate::arguments::Nothing;
use crate::register::registration;

/// `#[router]`.
pub(crate) fn router(_: &Nothing, function: &ItemFn) -> syn::Result<TokenStream> {
    let signature = &function.sig;
    let ident = &signature.ident;
    if let Some(token) = &signature.asyncness {
        let message = "a router is built before anything waits: it is not asynchronous";
        return Err(syn::Error::new(token.span, message));
    }
    let form = "`fn router(routes: &mut Routes, app: &Application) -> Result<(), BoxError>`";
    let call = match signature.inputs.len() {
        1 => quote_spanned!(ident.span()=> #ident(routes)),
        2 => quote_spanned!(ident.span()=> #ident(routes, app)),
        _ => {
            let message = format!("a router is {form}; `app` and the result may be left out");
            return Err(syn::Error::new(ident.span(), message));
        }
    };
    let call = match signature.output {
        ReturnType::Default => quote!({ #call; ::core::result::Result::Ok(()) }),
        ReturnType::Type(..) => quote!({ #call.map_err(::core::convert::Into::into) }),
    };
    let item = quote! {
        ::hatchery::loader::registry::Item::Router({
            // No name that the user's function may have: it would call itself.
            fn __router(
                routes: &mut ::hatchery::Routes,
                app: &::hatchery::Application,
            ) -> ::core::result::Result<(), ::hatchery::BoxError> {
                let _ = app;
                #call
            }
            __router
        })
    };
    let registered = registration(&function.attrs, &ident.to_string(), ident, &item);
    // Its form is the router's, whether this one needs all of it or not.
    Ok(quote!(#[allow(clippy::unnecessary_wraps)] #function #registered))
}

/// `#[predicate]`.
pub(crate) fn predicate(_: &Nothing, function: &ItemFn) -> syn::Result<TokenStream> {
    let ident = &function.sig.ident;
    if let Some(token) = &function.sig.asyncness {
        let message = "a predicate is asked before each request: it is not asynchronous";
        return Err(syn::Error::new(token.span, message));
    }
    let item = quote!(::hatchery::loader::registry::Item::Predicate(#ident));
    let registered = registration(&function.attrs, &ident.to_string(), ident, &item);
    Ok(quote!(#function #registered))
}

/// `#[handler]`.
pub(crate) fn handler(_: &Nothing, function: &ItemFn) -> syn::Result<TokenStream> {
    let signature = &function.sig;
    let ident = &signature.ident;
    crate::route::check(signature, "handler")?;
    let item = quote_spanned! {ident.span()=>
        ::hatchery::loader::registry::Item::Handler(|| ::hatchery::routes::named(#ident))
    };
    let registered = registration(&function.attrs, &ident.to_string(), ident, &item);
    // A handler is asynchronous, whether this one waits for anything or not.
    Ok(quote!(#[allow(clippy::unused_async)] #function #registered))
}

/// `#[middleware]`: a function that makes a layer, or an asynchronous one that is the middleware.
pub(crate) fn middleware(_: &Nothing, function: &ItemFn) -> syn::Result<TokenStream> {
    let signature = &function.sig;
    let ident = &signature.ident;
    if let Some(receiver) = signature.receiver() {
        let message = "a middleware is a function without `self`";
        return Err(syn::Error::new(receiver.span(), message));
    }
    let helper = if signature.asyncness.is_some() {
        quote!(from_async)
    } else {
        quote!(from_layer)
    };
    let item = quote_spanned! {ident.span()=>
        ::hatchery::loader::registry::Item::Middleware(
            |arguments| ::hatchery::middleware::#helper(arguments, #ident)
        )
    };
    let registered = registration(&function.attrs, &ident.to_string(), ident, &item);
    Ok(quote!(#function #registered))
}
