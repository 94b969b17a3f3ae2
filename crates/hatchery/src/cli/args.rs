//! The command line's words: one table of verbs and one of flags, from which both the parser and
//! the help are made.

mod help;
mod table;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use hatchery_master::settings::WORKERS_MAX;
use lexopt::Arg;
use serde_json::Value as Json;

pub(crate) use help::{help, version};
pub(crate) use table::VerbId;

use self::table::{FLAGS, Flag, FlagId, VERBS, VerbRow};
use crate::config::Override;
use crate::config::suggest::did_you_mean;

/// The exit code of a usage error.
pub(crate) const EXIT_USAGE: u8 = 2;

/// The longest `--timeout`, in seconds.
const TIMEOUT_S_MAX: u64 = 24 * 3600;

/// What the command line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Start,
    Stop,
    Restart,
    Reload,
    Upgrade,
    /// The number of workers wanted, 1 to [`WORKERS_MAX`].
    Scale(u32),
    Status,
    Exits,
    Events,
    List,
    Routes,
    Config,
    /// Of one verb, or of everything.
    Help(Option<VerbId>),
    Version,
}

/// A command line that has been understood. What a verb does not take is at its default.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Invocation {
    pub(crate) verb: Verb,
    pub(crate) daemon: bool,
    /// As given; checked with the rest of the configuration.
    pub(crate) listen: Vec<String>,
    /// As given: `auto` or a number; checked with the rest of the configuration.
    pub(crate) workers: Option<String>,
    pub(crate) env: Option<String>,
    pub(crate) scope: Option<String>,
    pub(crate) title: Option<String>,
    pub(crate) single: bool,
    pub(crate) check: bool,
    pub(crate) base_dir: Option<PathBuf>,
    pub(crate) run_dir: Option<PathBuf>,
    pub(crate) app: Option<String>,
    pub(crate) json: bool,
    pub(crate) follow: bool,
    pub(crate) no_wait: bool,
    pub(crate) timeout: Option<Duration>,
    pub(crate) fast: bool,
    /// With `--check` or `--check-state`: the descriptor to write the answer to.
    pub(crate) emit_fd: Option<i32>,
    /// The descriptor of a master's state: could this build go on from there?
    pub(crate) check_state: Option<i32>,
    /// The descriptor of the state from which this process goes on as master.
    pub(crate) resume_fd: Option<i32>,
    /// The descriptor on which a daemon tells the command that started it of its readiness.
    pub(crate) ready_fd: Option<i32>,
}

/// A command line that makes no sense; one line for stderr, exit code [`EXIT_USAGE`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UsageError(String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

impl Invocation {
    fn new(verb: Verb) -> Self {
        Self {
            verb,
            daemon: false,
            listen: Vec::new(),
            workers: None,
            env: None,
            scope: None,
            title: None,
            single: false,
            check: false,
            base_dir: None,
            run_dir: None,
            app: None,
            json: false,
            follow: false,
            no_wait: false,
            timeout: None,
            fast: false,
            emit_fd: None,
            check_state: None,
            resume_fd: None,
            ready_fd: None,
        }
    }

