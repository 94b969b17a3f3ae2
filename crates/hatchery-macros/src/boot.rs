//! `#[boot(application)]`: a type with lifecycle hooks.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{Attribute, Fields, Item, Type};

use crate::register::registration;

/// In which processes.
pub(crate) struct Role(Ident);

impl Parse for Role {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let message = "which processes? `boot(application)`, `boot(agent)` or `boot(both)`";
        if input.is_empty() {
            return Err(syn::Error::new(Span::call_site(), message));
        }
        let role: Ident = input
            .parse()
            .map_err(|error| syn::Error::new(error.span(), message))?;
        let variant = match role.to_string().as_str() {
            "application" => "Application",
            "agent" => "Agent",
            "both" => "Both",
            _ => return Err(syn::Error::new(role.span(), message)),
        };
        if !input.is_empty() {
            return Err(input.error(message));
        }
        Ok(Self(Ident::new(variant, role.span())))
    }
}

/// A struct, or the `impl Boot` of one.
pub(crate) fn expand(role: &Role, item: &Item) -> syn::Result<TokenStream> {
    let (attributes, ident, made) = subject(item)?;
    let Role(role) = role;
    let entry = quote_spanned! {ident.span()=>
        ::hatchery::loader::registry::Item::Boot {
            role: ::hatchery::BootRole::#role,
            make: || ::hatchery::loader::registry::boot::<#ident>(#made),
        }
    };
    let registered = registration(attributes, &ident.to_string(), ident, &entry);
    Ok(quote!(#item #registered))
}

/// The type, and how one of it is made.
fn subject(item: &Item) -> syn::Result<(&[Attribute], &Ident, TokenStream)> {
    match item {
        Item::Struct(item) => {
            let ident = &item.ident;
            let made = match item.fields {
                Fields::Unit => quote!(#ident),
                _ => default(ident),
            };
            Ok((&item.attrs, ident, made))
        }
        Item::Impl(block) => match &*block.self_ty {
            Type::Path(path) if block.trait_.is_some() => {
                let Some(ident) = path.path.get_ident() else {
                    return Err(misplaced(path.span()));
                };
                Ok((&block.attrs, ident, default(ident)))
            }
            other => Err(misplaced(other.span())),
        },
        other => Err(misplaced(other.span())),
    }
}

/// Hooks are made once in each process, without arguments.
fn default(ident: &Ident) -> TokenStream {
    quote_spanned!(ident.span()=> <#ident as ::core::default::Default>::default())
}

fn misplaced(at: Span) -> syn::Error {
    syn::Error::new(at, "`#[boot]` belongs to a struct, or to its `impl Boot`")
}
