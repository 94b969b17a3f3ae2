//! What every attribute leaves behind: a registration.

use proc_macro2::{Ident, TokenStream};
use quote::quote;
use syn::Attribute;

/// Tells of the item `name`, whose place is that of `at`.
pub(crate) fn registration(
    attributes: &[Attribute],
    name: &str,
    at: &Ident,
    item: &TokenStream,
) -> TokenStream {
    // An item that is not compiled is not there; nor is its registration.
    let conditions = attributes.iter().filter(|one| one.path().is_ident("cfg"));
    let (file, line) = place(at);
    quote! {
        #(#conditions)*
        const _: () = {
            ::hatchery::loader::registry::inventory::submit! {
                ::hatchery::loader::registry::Registration {
                    module: ::core::module_path!(),
                    name: #name,
                    file: #file,
                    line: #line,
                    item: #item,
                }
            }
        };
    }
}

/// File and line of `at`, as the compiler names them in its own messages.
pub(crate) fn place(at: &Ident) -> (String, u32) {
    // The compiler's own span: only that one knows its place.
    let span = proc_macro2::Span::unwrap(at.span());
    let line = u32::try_from(span.line()).unwrap_or(u32::MAX);
    (span.file(), line)
}
