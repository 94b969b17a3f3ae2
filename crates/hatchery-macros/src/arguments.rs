//! What stands in an attribute's parentheses.

use proc_macro2::Span;
use syn::meta::ParseNestedMeta;
use syn::parse::{Parse, ParseStream};
use syn::spanned::Spanned;
use syn::{Expr, ExprArray, Lit, LitStr, Token};

/// No arguments at all.
pub(crate) struct Nothing;

impl Parse for Nothing {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        if input.is_empty() {
            return Ok(Self);
        }
        Err(input.error("this attribute takes no arguments"))
    }
}

/// `name = "…"` and `middleware = ["…"]`, which every route may have.
#[derive(Default)]
pub(crate) struct RouteOptions {
    pub(crate) name: Option<LitStr>,
    pub(crate) middleware: Vec<LitStr>,
}

impl RouteOptions {
    /// Takes the option that stands there, if it is one of these.
    pub(crate) fn take(&mut self, meta: &ParseNestedMeta<'_>) -> syn::Result<bool> {
        if meta.path.is_ident("name") {
            once(meta, self.name.is_some())?;
            self.name = Some(meta.value()?.parse()?);
        } else if meta.path.is_ident("middleware") {
            once(meta, !self.middleware.is_empty())?;
            self.middleware = names(meta.value()?.parse()?)?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }
}

/// An error when an option stands there twice.
pub(crate) fn once(meta: &ParseNestedMeta<'_>, known: bool) -> syn::Result<()> {
    if known {
        return Err(meta.error("this is given twice"));
    }
    Ok(())
}

/// The error for an option that nobody knows.
pub(crate) fn unknown(meta: &ParseNestedMeta<'_>, known: &[&str]) -> syn::Error {
    meta.error(format!(
        "unknown option; {} {} known",
        list(known),
        if known.len() == 1 { "is" } else { "are" }
    ))
}

/// `a`, `b` and `c`, each in backticks.
pub(crate) fn list(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => String::new(),
    }
}

/// `["a", "b"]`.
fn names(array: ExprArray) -> syn::Result<Vec<LitStr>> {
    let name = |one: Expr| match one {
        Expr::Lit(literal) => match literal.lit {
            Lit::Str(name) => Ok(name),
            other => Err(syn::Error::new(
                other.span(),
                "the name of a middleware is a string",
            )),
        },
        other => Err(syn::Error::new(
            other.span(),
            "the name of a middleware is a string",
        )),
    };
    array.elems.into_iter().map(name).collect()
}

/// The arguments of `#[get("/path", …)]`.
pub(crate) struct Route {
    pub(crate) path: LitStr,
    pub(crate) options: RouteOptions,
}

impl Parse for Route {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        if !input.peek(LitStr) {
            let at = if input.is_empty() {
                Span::call_site()
            } else {
                input.span()
            };
            return Err(syn::Error::new(
                at,
                "the path comes first, for example `\"/posts/{id}\"`",
            ));
        }
        let path = path(input.parse()?)?;
        let mut options = RouteOptions::default();
        if !input.is_empty() {
            input.parse::<Token![,]>()?;
            syn::meta::parser(|meta| {
                if options.take(&meta)? {
                    return Ok(());
                }
                Err(unknown(&meta, &["name", "middleware"]))
            })
            .parse_rest(input)?;
        }
        Ok(Self { path, options })
    }
}

/// Parsers of `syn::meta` over what is left of `input`.
pub(crate) trait ParseRest {
    fn parse_rest(self, input: ParseStream<'_>) -> syn::Result<()>;
}

impl<P: syn::parse::Parser<Output = ()>> ParseRest for P {
    fn parse_rest(self, input: ParseStream<'_>) -> syn::Result<()> {
        let rest: proc_macro2::TokenStream = input.parse()?;
        self.parse2(rest)
    }
}

/// A path that axum takes; what other frameworks write is named.
pub(crate) fn path(path: LitStr) -> syn::Result<LitStr> {
    let text = path.value();
    let error = |message: String| Err(syn::Error::new(path.span(), message));
    if !text.starts_with('/') {
        return error(format!("a path begins with a slash: `/{text}`"));
    }
    for segment in text.split('/') {
        if let Some(name) = segment.strip_prefix(':') {
            return error(format!("a parameter is written in braces: `{{{name}}}`"));
        }
        if let Some(name) = segment.strip_prefix('*') {
            let name = if name.is_empty() { "rest" } else { name };
            return error(format!(
                "what takes the rest of a path is written `{{*{name}}}`"
            ));
        }
    }
    Ok(path)
}
