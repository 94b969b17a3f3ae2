//! Reading the layers and laying them over each other.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::PathBuf;

use serde_json::Value as Json;
use toml::de::{DeTable, DeValue};

use super::mask::Mask;
use super::place::Lines;
use super::tree::{DEPTH_MAX, Node, Reader, Value};
use super::{Config, ConfigError, ConfigErrorCode, ConfigProblem, Place};
use crate::loader::UnitKind;

/// The longest configuration file, in bytes.
const FILE_MAX: u64 = 1 << 20;

/// What the name of a variable that sets a key begins with.
const PREFIX: &str = "HATCHERY__";

/// The layer that is there in every environment.
const DEFAULT: &str = "default";

/// The environment when nobody names one.
const LOCAL: &str = "local";

/// Where a configuration is to be read from.
#[derive(Clone, Default)]
pub struct Sources {
    /// The directory that `config/` is in.
    pub base_dir: PathBuf,
    /// The environment's name as given by `--env`.
    pub env: Option<String>,
    /// The scope's name as given by `--scope`.
    pub scope: Option<String>,
    /// The process's environment (`std::env::vars_os()`); only `HATCHERY_ENV`, `HATCHERY_SCOPE` and
    /// `HATCHERY__…` are looked at.
    pub environment: Vec<(OsString, OsString)>,
    /// What flags set, lowest first.
    pub flags: Vec<Override>,
    /// What load units carry in the executable, in load order: plugins, then frameworks.
    pub units: Vec<UnitLayers>,
}

/// The configuration files that a plugin or framework carries in the executable.
#[derive(Clone, Debug)]
pub struct UnitLayers {
    /// Whose they are.
    pub kind: UnitKind,
    /// The unit's name.
    pub name: String,
    /// Each a name (`default`, a scope, an environment, `<scope>_<env>`) and its TOML.
    pub texts: Vec<(String, String)>,
}

/// A key that a flag sets.
#[derive(Clone, PartialEq)]
pub struct Override {
    /// The dotted key, of bare keys.
    pub key: String,
    /// Its value.
    pub value: Json,
    /// The flag with its dashes, for messages.
    pub flag: String,
}

/// Without the variables: there are secrets among them.
impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources")
            .field("base_dir", &self.base_dir)
            .field("env", &self.env)
            .field("scope", &self.scope)
            .field("flags", &self.flags)
            .finish_non_exhaustive()
    }
}

/// A secret value is masked.
impl fmt::Debug for Override {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = Mask::default().at(&self.key, &self.value);
        write!(f, "{} {}={value}", self.flag, self.key)
    }
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
            return check_name("an environment", name, Place::flag("--env"));
        }
        if let Some(text) = self.read("config/env")?
            && !text.trim().is_empty()
        {
            let place = Place::file(&"config/env".into(), 1, 1);
            return check_name("an environment", text.trim(), place);
        }
        match self.variable("HATCHERY_ENV") {
            Some(name) => {
                let place = Place::environment("HATCHERY_ENV");
                check_name("an environment", &name, place)
            }
            None => Ok(LOCAL.to_owned()),
        }
    }

    /// The name of the scope: `--scope`, else `HATCHERY_SCOPE`, else none.
    pub fn scope_name(&self) -> Result<Option<String>, ConfigError> {
        let named = match &self.scope {
            Some(name) => Some((name.clone(), Place::flag("--scope"))),
            None => self
                .variable("HATCHERY_SCOPE")
                .map(|name| (name, Place::environment("HATCHERY_SCOPE"))),
        };
        let name = named.map(|(name, place)| check_name("a scope", &name, place));
        name.transpose().map_err(ConfigError::one)
    }

    /// The names of environment and scope.
    pub(super) fn names(&self) -> Result<(String, Option<String>), ConfigError> {
        Ok((self.env_name()?, self.scope_name()?))
    }

    /// A variable that is there and not empty.
    fn variable(&self, name: &str) -> Option<String> {
        let (_, value) = self.environment.iter().find(|(known, _)| known == name)?;
        (!value.is_empty()).then(|| value.to_string_lossy().into_owned())
    }

    /// A file's text, by its name relative to the base directory; `None` when it is not there.
    pub(super) fn read(&self, name: &str) -> Result<Option<String>, ConfigProblem> {
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

/// The names of the layers, lowest first: `default`, `<scope>`, `<env>`, `<scope>_<env>`.
pub(super) fn layer_names(env: &str, scope: Option<&str>) -> Vec<String> {
    let mut names = vec![DEFAULT.to_owned()];
    let mut add = |name: String| {
        if !names.contains(&name) {
            names.push(name);
        }
    };
    if let Some(scope) = scope {
        add(scope.to_owned());
    }
    add(env.to_owned());
    if let Some(scope) = scope
        && env != DEFAULT
    {
        add(format!("{scope}_{env}"));
    }
    names
}

impl Config {
    /// Reads all layers and lays them over each other. The error holds the problems of all layers.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let (env, scope) = sources.names()?;
        let mut loader = Loader::new();
        let mut files = Vec::new();
        for name in layer_names(&env, scope.as_deref()) {
            for unit in &sources.units {
                loader.unit(unit, &name);
            }
            let file = format!("config/config.{name}.toml");
            match sources.read(&file) {
                Ok(Some(text)) => {
                    loader.application(&file, &text);
                    files.push(PathBuf::from(file));
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
            scope,
            base_dir: sources.base_dir.clone(),
            files,
            plugins: Vec::new(),
        })
    }
}

/// `what` is what it names, with its article.
fn check_name(what: &str, name: &str, place: Place) -> Result<String, ConfigProblem> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if (1..=64).contains(&name.len()) && name.bytes().all(good) {
        return Ok(name.to_owned());
    }
    let code = ConfigErrorCode::EnvironmentName;
    let message =
        format!("{name:?} is not the name of {what}: up to 64 letters, digits, `_` and `-`");
    Err(ConfigProblem::new(code, Some(place), "", message))
}

