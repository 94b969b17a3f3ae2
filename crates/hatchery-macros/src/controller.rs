//! `#[controller]` on an `impl`: its methods are handlers.

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{Attribute, ImplItem, ImplItemFn, ItemImpl, LitStr, Type, parse_quote};

use crate::arguments::{self, Route, RouteOptions, once, unknown};
use crate::register::{place, registration};
use crate::route::{self, VERBS};

/// The seven actions of a resource.
const ACTIONS: [&str; 7] = [
    "index", "new", "create", "show", "edit", "update", "destroy",
];

/// The arguments.
#[derive(Default)]
pub(crate) struct Arguments {
    resources: Option<LitStr>,
    singular: Option<LitStr>,
    options: RouteOptions,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut found = Self::default();
        let start = input.span();
        arguments::ParseRest::parse_rest(
            syn::meta::parser(|meta| {
                if meta.path.is_ident("resources") {
                    once(&meta, found.resources.is_some())?;
                    found.resources = Some(arguments::path(meta.value()?.parse()?)?);
                } else if meta.path.is_ident("singular") {
                    once(&meta, found.singular.is_some())?;
                    found.singular = Some(meta.value()?.parse()?);
                } else if !found.options.take(&meta)? {
                    return Err(unknown(
                        &meta,
                        &["resources", "name", "singular", "middleware"],
                    ));
                }
                Ok(())
            }),
            input,
        )?;
        let needs_it = found.options.name.is_some()
            || found.singular.is_some()
            || !found.options.middleware.is_empty();
        if found.resources.is_none() && needs_it {
            let message = "`name`, `singular` and `middleware` belong to `resources = \"/path\"`";
            return Err(syn::Error::new(start, message));
        }
        Ok(found)
    }
}

