//! `hatchery::app!()`: the modules that the build script has found.
//!
//! They are written into the crate as if they had been typed there, instead of an `include!` of
//! what the build script wrote: so their files keep the names that the compiler gives to files of
//! the crate, in its messages as in ours.

use std::path::Path;

use proc_macro::{Span, TokenStream};
use proc_macro2::TokenStream as Tokens;
use quote::quote;

/// What the build script writes.
const FOUND: &str = "hatchery_app.rs";

pub(crate) fn expand(input: &TokenStream) -> syn::Result<TokenStream> {
    let here = proc_macro2::Span::call_site();
    if !input.is_empty() {
        return Err(syn::Error::new(
            here,
            "`hatchery::app!()` takes no arguments",
        ));
    }
    let missing = "the build script has found nothing: build.rs is to be `fn main() { hatchery_build::scan(); }`, with `hatchery-build` under [build-dependencies]";
    let Some(out) = std::env::var_os("OUT_DIR") else {
        return Err(syn::Error::new(here, missing));
    };
    let found = Path::new(&out).join(FOUND);
    let Ok(text) = std::fs::read_to_string(&found) else {
        return Err(syn::Error::new(here, missing));
    };
    let modules: Tokens = text.parse().map_err(|error| {
        syn::Error::new(here, format!("{} cannot be read: {error}", found.display()))
    })?;
    let elsewhere = elsewhere();
    let tokens = quote! {
        #[doc = "What is in `src/app`."]
        #[allow(missing_docs, unreachable_pub, unused_imports)]
        #elsewhere
        pub mod app {
            // When another run of the build script writes it anew, this is to be read anew.
            const _: &str = ::core::include_str!(::core::concat!(::core::env!("OUT_DIR"), "/hatchery_app.rs"));
            #modules
        }
    };
    Ok(tokens.into())
}

/// The modules' directory, when `app` is not written in a crate's root in `src`.
fn elsewhere() -> Option<Tokens> {
    let root = std::env::var_os("CARGO_MANIFEST_DIR")?;
    let source = Path::new(&root).join("src");
    let local = Span::call_site().local_file()?;
    let directory = local.canonicalize().ok()?.parent()?.to_owned();
    let stem = local.file_stem()?;
    if directory == source.canonicalize().ok()? && (stem == "main" || stem == "lib") {
        return None;
    }
    let path = source.join("app");
    let path = path.to_str()?;
    Some(quote!(#[path = #path]))
}