    /// Understands the arguments after the program's name.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, UsageError> {
        let words = Words::read(arguments)?;
        if words.has(FlagId::Version) {
            return Ok(Self::new(Verb::Version));
        }
        let (row, operand) = words.verb()?;
        if words.has(FlagId::Help) {
            let topic = words.operands.first().map(|_| row.id);
            return Ok(Self::new(Verb::Help(topic)));
        }
        let mut invocation = Self::new(verb(row, operand)?);
        for (flag, value) in &words.flags {
            if !flag.verbs.contains(&row.id) {
                let (verb, flag) = (row.name, flag.name);
                return Err(UsageError(format!("`{verb}` does not take `--{flag}`")));
            }
            invocation.set(flag, value)?;
        }
        invocation.check_together()?;
        Ok(invocation)
    }

    fn set(&mut self, flag: &Flag, value: &OsStr) -> Result<(), UsageError> {
        let text = || text(flag, value);
        match flag.id {
            FlagId::Daemon => self.daemon = true,
            FlagId::Listen => self.listen.push(text()?),
            FlagId::Workers => self.workers = Some(text()?),
            FlagId::Env => self.env = Some(text()?),
            FlagId::Scope => self.scope = Some(text()?),
            FlagId::Title => self.title = Some(text()?),
            FlagId::Single => self.single = true,
            FlagId::Check => self.check = true,
            FlagId::BaseDir => self.base_dir = Some(directory(flag, value)?),
            FlagId::RunDir => self.run_dir = Some(directory(flag, value)?),
            FlagId::App => self.app = Some(text()?),
            FlagId::Json => self.json = true,
            FlagId::Follow => self.follow = true,
            FlagId::NoWait => self.no_wait = true,
            FlagId::Timeout => self.timeout = Some(timeout(&text()?)?),
            FlagId::Fast => self.fast = true,
            FlagId::EmitFd => self.emit_fd = Some(descriptor(flag, &text()?)?),
            FlagId::CheckState => self.check_state = Some(descriptor(flag, &text()?)?),
            FlagId::ResumeFd => self.resume_fd = Some(descriptor(flag, &text()?)?),
            FlagId::ReadyFd => self.ready_fd = Some(descriptor(flag, &text()?)?),
            // Answered before.
            FlagId::Help | FlagId::Version => {}
        }
        Ok(())
    }

    fn check_together(&self) -> Result<(), UsageError> {
        let given = [
            (self.daemon, "--daemon"),
            (self.single, "--single"),
            (self.check, "--check"),
        ];
        let mut given = given.iter().filter(|(given, _)| *given);
        if let (Some((_, one)), Some((_, other))) = (given.next(), given.next()) {
            return Err(UsageError(format!(
                "`{one}` and `{other}` exclude each other"
            )));
        }
        let waits = self.no_wait || self.timeout.is_some();
        if self.verb == Verb::Start && waits && !self.daemon && self.ready_fd.is_none() {
            let flag = if self.no_wait {
                "--no-wait"
            } else {
                "--timeout"
            };
            return Err(UsageError(format!(
                "`start` takes `{flag}` only with `--daemon`"
            )));
        }
        if self.emit_fd.is_some() && !self.check && self.check_state.is_none() {
            return Err(UsageError(
                "`--emit-fd` needs `--check` or `--check-state`".to_owned(),
            ));
        }
        Ok(())
    }

    /// What the flags change in the configuration.
    pub(crate) fn overrides(&self) -> Vec<Override> {
        let mut overrides = Vec::new();
        let mut add = |key: &str, value: Json, flag: &str| {
            overrides.push(Override {
                key: key.to_owned(),
                value,
                flag: flag.to_owned(),
            });
        };
        if !self.listen.is_empty() {
            add("listen.addresses", self.listen.clone().into(), "--listen");
        }
        if let Some(workers) = &self.workers {
            // A number that is none is left to the key's own check, which knows what is allowed.
            let value = workers
                .parse::<i64>()
                .map_or_else(|_| workers.clone().into(), Json::from);
            add("cluster.workers", value, "--workers");
        }
        overrides
    }

    /// The flags that lead to the same configuration again: for the check before a reload, which
    /// runs in a process of its own. Directories are as given: a caller whose working directory
    /// may change makes them absolute first.
    pub(crate) fn config_arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = Vec::new();
        let mut add = |flag: &str, value: &OsStr| {
            arguments.extend([OsString::from(flag), value.to_owned()]);
        };
        for address in &self.listen {
            add("--listen", address.as_ref());
        }
        for (flag, value) in [
            ("--workers", &self.workers),
            ("--env", &self.env),
            ("--scope", &self.scope),
        ] {
            if let Some(value) = value {
                add(flag, value.as_ref());
            }
        }
        for (flag, value) in [("--base-dir", &self.base_dir), ("--run-dir", &self.run_dir)] {
            if let Some(value) = value {
                add(flag, value.as_ref());
            }
        }
        arguments
    }
}

/// The command line, sorted into flags and the rest, before it is known what the verb is.
struct Words {
    /// Each with its value, empty for flags without one.
    flags: Vec<(&'static Flag, OsString)>,
    operands: Vec<String>,
}

impl Words {
    fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, UsageError> {
        let usage = |error: lexopt::Error| UsageError(error.to_string());
        let mut parser = lexopt::Parser::from_args(arguments);
        let mut words = Self {
            flags: Vec::new(),
            operands: Vec::new(),
        };
        while let Some(argument) = parser.next().map_err(usage)? {
            let flag = match argument {
                Arg::Value(word) => {
                    words.operands.push(word.to_string_lossy().into_owned());
                    continue;
                }
                Arg::Long(name) => {
                    FLAGS.iter().find(|flag| flag.name == name).ok_or_else(|| {
                        let known = FLAGS
                            .iter()
                            .filter(|flag| !flag.hidden)
                            .map(|flag| flag.name);
                        let suggestion = did_you_mean(name, known).replacen('`', "`--", 1);
                        UsageError(format!("unknown flag `--{name}`{suggestion}"))
                    })?
                }
                Arg::Short(name) => FLAGS
                    .iter()
                    .find(|flag| flag.short == Some(name))
                    .ok_or_else(|| UsageError(format!("unknown flag `-{name}`")))?,
            };
            let value = match flag.value {
                Some(placeholder) => parser.value().map_err(|_| {
                    UsageError(format!("`--{}` needs a value: {placeholder}", flag.name))
                })?,
                None => OsString::new(),
            };
            if !flag.repeatable && words.has(flag.id) {
                return Err(UsageError(format!("`--{}` is there twice", flag.name)));
            }
            words.flags.push((flag, value));
        }
        Ok(words)
    }

