//! The tables. A verb or flag that is here is parsed, and shown by the help.

/// Which verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VerbId {
    Start,
    Stop,
    Restart,
    Reload,
    Upgrade,
    Scale,
    Status,
    Exits,
    Events,
    List,
    Routes,
    Config,
    Help,
    Version,
}

/// Which flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FlagId {
    Daemon,
    Listen,
    Workers,
    Env,
    Scope,
    Title,
    Single,
    Check,
    BaseDir,
    RunDir,
    App,
    Json,
    Follow,
    NoWait,
    Timeout,
    Fast,
    EmitFd,
    CheckState,
    ResumeFd,
    ReadyFd,
    Help,
    Version,
}

/// A verb of the command line.
#[derive(Debug)]
pub(super) struct VerbRow {
    pub(super) id: VerbId,
    pub(super) name: &'static str,
    /// The placeholder of the one word that may follow it; in brackets when it need not.
    pub(super) operand: Option<&'static str>,
    pub(super) help: &'static str,
}

/// A flag of the command line.
#[derive(Debug)]
pub(super) struct Flag {
    pub(super) id: FlagId,
    /// The long form, without dashes.
    pub(super) name: &'static str,
    pub(super) short: Option<char>,
    /// The placeholder of its value.
    pub(super) value: Option<&'static str>,
    pub(super) repeatable: bool,
    /// Between our own processes; not shown.
    pub(super) hidden: bool,
    pub(super) verbs: &'static [VerbId],
    pub(super) help: &'static str,
}

const fn verb(
    id: VerbId,
    name: &'static str,
    operand: Option<&'static str>,
    help: &'static str,
) -> VerbRow {
    VerbRow {
        id,
        name,
        operand,
        help,
    }
}

pub(super) static VERBS: &[VerbRow] = &[
    verb(
        VerbId::Start,
        "start",
        None,
        "Start the application (without a verb: this one)",
    ),
    verb(
        VerbId::Stop,
        "stop",
        None,
        "Finish what is in flight and stop",
    ),
    verb(
        VerbId::Restart,
        "restart",
        None,
        "Stop, then start with the same flags",
    ),
    verb(
        VerbId::Reload,
        "reload",
        None,
        "Replace all workers by ones of the release on disk",
    ),
    verb(
        VerbId::Upgrade,
        "upgrade",
        None,
        "Replace the master alone, in place, by the release on disk",
    ),
    verb(
        VerbId::Scale,
        "scale",
        Some("N"),
        "Change the number of workers",
    ),
    verb(
        VerbId::Status,
        "status",
        None,
        "Show the master, the agent and each worker",
    ),
    verb(
        VerbId::Exits,
        "exits",
        None,
        "Show why the last processes ended; also when nothing runs",
    ),
    verb(
        VerbId::Events,
        "events",
        None,
        "Show what has happened to the pool",
    ),
    verb(VerbId::List, "list", None, "List your running applications"),
    verb(
        VerbId::Config,
        "config",
        None,
        "Show each value of the configuration and where it is set",
    ),
    verb(
        VerbId::Routes,
        "routes",
        None,
        "Show the routes that this build has, and where each handler is",
    ),
    verb(
        VerbId::Help,
        "help",
        Some("[VERB]"),
        "Show this help, or that of a verb",
    ),
    verb(VerbId::Version, "version", None, "Show the version"),
];

use VerbId::{
    Config, Events, Exits, Help, List, Reload, Restart, Routes, Scale, Start, Status, Stop,
    Upgrade, Version,
};

const START: &[VerbId] = &[Start];
/// Verbs that read the configuration.
const CONFIGURED: &[VerbId] = &[Start, Routes, Config];
/// Verbs that talk to one running application.
const RUNNING: &[VerbId] = &[Stop, Restart, Reload, Upgrade, Scale, Status, Exits, Events];
/// Verbs that come to an end when what they ask for is true.
const WAITING: &[VerbId] = &[Start, Stop, Restart, Reload, Upgrade, Scale];
const PLACED: &[VerbId] = &[
    Start, Stop, Restart, Reload, Upgrade, Scale, Status, Exits, Events, Routes, Config,
];
const ALL: &[VerbId] = &[
    Start, Stop, Restart, Reload, Upgrade, Scale, Status, Exits, Events, List, Routes, Config,
    Help, Version,
];

