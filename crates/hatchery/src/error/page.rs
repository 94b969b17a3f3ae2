//! Errors as HTML pages: a bare one for everybody, and one for those who write the application.

use std::fmt::{self, Write as _};

use http::StatusCode;

use super::{Error, reason};
use crate::Context;

const STYLE: &str = "\
    :root { color-scheme: light dark }\
    body { font: 16px/1.5 system-ui, sans-serif; max-width: 50rem; margin: 4rem auto; padding: 0 1rem }\
    h1 { font-size: 1.4rem } code, li, dd { font-family: ui-monospace, monospace }\
    dt { opacity: .7 } dd { margin: 0 0 .7rem; overflow-wrap: anywhere }";

/// The status and one sentence.
pub(super) fn bare(status: StatusCode, message: &str) -> String {
    let title = title(status);
    let rest = if message == reason(status) {
        String::new()
    } else {
        format!("<p>{}</p>", Escaped(message))
    };
    document(&title, &rest)
}

/// All that is known.
pub(super) fn detailed(context: &Context, error: &Error, message: &str) -> String {
    let mut rest = format!("<p>{}</p>", Escaped(message));
    let causes = error.causes();
    if !causes.is_empty() {
        rest.push_str("<p>because</p><ul>");
        for cause in &causes {
            let _ = write!(rest, "<li>{}</li>", Escaped(cause));
        }
        rest.push_str("</ul>");
    }
    let request = format!("{} {}", context.method(), context.uri());
    let place = error.place().to_string();
    let facts = [
        ("at", place.as_str()),
        ("request", &request),
        ("request id", context.request_id()),
        ("application", context.app().name()),
        ("environment", context.app().env()),
    ];
    rest.push_str("<dl>");
    for (name, value) in facts {
        let _ = write!(rest, "<dt>{name}</dt><dd>{}</dd>", Escaped(value));
    }
    rest.push_str("</dl>");
    document(&title(error.status()), &rest)
}

fn title(status: StatusCode) -> String {
    format!("{} {}", status.as_u16(), reason(status))
}

fn document(title: &str, rest: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\
         <style>{STYLE}</style><h1>{title}</h1>{rest}</html>\n"
    )
}

/// Text that is no markup.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}
