//! The page that shows the routes, in the environment `local`.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::response::Html;
use axum::routing::{MethodRouter, get};

use super::table::RouteTable;

/// Where it is.
pub(super) const PATH: &str = "/__routes__";

const HEAD: &str = "<!doctype html>
<html lang=\"en\"><meta charset=\"utf-8\"><title>Routes</title>
<meta name=\"viewport\" content=\"width=device-width\">
<style>
:root { color-scheme: light dark; font: 14px/1.5 system-ui, sans-serif }
body { margin: 2rem }
table { border-collapse: collapse }
th, td { text-align: left; padding: .25rem 1.5rem .25rem 0; border-bottom: 1px solid #8884 }
td { font-family: ui-monospace, monospace; font-size: 13px }
td:first-child { font-weight: 600 }
td:last-child { opacity: .7 }
</style>
<h1>Routes</h1>
<table>
<tr><th>Method<th>Path<th>Name<th>Middleware<th>Handler<th>Place
";

/// Answers with the page.
pub(super) fn show(table: Arc<RouteTable>) -> MethodRouter {
    get(move || std::future::ready(Html(html(&table))))
}

fn html(table: &RouteTable) -> String {
    let mut page = HEAD.to_owned();
    for cells in table.cells() {
        page.push_str("<tr>");
        for cell in cells {
            let _ = write!(page, "<td>{}", escaped(&cell));
        }
        page.push('\n');
    }
    page.push_str("</table>\n");
    page
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
