//! Help from the tables.

use std::fmt::Write as _;

use super::table::{FLAGS, Flag, VERBS, VerbId, VerbRow};

/// The help of a verb, or of everything, for an application named `app`.
pub(crate) fn help(app: &str, verb: Option<VerbId>) -> String {
    match verb.and_then(|id| VERBS.iter().find(|row| row.id == id)) {
        Some(row) => of_verb(app, row),
        None => of_all(app),
    }
}

/// The line that `version` prints.
pub(crate) fn version(app: &str, version: &str) -> String {
    format!("{app} {version} (hatchery {})\n", env!("CARGO_PKG_VERSION"))
}

fn of_all(app: &str) -> String {
    let verbs = VERBS.iter().map(|row| {
        let operand = row
            .operand
            .map(|name| format!(" {name}"))
            .unwrap_or_default();
        (format!("{}{operand}", row.name), row.help)
    });
    let flags = FLAGS.iter().filter(|flag| !flag.hidden);
    format!(
        "Usage: {app} [start] [FLAGS]\n       {app} VERB [FLAGS]\n\nVerbs:\n{}\nFlags:\n{}\n\
         `{app} help VERB` shows the flags that a verb takes.\n",
        columns(verbs),
        columns(flags.map(|flag| (flag_words(flag), flag.help))),
    )
}

fn of_verb(app: &str, row: &VerbRow) -> String {
    let operand = row
        .operand
        .map(|name| format!(" {name}"))
        .unwrap_or_default();
    let flags = FLAGS
        .iter()
        .filter(|flag| !flag.hidden && flag.verbs.contains(&row.id));
    format!(
        "{}.\n\nUsage: {app} {}{operand} [FLAGS]\n\nFlags:\n{}",
        row.help,
        row.name,
        columns(flags.map(|flag| (flag_words(flag), flag.help))),
    )
}

/// `-h, --help`, `    --listen ADDR`.
fn flag_words(flag: &Flag) -> String {
    let short = flag
        .short
        .map_or("    ".to_owned(), |letter| format!("-{letter}, "));
    let value = flag
        .value
        .map(|name| format!(" {name}"))
        .unwrap_or_default();
    format!("{short}--{}{value}", flag.name)
}

fn columns<'h>(rows: impl Iterator<Item = (String, &'h str)>) -> String {
    let rows: Vec<_> = rows.collect();
    let width = rows.iter().map(|(words, _)| words.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (words, help) in rows {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {words:width$}  {help}");
    }
    text
}
