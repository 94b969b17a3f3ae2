//! `config`: the effective configuration, each value with the place that it comes from.

use serde_json::{Map, Value as Json, json};

use super::args::Invocation;
use super::say;
use super::start::{Prepared, prepare};
use crate::App;
use crate::config::dump;

/// Prints what a start with these flags would have; what `load_config` brings is not in it.
pub(super) fn config(app: &App, invocation: &Invocation) -> anyhow::Result<()> {
    let Prepared { config, .. } = prepare(app, invocation)?;
    let values = dump::masked(&config);
    if invocation.json {
        let values: Map<String, Json> = values
            .into_iter()
            .map(|(key, value, place)| {
                let shown = json!({"value": value, "place": place.short()});
                (key, shown)
            })
            .collect();
        say(&format!("{:#}\n", Json::Object(values)));
        return Ok(());
    }
    let lines: Vec<_> = values
        .iter()
        .map(|(key, value, place)| (format!("{key} = {value}"), place.short()))
        .collect();
    let lengths = lines.iter().map(|(text, _)| text.chars().count());
    let width = lengths.filter(|length| *length <= WIDTH_MAX).max();
    let width = width.unwrap_or_default();
    for (text, place) in lines {
        say(&format!("{text:width$}  # {place}\n"));
    }
    Ok(())
}

/// Longer ones do not push the places of the others away.
const WIDTH_MAX: usize = 60;
