//! `/__loader_trace__`: a bar for each step of this process's start.

use std::fmt::Write as _;

use axum::response::{Html, IntoResponse};

use super::timing::{Record, Timing};

/// The path of the page, in the environment `local` only.
pub(crate) const PATH: &str = "/__loader_trace__";

/// All that the page needs; nothing comes from elsewhere.
const STYLE: &str = "\
:root{color-scheme:light dark;--bar:#3b82f6;--line:#8883;font:14px/1.5 system-ui,sans-serif}\
body{margin:2rem;max-width:80rem}h1{font-size:1.3rem;margin:0}p{margin:.3rem 0 1.5rem;opacity:.75}\
table{border-collapse:collapse;width:100%}td,th{padding:.2rem .6rem;border-bottom:1px solid var(--line);\
text-align:left;vertical-align:top}td.ms{text-align:right;font-variant-numeric:tabular-nums;\
white-space:nowrap}td.bar{width:45%}td.bar div{background:var(--bar);height:.9rem;min-width:2px;\
border-radius:2px;margin-top:.25rem}small{opacity:.65}\
@media (prefers-color-scheme:dark){:root{--bar:#60a5fa}}";

/// The page as it is by now.
pub(crate) fn page(timing: &Timing) -> impl IntoResponse + use<> {
    Html(render(&timing.record()))
}

fn render(record: &Record) -> String {
    // Idle time after the last step would make all bars short.
    let end_ms = record.steps.iter().fold(0.0_f64, |end, step| {
        end.max(step.end_ms.unwrap_or(record.elapsed_ms))
    });
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Loader trace</title>\
         <style>{STYLE}</style></head><body><h1>Loader trace</h1><p>{} steps in {end_ms:.1} ms \
         (process {})</p><table><thead><tr><th>Unit</th><th>Step</th><th>ms</th><th></th></tr>\
         </thead><tbody>",
        record.steps.len(),
        record.pid,
    );
    for step in &record.steps {
        let end = step.end_ms.unwrap_or(end_ms);
        let (left, width) = (
            share(step.start_ms, end_ms),
            share(end - step.start_ms, end_ms),
        );
        let goes_on = if step.end_ms.is_some() { "" } else { " …" };
        // Writing to a string does not fail.
        let _ = write!(
            html,
            "<tr><td>{}</td><td>{} {}<br><small>{}</small></td><td class=\"ms\">{:.2}{goes_on}</td>\
             <td class=\"bar\"><div style=\"margin-left:{left:.2}%;width:{width:.2}%\"></div></td></tr>",
            escaped(&step.unit),
            step.kind,
            escaped(&step.name),
            escaped(&step.place),
            end - step.start_ms,
        );
    }
    html.push_str("</tbody></table></body></html>\n");
    html
}

/// In percent.
fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 {
        part / whole * 100.0
    } else {
        0.0
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_has_a_bar_and_names_are_no_markup() {
        let timing = Timing::begin();
        timing.timed("application blog", "routes", || ());
        let _goes_on = timing.step("plugin a<b>", "did_load", "Hooks<&str>", "src/lib.rs:3");
        let html = render(&timing.record());
        assert_eq!(html.matches("<td class=\"bar\">").count(), 2);
        assert!(html.contains("plugin a&lt;b&gt;"), "{html}");
        assert!(html.contains("did_load Hooks&lt;&amp;str&gt;<br><small>src/lib.rs:3<"));
        assert!(html.contains(" …</td>"), "{html}");
        assert!(
            !html.contains("http://") && !html.contains("https://") && !html.contains("<script")
        );
    }
}
