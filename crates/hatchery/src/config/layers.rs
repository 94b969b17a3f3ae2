//! Reading the layers and laying them over each other.

use std::ffi::OsString;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::PathBuf;

use serde_json::Value as Json;
use toml::de::{DeTable, DeValue};

use super::place::Lines;
use super::tree::{DEPTH_MAX, Node, Reader, Value};
use super::{Config, ConfigError, ConfigErrorCode, ConfigProblem, Place};

/// The longest configuration file, in bytes.
const FILE_MAX: u64 = 1 << 20;

/// What the name of a variable that sets a key begins with.
const PREFIX: &str = "HATCHERY__";

/// The environment when nobody names one.
const LOCAL: &str = "local";

/// Where a configuration is to be read from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The directory that `config/` is in.
    pub base_dir: PathBuf,
    /// The environment's name as given by `--env`.
    pub env: Option<String>,
    /// The process's environment (`std::env::vars_os()`); only `HATCHERY_ENV` and `HATCHERY__…`
    /// are looked at.
    pub environment: Vec<(OsString, OsString)>,
    /// What flags set, lowest first.
    pub flags: Vec<Override>,
    /// TOML texts below the application's files, lowest first, each with the name that problems
    /// show: the defaults of the framework and of plugins.
    pub defaults: Vec<(String, String)>,
}

/// A key that a flag sets.
#[derive(Clone, Debug, PartialEq)]
pub struct Override {
    /// The dotted key, of bare keys.
    pub key: String,
    /// Its value.
    pub value: Json,
    /// The flag with its dashes, for messages.
    pub flag: String,
}

impl Sources {
    /// The files under `base_dir` and this process's environment.
    pub fn new(base_dir: impl Into<PathBuf>) -> Self {
        Self {
            base_dir: base_dir.into(),
            environment: std::env::vars_os().collect(),
            ..Self::default()
        }
    }

    /// The name of the environment: `--env`, else the file `config/env`, else `HATCHERY_ENV`, else
    /// `local`. An empty file or variable is as good as none.
    pub fn env_name(&self) -> Result<String, ConfigError> {
        self.find_env_name().map_err(ConfigError::one)
    }

    fn find_env_name(&self) -> Result<String, ConfigProblem> {
        if let Some(name) = &self.env {
            return check_env_name(name, Place::flag("--env"));
        }
        if let Some(text) = self.read("config/env")?
            && !text.trim().is_empty()
        {
            return check_env_name(text.trim(), Place::file(&"config/env".into(), 1, 1));
        }
        let variable = self
            .environment
            .iter()
            .find(|(name, _)| name == "HATCHERY_ENV");
        match variable {
            Some((_, name)) if !name.is_empty() => {
                check_env_name(&name.to_string_lossy(), Place::environment("HATCHERY_ENV"))
            }
            _ => Ok(LOCAL.to_owned()),
        }
    }

    /// A file's text, by its name relative to the base directory; `None` when it is not there.
    fn read(&self, name: &str) -> Result<Option<String>, ConfigProblem> {
        let problem =
            |code, place, message: String| Err(ConfigProblem::new(code, Some(place), "", message));
        let whole = || Place::file(&name.into(), 0, 0);
        let mut bytes = Vec::new();
        let read = File::open(self.base_dir.join(name))
            .and_then(|file| file.take(FILE_MAX + 1).read_to_end(&mut bytes));
        match read {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                let message = format!("cannot be read: {error}");
                return problem(ConfigErrorCode::Unreadable, whole(), message);
            }
            Ok(length) if length as u64 > FILE_MAX => {
                let message = format!("longer than {} KiB", FILE_MAX >> 10);
                return problem(ConfigErrorCode::Unreadable, whole(), message);
            }
            Ok(_) => {}
        }
        String::from_utf8(bytes).map(Some).or_else(|error| {
            let good = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(&error.as_bytes()[..good]);
            let place = Lines::new(name, &text).place(good);
            problem(ConfigErrorCode::Syntax, place, "not UTF-8".to_owned())
        })
    }
}

