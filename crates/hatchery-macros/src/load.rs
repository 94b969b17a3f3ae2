//! `#[load]`: a type in a directory of the application's own kind.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{Attribute, Item, LitStr, Type};

use crate::arguments::{self, once, unknown};
use crate::register::{place, registration};

/// `kind = "model"`, or nothing.
#[derive(Default)]
pub(crate) struct Arguments {
    kind: Option<LitStr>,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut found = Self::default();
        let parser = syn::meta::parser(|meta| {
            if !meta.path.is_ident("kind") {
                return Err(unknown(&meta, &["kind"]));
            }
            once(&meta, found.kind.is_some())?;
            found.kind = Some(meta.value()?.parse()?);
            Ok(())
        });
        arguments::ParseRest::parse_rest(parser, input)?;
        Ok(found)
    }
}

/// A struct, or the `impl Load` of one.
pub(crate) fn expand(arguments: &Arguments, item: &Item) -> syn::Result<TokenStream> {
    let (attributes, ident) = subject(item)?;
    let kind = match &arguments.kind {
        Some(kind) => kind.value(),
        None => directory(ident)?,
    };
    let entry = quote_spanned! {ident.span()=>
        ::hatchery::loader::registry::Item::Loaded {
            kind: #kind,
            type_id: || ::core::any::TypeId::of::<#ident>(),
            inject: || ::hatchery::loader::custom::inject::<#ident>(),
            load: ::hatchery::loader::custom::load::<#ident>,
        }
    };
    let registered = registration(attributes, &ident.to_string(), ident, &entry);
    Ok(quote!(#item #registered))
}

fn subject(item: &Item) -> syn::Result<(&[Attribute], &Ident)> {
    match item {
        Item::Struct(item) => Ok((&item.attrs, &item.ident)),
        Item::Enum(item) => Ok((&item.attrs, &item.ident)),
        Item::Impl(block) => match &*block.self_ty {
            Type::Path(path) if block.trait_.is_some() => {
                let ident = path.path.get_ident();
                Ok((&block.attrs, ident.ok_or_else(|| misplaced(path.span()))?))
            }
            other => Err(misplaced(other.span())),
        },
        other => Err(misplaced(other.span())),
    }
}

/// `model`, in `src/app/model/user.rs`.
fn directory(at: &Ident) -> syn::Result<String> {
    let (file, _) = place(at);
    let below = file.rsplit_once("src/app/").map(|(_, below)| below);
    let kind = below.and_then(|below| below.split_once('/'));
    kind.map(|(kind, _)| kind.to_owned()).ok_or_else(|| {
        let message =
            "of which kind? It is in no directory below src/app: `#[load(kind = \"model\")]`";
        syn::Error::new(at.span(), message)
    })
}

fn misplaced(at: Span) -> syn::Error {
    syn::Error::new(at, "`#[load]` belongs to a type, or to its `impl Load`")
}
