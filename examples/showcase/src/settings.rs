//! The `[showcase]` table of the configuration, and the boot that it can make go wrong.

use std::path::PathBuf;
use std::time::Duration;
use std::{fs, io, process, thread};

use hatchery::BoxError;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

/// The `[showcase]` table. `config/config.default.toml` explains the keys.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Showcase {
    pub(crate) greeting: String,
    pub(crate) faults: bool,
    #[serde(deserialize_with = "duration")]
    boot_delay: Duration,
    boot_fault: Fault,
    boot_fault_file: PathBuf,
    agent_fault: Fault,
}

/// How a boot goes wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Fault {
    /// It does not.
    #[default]
    None,
    /// The application says why it cannot start.
    Error,
    /// The process ends.
    Exit,
    /// The code panics.
    Panic,
    /// Nothing happens any more.
    Hang,
}

/// The code with which a process ends that was told to fail.
const FAULT_EXIT_CODE: i32 = 3;

impl Default for Showcase {
    fn default() -> Self {
        Self {
            greeting: "Hello, Hatchery".into(),
            faults: false,
            boot_delay: Duration::ZERO,
            boot_fault: Fault::None,
            boot_fault_file: PathBuf::new(),
            agent_fault: Fault::None,
        }
    }
}

impl Showcase {
    /// Boots a worker as slowly and as badly as the configuration says.
    pub(crate) fn boot_worker(&self) -> Result<(), BoxError> {
        thread::sleep(self.boot_delay);
        self.worker_fault()?.strike("worker")
    }

    /// Starts the agent as badly as the configuration says.
    pub(crate) fn boot_agent(&self) -> Result<(), BoxError> {
        self.agent_fault.strike("agent")
    }

    fn worker_fault(&self) -> Result<Fault, BoxError> {
        if self.boot_fault_file.as_os_str().is_empty() {
            return Ok(self.boot_fault);
        }
        let word = match fs::read_to_string(&self.boot_fault_file) {
            Ok(word) => word,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error.into()),
        };
        match word.trim() {
            "" => Ok(Fault::None),
            word => Ok(serde_json::from_value(word.into())?),
        }
    }
}

impl Fault {
    fn strike(self, role: &str) -> Result<(), BoxError> {
        match self {
            Self::None => Ok(()),
            Self::Error => Err(format!("the {role} was told not to start").into()),
            Self::Exit => {
                eprintln!("the {role} was told to exit with code {FAULT_EXIT_CODE}");
                process::exit(FAULT_EXIT_CODE)
            }
            Self::Panic => panic!("the {role} was told to panic"),
            Self::Hang => loop {
                thread::park();
            },
        }
    }
}

/// Reads a duration like `"250ms"`.
fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).map_err(D::Error::custom)
}