/// An `impl` whose methods are handlers.
pub(crate) fn expand(arguments: &Arguments, block: &ItemImpl) -> syn::Result<TokenStream> {
    let mut block = block.clone();
    let owner = owner(&block)?;
    let mut routes = Vec::new();
    let mut places = Vec::new();
    let mut actions = Vec::new();
    let bare = arguments.resources.is_none() && !has_routes(&block);
    for item in &mut block.items {
        let ImplItem::Fn(method) = item else { continue };
        let own = routes_of(method, &owner)?;
        let ident = &method.sig.ident;
        let is_action = (bare || arguments.resources.is_some()) && is_action(ident);
        if is_action {
            route::check(&method.sig, "controller")?;
            actions.push(ident.clone());
        }
        if is_action || !own.is_empty() {
            method
                .attrs
                .push(parse_quote!(#[allow(clippy::unused_async)]));
            let ident = &method.sig.ident;
            let item = quote!(::hatchery::loader::registry::Item::Action);
            let name = format!("{owner}::{ident}");
            places.push(registration(&block.attrs, &name, ident, &item));
        }
        routes.extend(own);
    }
    if routes.is_empty() && actions.is_empty() {
        return Err(nothing(arguments, &owner));
    }
    let implementation = (!actions.is_empty()).then(|| implementation(&owner, &actions));
    if bare {
        // The router mounts it: `routes.resources::<Posts>("posts", "/posts")`.
        return Ok(quote!(#block #implementation #(#places)*));
    }
    let added = arguments.resources.as_ref();
    let added = added.map(|path| added_resource(path, arguments, &owner));
    let item = quote! {
        ::hatchery::loader::registry::Item::Controller(|routes| { #({ #routes })* #added })
    };
    let controller = registration(&block.attrs, &owner.to_string(), &owner, &item);
    Ok(quote!(#block #implementation #controller #(#places)*))
}

fn is_action(name: &Ident) -> bool {
    ACTIONS.iter().any(|one| name == one)
}

/// Whether some method has a route of its own.
fn has_routes(block: &ItemImpl) -> bool {
    let has = |item: &ImplItem| match item {
        ImplItem::Fn(method) => method.attrs.iter().any(|one| verb(one).is_some()),
        _ => false,
    };
    block.items.iter().any(has)
}

/// The routes of a method's own attributes, which it loses.
fn routes_of(method: &mut ImplItemFn, owner: &Ident) -> syn::Result<Vec<TokenStream>> {
    let mut added = Vec::new();
    let mut kept = Vec::new();
    for attribute in std::mem::take(&mut method.attrs) {
        let Some(verb) = verb(&attribute) else {
            kept.push(attribute);
            continue;
        };
        route::check(&method.sig, verb)?;
        let route: Route = attribute.parse_args()?;
        let ident = &method.sig.ident;
        added.push(route::added(verb, &route, &quote!(#owner::#ident), ident));
    }
    method.attrs = kept;
    Ok(added)
}

/// An `impl` whose methods have lost the attributes of their routes.
pub(crate) fn without_routes(item: TokenStream) -> TokenStream {
    let Ok(mut block) = syn::parse2::<ItemImpl>(item.clone()) else {
        return item;
    };
    for item in &mut block.items {
        if let ImplItem::Fn(method) = item {
            method.attrs.retain(|attribute| verb(attribute).is_none());
        }
    }
    quote!(#block)
}

/// `get` of `#[get(…)]` and `#[hatchery::get(…)]`.
fn verb(attribute: &Attribute) -> Option<&'static str> {
    let segments: Vec<_> = attribute.path().segments.iter().collect();
    let name = match segments.as_slice() {
        [name] => &name.ident,
        [root, name] if root.ident == "hatchery" => &name.ident,
        _ => return None,
    };
    VERBS.into_iter().find(|verb| name == verb)
}

/// The type whose methods they are.
fn owner(block: &ItemImpl) -> syn::Result<Ident> {
    if let Some((path, _)) = &block.trait_ {
        let message = "`#[controller]` belongs to the type's own `impl`, not to that of a trait";
        return Err(syn::Error::new(path.span(), message));
    }
    if let Type::Path(path) = &*block.self_ty
        && let Some(ident) = path.path.get_ident()
    {
        return Ok(ident.clone());
    }
    let message = "`#[controller]` belongs to the `impl` of a type of this module";
    Err(syn::Error::new(block.self_ty.span(), message))
}

/// The error of a controller that answers nothing.
fn nothing(arguments: &Arguments, owner: &Ident) -> syn::Error {
    let Some(path) = &arguments.resources else {
        let message = format!(
            "`{owner}` has no routes: give `resources = \"/path\"` here, or `#[get(\"/path\")]` and the like to its methods"
        );
        return syn::Error::new(owner.span(), message);
    };
    let actions = arguments::list(&ACTIONS);
    let message = format!("`{owner}` has none of the actions {actions}");
    syn::Error::new(path.span(), message)
}

/// What the type says of its actions.
fn implementation(owner: &Ident, actions: &[Ident]) -> TokenStream {
    let calls = actions.iter().map(|action| {
        let (file, line) = place(action);
        let variant = variant(action);
        quote_spanned! {action.span()=>
            scope
                .action(::hatchery::router::ResourceAction::#variant, #owner::#action)
                .at(#file, #line);
        }
    });
    quote! {
        impl ::hatchery::router::Controller for #owner {
            fn routes(scope: &mut ::hatchery::router::ResourceScope<'_>) {
                #(#calls)*
            }
        }
    }
}

/// The call that adds the resource.
fn added_resource(path: &LitStr, arguments: &Arguments, owner: &Ident) -> TokenStream {
    let name = match &arguments.options.name {
        Some(name) => name.value(),
        None => default_name(path),
    };
    let middleware = &arguments.options.middleware;
    let singular = arguments.singular.iter();
    quote! {
        let mut resource = ::hatchery::Routes::resources::<#owner>(routes, #name, #path);
        let _ = &mut resource #(.singular(#singular))* #(.middleware(#middleware))*;
    }
}

/// The last segment of `/admin/posts` that is not a parameter.
fn default_name(path: &LitStr) -> String {
    let path = path.value();
    let mut segments = path
        .rsplit('/')
        .filter(|one| !one.is_empty() && !one.starts_with('{'));
    segments.next().unwrap_or("root").to_owned()
}

/// `Index` of `index`.
fn variant(action: &Ident) -> Ident {
    let name = action.to_string();
    let (first, rest) = name.split_at(1);
    Ident::new(&format!("{}{rest}", first.to_uppercase()), action.span())
}
