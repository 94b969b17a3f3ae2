//! `#[service]`: a type that is made once for a request.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Attribute, Field, Fields, Item, ItemStruct, Type};

use crate::arguments::Nothing;
use crate::register::registration;

/// A struct, or the `impl Service` of one.
pub(crate) fn expand(_: &Nothing, item: &Item) -> syn::Result<TokenStream> {
    match item {
        Item::Struct(subject) => {
            let implementation = implementation(subject)?;
            let registered = registered(&subject.attrs, &subject.ident);
            Ok(quote!(#item #implementation #registered))
        }
        Item::Impl(block) => match &*block.self_ty {
            Type::Path(path) if block.trait_.is_some() => {
                let Some(ident) = path.path.get_ident() else {
                    return Err(misplaced(path.span()));
                };
                let registered = registered(&block.attrs, ident);
                Ok(quote!(#item #registered))
            }
            other => Err(misplaced(other.span())),
        },
        other => Err(misplaced(other.span())),
    }
}

fn registered(attributes: &[Attribute], ident: &Ident) -> TokenStream {
    let item = quote_spanned! {ident.span()=>
        ::hatchery::loader::registry::Item::Service {
            type_id: || ::hatchery::loader::registry::service::<#ident>(),
        }
    };
    registration(attributes, &ident.to_string(), ident, &item)
}

/// How it is made: its context, its application, and defaults.
fn implementation(subject: &ItemStruct) -> syn::Result<TokenStream> {
    let ident = &subject.ident;
    if let Some(generic) = subject.generics.params.first() {
        let message = "a service is asked for by its type: it has no parameters";
        return Err(syn::Error::new(generic.span(), message));
    }
    let made = match &subject.fields {
        Fields::Unit => quote!(Self),
        Fields::Named(fields) => {
            let fields = fields.named.iter().map(|field| {
                let name = &field.ident;
                let value = value(field);
                quote!(#name: #value)
            });
            quote!(Self { #(#fields),* })
        }
        Fields::Unnamed(fields) => {
            let values = fields.unnamed.iter().map(value);
            quote!(Self(#(#values),*))
        }
    };
    Ok(quote! {
        impl ::hatchery::Service for #ident {
            fn new(ctx: &::hatchery::Context) -> Self {
                let _ = ctx;
                #made
            }
        }
    })
}

fn value(field: &Field) -> TokenStream {
    let kind = match &field.ty {
        Type::Path(path) => path.path.segments.last().map(|last| last.ident.to_string()),
        _ => None,
    };
    match kind.as_deref() {
        Some("Context") => quote!(::core::clone::Clone::clone(ctx)),
        Some("Application") => quote!(::core::clone::Clone::clone(ctx.app())),
        _ => quote_spanned!(field.ty.span()=> ::core::default::Default::default()),
    }
}

fn misplaced(at: Span) -> syn::Error {
    syn::Error::new(
        at,
        "`#[service]` belongs to a struct, or to its `impl Service`",
    )
}