/// Lays layers over each other, and keeps what is wrong with them.
pub(super) struct Loader {
    pub(super) root: Node,
    pub(super) problems: Vec<ConfigProblem>,
}

impl Loader {
    pub(super) fn new() -> Self {
        Self {
            root: Node::empty_table(&Place::effective()),
            problems: Vec::new(),
        }
    }

    /// Lays what a unit carries for the layer `name` over what is there.
    fn unit(&mut self, unit: &UnitLayers, name: &str) {
        let title = unit.kind.title(&unit.name);
        for (_, text) in unit.texts.iter().filter(|(known, _)| known == name) {
            let file = format!("{title}, config.{name}.toml");
            if let Some(node) = self.read(&file, text) {
                self.problems.extend(misplaced(unit.kind, &node));
                self.root.merge(node);
            }
        }
    }

    /// Lays a file of the application's over what is there.
    fn application(&mut self, file: &str, text: &str) {
        if let Some(node) = self.read(file, text) {
            self.problems
                .extend(misplaced(UnitKind::Application, &node));
            self.root.merge(node);
        }
    }

    /// Reads a TOML text; `None` when it is none, which is then a problem.
    pub(super) fn read(&mut self, name: &str, text: &str) -> Option<Node> {
        let lines = Lines::new(name, text);
        let place = |offset| lines.place(offset);
        let read = parse(text, &lines).and_then(|table| {
            let table = Reader::new(&place).table(&table, "", 0)?;
            Ok(Node::new(Value::Table(table), &place(0)))
        });
        read.map_err(|problem| self.problems.push(problem)).ok()
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
                Ok(node) => {
                    let node = node.under(keys.into_iter());
                    self.problems
                        .extend(misplaced(UnitKind::Application, &node));
                    self.root.merge(node);
                }
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

/// Keys of `[middleware]` that this kind of unit may not set: the core chain is the framework's,
/// the order of the rest the application's.
fn misplaced(kind: UnitKind, node: &Node) -> impl Iterator<Item = ConfigProblem> {
    let core = match kind {
        UnitKind::Plugin => Some(
            "only a framework sets the core chain; a plugin adds to it with `Unit::core_middleware`",
        ),
        UnitKind::Framework => None,
        UnitKind::Application => Some(
            "only a framework sets the core chain; the application's own goes into `middleware.order`",
        ),
    };
    let order = (kind != UnitKind::Application).then_some(
        "only the application orders its middleware; a unit adds its own with \
         `Unit::core_middleware`",
    );
    [("middleware.core", core), ("middleware.order", order)]
        .into_iter()
        .filter_map(|(key, message)| {
            let place = node.get(key)?.key_place.clone();
            let kind = ConfigErrorCode::Misplaced;
            Some(ConfigProblem::new(kind, Some(place), key, message?))
        })
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