    fn has(&self, id: FlagId) -> bool {
        self.flags.iter().any(|(flag, _)| flag.id == id)
    }

    /// The verb, `start` when there is none, and its operand.
    fn verb(&self) -> Result<(&'static VerbRow, Option<&str>), UsageError> {
        let mut operands = self.operands.iter().map(String::as_str);
        let row = find_verb(operands.next().unwrap_or("start"))?;
        let operand = operands.next();
        let surplus = if row.operand.is_some() {
            operands.next()
        } else {
            operand
        };
        match surplus {
            Some(word) => Err(UsageError(format!(
                "`{}`: one word too many: `{word}`",
                row.name
            ))),
            None => Ok((row, operand)),
        }
    }
}

fn find_verb(name: &str) -> Result<&'static VerbRow, UsageError> {
    VERBS.iter().find(|row| row.name == name).ok_or_else(|| {
        let suggestion = did_you_mean(name, VERBS.iter().map(|row| row.name));
        UsageError(format!("unknown verb `{name}`{suggestion}"))
    })
}

fn verb(row: &VerbRow, operand: Option<&str>) -> Result<Verb, UsageError> {
    Ok(match row.id {
        VerbId::Start => Verb::Start,
        VerbId::Stop => Verb::Stop,
        VerbId::Restart => Verb::Restart,
        VerbId::Reload => Verb::Reload,
        VerbId::Upgrade => Verb::Upgrade,
        VerbId::Scale => Verb::Scale(workers(operand)?),
        VerbId::Status => Verb::Status,
        VerbId::Exits => Verb::Exits,
        VerbId::Events => Verb::Events,
        VerbId::List => Verb::List,
        VerbId::Routes => Verb::Routes,
        VerbId::Config => Verb::Config,
        VerbId::Help => Verb::Help(operand.map(find_verb).transpose()?.map(|row| row.id)),
        VerbId::Version => Verb::Version,
    })
}

fn workers(operand: Option<&str>) -> Result<u32, UsageError> {
    let what = format!("a number of workers from 1 to {WORKERS_MAX}");
    let Some(word) = operand else {
        return Err(UsageError(format!("`scale` needs {what}")));
    };
    match word.parse() {
        Ok(count @ 1..=WORKERS_MAX) => Ok(count),
        _ => Err(UsageError(format!("`scale`: `{word}` is not {what}"))),
    }
}

fn text(flag: &Flag, value: &OsStr) -> Result<String, UsageError> {
    match value.to_str() {
        Some("") => Err(UsageError(format!("`--{}` is empty", flag.name))),
        Some(text) => Ok(text.to_owned()),
        None => Err(UsageError(format!("`--{}` is not UTF-8", flag.name))),
    }
}

fn directory(flag: &Flag, value: &OsStr) -> Result<PathBuf, UsageError> {
    if value.is_empty() {
        return Err(UsageError(format!("`--{}` is empty", flag.name)));
    }
    Ok(value.into())
}

fn timeout(word: &str) -> Result<Duration, UsageError> {
    match word.parse() {
        Ok(seconds @ 1..=TIMEOUT_S_MAX) => Ok(Duration::from_secs(seconds)),
        _ => Err(UsageError(format!(
            "`--timeout`: `{word}` is not a number of seconds from 1 to {TIMEOUT_S_MAX}"
        ))),
    }
}

fn descriptor(flag: &Flag, word: &str) -> Result<i32, UsageError> {
    // 0 to 2 have their own meaning.
    let number = word.parse().ok().filter(|number| *number >= 3);
    number.ok_or_else(|| UsageError(format!("`--{}`: `{word}` is not a descriptor", flag.name)))
}

#[cfg(test)]
mod tests;
