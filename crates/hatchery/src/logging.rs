//! The log of a process, on stderr: a line an event.
//!
//! The rest of the crate speaks to `tracing` only, so this file can be replaced by more.

use std::fmt::{self, Write as _};
use std::time::SystemTime;

use serde::Deserialize;
use tracing::field::{Field, Visit};
use tracing::metadata::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::complain::complain;

/// The `[logger]` table.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LoggerSettings {
    level: Least,
}

/// What is logged, and everything more urgent.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Least {
    Debug,
    #[default]
    Info,
    Warn,
    Error,
    None,
}

/// Logs to stderr from now on, unless the application has installed a subscriber of its own.
pub(crate) fn install(settings: LoggerSettings) {
    let least = match settings.level {
        Least::Debug => LevelFilter::DEBUG,
        Least::Info => LevelFilter::INFO,
        Least::Warn => LevelFilter::WARN,
        Least::Error => LevelFilter::ERROR,
        Least::None => LevelFilter::OFF,
    };
    let _ = tracing::subscriber::set_global_default(Stderr { least });
}

/// Lines of the form `date LEVEL pid [context] message`.
struct Stderr {
    least: LevelFilter,
}

impl Subscriber for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.least
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.least)
    }

    fn event(&self, event: &Event<'_>) {
        complain(format_args!("{}", line(event, SystemTime::now())));
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn line(event: &Event<'_>, now: SystemTime) -> String {
    let mut parts = Parts::default();
    event.record(&mut parts);
    let date = humantime::format_rfc3339_millis(now);
    let level = match *event.metadata().level() {
        Level::ERROR => "ERROR",
        Level::WARN => "WARN ",
        Level::INFO => "INFO ",
        Level::DEBUG => "DEBUG",
        Level::TRACE => "TRACE",
    };
    let Parts {
        context,
        message,
        fields,
    } = parts;
    let context = context.map_or_else(String::new, |context| format!("[{context}] "));
    let pid = std::process::id();
    one_line(format!("{date} {level} {pid} {context}{message}{fields}"))
}

/// What comes from clients must not write lines of its own.
fn one_line(line: String) -> String {
    if !line.contains(char::is_control) {
        return line;
    }
    let escaped = line.chars().map(|letter| match letter {
        '\t' => "\t".to_owned(),
        control if control.is_control() => control.escape_default().to_string(),
        other => other.to_string(),
    });
    escaped.collect()
}

/// The fields of an event, the known ones apart.
#[derive(Default)]
struct Parts {
    context: Option<String>,
    message: String,
    fields: String,
}

impl Visit for Parts {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            "context" => self.context = Some(format!("{value:?}")),
            name => {
                let _ = write!(self.fields, " {name}={value:?}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_sends_writes_no_line_of_its_own() {
        let line = one_line("no page a\nERROR 1 all is lost\u{1b}[2J".to_owned());
        assert_eq!(line, "no page a\\nERROR 1 all is lost\\u{1b}[2J");
        assert_eq!(one_line("ü".to_owned()), "ü");
    }
}