/// A flag without a value; the methods below add the rest.
const fn flag(
    id: FlagId,
    name: &'static str,
    verbs: &'static [VerbId],
    help: &'static str,
) -> Flag {
    Flag {
        id,
        name,
        short: None,
        value: None,
        repeatable: false,
        hidden: false,
        verbs,
        help,
    }
}

impl Flag {
    const fn value(self, placeholder: &'static str) -> Self {
        Self {
            value: Some(placeholder),
            ..self
        }
    }

    const fn short(self, letter: char) -> Self {
        Self {
            short: Some(letter),
            ..self
        }
    }

    const fn repeatable(self) -> Self {
        Self {
            repeatable: true,
            ..self
        }
    }

    const fn hidden(self) -> Self {
        Self {
            hidden: true,
            ..self
        }
    }
}

pub(super) static FLAGS: &[Flag] = &[
    flag(
        FlagId::Daemon,
        "daemon",
        START,
        "Go to the background; return when the pool is ready",
    ),
    flag(
        FlagId::Listen,
        "listen",
        START,
        "Listen here: 127.0.0.1:7001, :7001, unix:/path; may repeat",
    )
    .value("ADDR")
    .repeatable(),
    flag(
        FlagId::Workers,
        "workers",
        START,
        "How many workers: a number, or auto",
    )
    .value("N"),
    flag(
        FlagId::Env,
        "env",
        CONFIGURED,
        "The environment: config/config.NAME.toml",
    )
    .value("NAME"),
    flag(
        FlagId::Scope,
        "scope",
        CONFIGURED,
        "A second dimension: config/config.NAME.toml, config.NAME_ENV.toml",
    )
    .value("NAME"),
    flag(
        FlagId::Title,
        "title",
        START,
        "The name in the list of processes",
    )
    .value("T"),
    flag(
        FlagId::Single,
        "single",
        START,
        "Serve from this one process, without a master",
    ),
    flag(
        FlagId::Check,
        "check",
        START,
        "Load everything, report, and exit",
    ),
    flag(
        FlagId::BaseDir,
        "base-dir",
        PLACED,
        "The directory with config/",
    )
    .value("DIR"),
    flag(
        FlagId::RunDir,
        "run-dir",
        PLACED,
        "The directory of the control socket (BASE/run)",
    )
    .value("DIR"),
    flag(
        FlagId::App,
        "app",
        RUNNING,
        "The running application of this name",
    )
    .value("NAME"),
    flag(
        FlagId::Json,
        "json",
        &[Status, Exits, Events, List, Routes, Config],
        "As JSON",
    ),
    flag(
        FlagId::Follow,
        "follow",
        &[Events],
        "Go on with what happens from now on",
    )
    .short('f'),
    flag(
        FlagId::NoWait,
        "no-wait",
        WAITING,
        "Return as soon as it has begun",
    ),
    flag(
        FlagId::Timeout,
        "timeout",
        WAITING,
        "Wait at most this long",
    )
    .value("SECONDS"),
    flag(
        FlagId::Fast,
        "fast",
        &[Stop],
        "Do not wait for what is in flight",
    ),
    flag(
        FlagId::EmitFd,
        "emit-fd",
        START,
        "With --check or --check-state: write the result here",
    )
    .value("N")
    .hidden(),
    flag(
        FlagId::CheckState,
        "check-state",
        START,
        "Could this build go on from a master's state?",
    )
    .value("N")
    .hidden(),
    flag(
        FlagId::ResumeFd,
        "resume-fd",
        START,
        "Go on from a master's state",
    )
    .value("N")
    .hidden(),
    flag(FlagId::ReadyFd, "ready-fd", START, "Tell of readiness here")
        .value("N")
        .hidden(),
    flag(FlagId::Help, "help", ALL, "Show help").short('h'),
    flag(FlagId::Version, "version", ALL, "Show the version").short('V'),
];
