//! `#[extend]`: a function becomes a method of an object of the framework.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{Attribute, FnArg, ItemFn, Lifetime, Pat, ReturnType, Signature, Type, TypeReference};

use crate::register::{place, registration};

/// `replace`, or nothing.
pub(crate) struct Arguments {
    replace: Option<Ident>,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let message = "only `replace` is known: `#[extend(replace)]` takes another one's place";
        let replace: Option<Ident> = input.parse().map_err(|_| input.error(message))?;
        let known = replace.as_ref().is_none_or(|word| word == "replace");
        if !known || !input.is_empty() {
            return Err(syn::Error::new(replace.span(), message));
        }
        Ok(Self { replace })
    }
}

/// What the function says of itself.
struct Method<'f> {
    function: &'f ItemFn,
    /// `Context` of `&hatchery::Context`.
    target: Ident,
    this: &'f TypeReference,
    /// Names for all arguments but the first, and their types.
    arguments: Vec<(Ident, &'f Type)>,
    output: TokenStream,
}

pub(crate) fn expand(arguments: &Arguments, function: &ItemFn) -> syn::Result<TokenStream> {
    let method = Method::of(function)?;
    let ident = &function.sig.ident;
    if let Some(replace) = &arguments.replace
        && method.app().is_none()
    {
        let message = format!(
            "a method of `{}` cannot be replaced: only those of `Context` and `Application` can",
            method.target
        );
        return Err(syn::Error::new(replace.span(), message));
    }
    let own = own(function);
    let env = environment(ident);
    let registered = method.app().map(|_| {
        let item = method.item(arguments.replace.is_some(), env.as_deref());
        registration(&function.attrs, &ident.to_string(), ident, &item)
    });
    if arguments.replace.is_some() {
        return Ok(quote!(const _: () = { #own #registered };));
    }
    let declared = method.declared();
    let implemented = method.implemented(env.as_deref());
    let conditions = conditions(&function.attrs);
    Ok(quote! {
        #declared
        #(#conditions)*
        const _: () = { #own #implemented #registered };
    })
}

impl<'f> Method<'f> {
    fn of(function: &'f ItemFn) -> syn::Result<Self> {
        let signature = &function.sig;
        if let Some(generic) = signature.generics.params.first() {
            let message = "an extension has no type parameters: the function that replaces it must be of one type";
            return Err(syn::Error::new(generic.span(), message));
        }
        let mut inputs = signature.inputs.iter();
        let missing = || {
            let message = "an extension takes the object first, for example `ctx: &Context`";
            syn::Error::new(signature.ident.span(), message)
        };
        let Some(FnArg::Typed(first)) = inputs.next() else {
            return Err(missing());
        };
        let Type::Reference(this) = &*first.ty else {
            return Err(missing());
        };
        let Type::Path(path) = &*this.elem else {
            return Err(missing());
        };
        let Some(target) = path.path.segments.last() else {
            return Err(missing());
        };
        let arguments = inputs.enumerate().filter_map(|(index, input)| match input {
            FnArg::Typed(input) => Some((argument(index, &input.pat), &*input.ty)),
            FnArg::Receiver(_) => None,
        });
        Ok(Self {
            function,
            target: target.ident.clone(),
            this,
            arguments: arguments.collect(),
            output: match &signature.output {
                ReturnType::Default => quote!(()),
                ReturnType::Type(_, output) => output.to_token_stream(),
            },
        })
    }

    fn signature(&self) -> &Signature {
        &self.function.sig
    }

    /// How the method reaches the application, when it can.
    fn app(&self) -> Option<TokenStream> {
        match self.target.to_string().as_str() {
            "Context" => Some(quote!(self.app())),
            "Application" => Some(quote!(self)),
            _ => None,
        }
    }

    /// `&self` or `&mut self`.
    fn receiver(&self) -> TokenStream {
        let mutability = &self.this.mutability;
        quote!(&#mutability self)
    }

    /// The method without its body.
    fn head(&self) -> TokenStream {
        let (ident, receiver, output) = (&self.signature().ident, self.receiver(), &self.output);
        let arguments = self.arguments.iter().map(|(name, ty)| quote!(#name: #ty));
        let output = match self.signature().asyncness {
            Some(_) => quote!(impl ::core::future::Future<Output = #output> + ::core::marker::Send),
            None => output.clone(),
        };
        quote!(fn #ident(#receiver, #(#arguments),*) -> #output)
    }

    /// The trait, which has the function's documentation and visibility.
    fn declared(&self) -> TokenStream {
        let name = self.trait_name();
        let visibility = &self.function.vis;
        let attributes = self.function.attrs.iter().filter(|one| {
            ["doc", "cfg", "deprecated", "must_use"]
                .iter()
                .any(|name| one.path().is_ident(name))
        });
        let documentation = self
            .function
            .attrs
            .iter()
            .filter(|one| one.path().is_ident("doc"));
        let head = self.head();
        quote! {
            #(#documentation)*
            #visibility trait #name {
                #(#attributes)*
                #head;
            }
        }
    }

    /// `IsAdmin` of `is_admin`.
    fn trait_name(&self) -> Ident {
        let ident = &self.signature().ident;
        let name: String = ident.to_string().split('_').map(capital).collect();
        Ident::new(&name, ident.span())
    }

    /// The type of a pointer to the function. The futures of two functions have different types:
    /// behind a pointer they have one.
    fn form(&self) -> TokenStream {
        let (this, output) = (self.this, &self.output);
        let types = self.arguments.iter().map(|(_, ty)| ty);
        if self.signature().asyncness.is_none() {
            return quote!(fn(#this, #(#types),*) -> #output);
        }
        let this = with_lifetime(&Type::Reference(this.clone()));
        let types = types.map(|ty| with_lifetime(ty));
        quote!(for<'a> fn(#this, #(#types),*) -> ::hatchery::loader::extend::Boxed<'a, #output>)
    }

    /// The function as such a pointer.
    fn pointer(&self) -> TokenStream {
        let ident = &self.signature().ident;
        if self.signature().asyncness.is_none() {
            return quote!(#ident);
        }
        let names: Vec<_> = self.arguments.iter().map(|(name, _)| name).collect();
        quote!(|this, #(#names),*| ::std::boxed::Box::pin(#ident(this, #(#names),*)))
    }

    /// The trait's method: the function, or what has taken its place.
    fn implemented(&self, env: Option<&str>) -> TokenStream {
        let (name, ident, head) = (self.trait_name(), &self.signature().ident, self.head());
        let target = &self.this.elem;
        let names: Vec<_> = self.arguments.iter().map(|(name, _)| name).collect();
        let wait = self.signature().asyncness.map(|_| quote!(.await));
        let own = quote_spanned!(ident.span()=> #ident(self, #(#names),*) #wait);
        let body = match self.app() {
            None => own,
            Some(app) => {
                let form = self.form();
                let (target, method) = (self.target.to_string(), ident.to_string());
                let elsewhere = env.map(|env| {
                    let (file, line) = place(ident);
                    quote!(::hatchery::loader::extend::only_in(#app, #env, #target, #method, #file, #line);)
                });
                quote! {
                    match ::hatchery::loader::extend::replacement::<#form>(#app, #target, #method) {
                        ::core::option::Option::Some(other) => other(self, #(#names),*) #wait,
                        ::core::option::Option::None => { #elsewhere #own }
                    }
                }
            }
        };
        let body = match wait {
            Some(_) => quote!(async move { #body }),
            None => body,
        };
        quote!(impl #name for #target { #head { #body } })
    }

    fn item(&self, replaces: bool, env: Option<&str>) -> TokenStream {
        let (form, pointer) = (self.form(), self.pointer());
        let target = self.target.to_string();
        let env = env.map_or_else(
            || quote!(::core::option::Option::None),
            |env| quote!(::core::option::Option::Some(#env)),
        );
        quote! {
            ::hatchery::loader::registry::Item::Extension {
                target: #target,
                env: #env,
                replaces: #replaces,
                function: || {
                    static FUNCTION: #form = #pointer;
                    &FUNCTION
                },
                signature: ::core::stringify!(#form),
            }
        }
    }
}

/// The function itself, out of everybody's sight: called as such it could not be replaced.
fn own(function: &ItemFn) -> TokenStream {
    let mut function = function.clone();
    function.vis = syn::Visibility::Inherited;
    // It is asynchronous for those that replace it, too.
    quote!(#[allow(clippy::unused_async)] #function)
}

fn conditions(attributes: &[Attribute]) -> impl Iterator<Item = &Attribute> {
    attributes.iter().filter(|one| one.path().is_ident("cfg"))
}

/// The argument's own name, unless it is a pattern.
fn argument(index: usize, pattern: &Pat) -> Ident {
    match pattern {
        Pat::Ident(name) => name.ident.clone(),
        _ => Ident::new(&format!("argument_{index}"), Span::call_site()),
    }
}

/// `&'a T` of `&T`.
fn with_lifetime(ty: &Type) -> TokenStream {
    match ty {
        Type::Reference(reference) if reference.lifetime.is_none() => {
            let mut reference = reference.clone();
            reference.lifetime = Some(Lifetime::new("'a", reference.and_token.span()));
            reference.to_token_stream()
        }
        other => other.to_token_stream(),
    }
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    }
}

/// `unittest`, in the file `context.unittest.rs`.
fn environment(at: &Ident) -> Option<String> {
    let (file, _) = place(at);
    let name = file.rsplit(['/', '\\']).next()?;
    let (_, env) = name.strip_suffix(".rs")?.split_once('.')?;
    Some(env.to_owned())
}