impl Config {
    /// Reads all layers and lays them over each other. The error holds the problems of all layers.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let env = sources.env_name()?;
        let mut loader = Loader {
            root: Node::empty_table(&Place::effective()),
            problems: Vec::new(),
        };
        for (name, text) in &sources.defaults {
            loader.text(name, text);
        }
        let mut names = vec![
            "config/config.default.toml".to_owned(),
            format!("config/config.{env}.toml"),
        ];
        names.dedup();
        let mut files = Vec::new();
        for name in names {
            match sources.read(&name) {
                Ok(Some(text)) => {
                    loader.text(&name, &text);
                    files.push(PathBuf::from(name));
                }
                Ok(None) => {}
                Err(problem) => loader.problems.push(problem),
            }
        }
        loader.environment(&sources.environment);
        for flag in &sources.flags {
            let node = Node::from_json(flag.value.clone(), &Place::flag(&flag.flag));
            loader.root.merge(node.under(flag.key.split('.')));
        }
        ConfigError::check(loader.problems)?;
        Ok(Self {
            root: loader.root,
            env,
            files,
        })
    }
}

fn check_env_name(name: &str, place: Place) -> Result<String, ConfigProblem> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if (1..=64).contains(&name.len()) && name.bytes().all(good) {
        return Ok(name.to_owned());
    }
    let code = ConfigErrorCode::EnvironmentName;
    let message = format!(
        "{name:?} is not the name of an environment: up to 64 letters, digits, `_` and `-`"
    );
    Err(ConfigProblem::new(code, Some(place), "", message))
}

struct Loader {
    root: Node,
    problems: Vec<ConfigProblem>,
}

impl Loader {
    /// Lays a TOML text over what is there.
    fn text(&mut self, name: &str, text: &str) {
        let lines = Lines::new(name, text);
        let place = |offset| lines.place(offset);
        let read = parse(text, &lines).and_then(|table| {
            let table = Reader::new(&place).table(&table, "", 0)?;
            Ok(Node::new(Value::Table(table), &place(0)))
        });
        match read {
            Ok(node) => self.root.merge(node),
            Err(problem) => self.problems.push(problem),
        }
    }

    /// Lays the variables over what is there, sorted by name: a table as a whole comes before a
    /// key in it.
    fn environment(&mut self, environment: &[(OsString, OsString)]) {
        let mut variables: Vec<_> = environment
            .iter()
            .filter(|(name, _)| name.as_encoded_bytes().starts_with(PREFIX.as_bytes()))
            .collect();
        variables.sort();
        for (name, value) in variables {
            let place = Place::environment(&name.to_string_lossy());
            let (Some(name), Some(text)) = (name.to_str(), value.to_str()) else {
                self.syntax(place, "not UTF-8");
                continue;
            };
            let dotted = name[PREFIX.len()..].to_lowercase();
            let keys: Vec<&str> = dotted.split("__").collect();
            if keys.iter().any(|key| key.is_empty()) || keys.len() > DEPTH_MAX / 2 {
                self.syntax(place, "not the name of a key, write HATCHERY__SECTION__KEY");
                continue;
            }
            match variable(text, &keys, &place) {
                Ok(node) => self.root.merge(node.under(keys.into_iter())),
                Err(problem) => self.problems.push(problem),
            }
        }
    }

    fn syntax(&mut self, place: Place, message: &str) {
        let code = ConfigErrorCode::Syntax;
        self.problems
            .push(ConfigProblem::new(code, Some(place), "", message));
    }
}

/// A variable's value: TOML when it is, else a string. `nan` and `inf` are strings too.
fn variable(text: &str, keys: &[&str], place: &Place) -> Result<Node, ConfigProblem> {
    match DeValue::parse(text) {
        Ok(value) if !matches!(value.get_ref(), DeValue::Float(_) | DeValue::Datetime(_)) => {
            Reader::new(&|_| place.clone()).value(&value, &keys.join("."), keys.len())
        }
        Ok(value) if matches!(value.get_ref(), DeValue::Float(_)) => {
            let number = Reader::new(&|_| place.clone()).value(&value, "", 0);
            Ok(number.unwrap_or_else(|_| Node::from_json(text.into(), place)))
        }
        _ => Ok(Node::from_json(text.into(), place)),
    }
}

fn parse<'t>(text: &'t str, lines: &Lines<'_>) -> Result<DeTable<'t>, ConfigProblem> {
    DeTable::parse(text)
        .map(toml::Spanned::into_inner)
        .map_err(|error| {
            let place = lines.place(error.span().map_or(0, |span| span.start));
            let message = error.message().lines().collect::<Vec<_>>().join(", ");
            ConfigProblem::new(ConfigErrorCode::Syntax, Some(place), "", message)
        })
}
