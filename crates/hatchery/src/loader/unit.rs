//! Load units: what a plugin, a framework or the application brings.

use std::panic::Location;

use serde::de::DeserializeOwned;

use crate::Package;
use crate::config::sections::Section;
use crate::config::{Config, ConfigError};
use crate::lifecycle::{Boot, BootRole, ErasedBoot};

/// A plugin: a load unit that can be switched off, and that others can depend on.
///
/// Name it in code, with [`App::plugin`](crate::App::plugin): a crate that is only in `Cargo.toml`
/// is not linked.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a plugin",
    note = "a plugin is a type with `impl hatchery::Plugin`, whose `unit` says what it brings"
)]
pub trait Plugin {
    /// What it brings. Begin with [`Unit::plugin`].
    fn unit(self) -> Unit;
}

/// A framework: a crate that applications build on.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a framework",
    note = "a framework is a type with `impl hatchery::Framework`, whose `unit` says what it brings"
)]
pub trait Framework {
    /// What it brings. Begin with [`Unit::framework`].
    fn unit(self) -> Unit;
}

/// Which kind of load unit; in the order in which they load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum UnitKind {
    /// First, in the order of their dependencies.
    Plugin,
    /// Then frameworks, the lowest first.
    Framework,
    /// Last.
    Application,
}

impl UnitKind {
    /// `plugin audit`.
    pub(crate) fn title(self, name: &str) -> String {
        let kind = match self {
            Self::Plugin => "plugin",
            Self::Framework => "framework",
            Self::Application => "application",
        };
        format!("{kind} {name}")
    }
}

/// What a plugin, a framework or the application brings.
#[must_use = "a unit does nothing until an application takes it"]
#[derive(Debug)]
pub struct Unit {
    pub(crate) kind: UnitKind,
    pub(crate) name: &'static str,
    pub(crate) package: Package,
    /// Unless `config/plugin.toml` says otherwise.
    pub(crate) enable: bool,
    /// A framework brings it, and the application may replace it.
    pub(crate) is_of_framework: bool,
    /// Environments in which it is there; empty: in all.
    pub(crate) env: Vec<&'static str>,
    pub(crate) dependencies: Vec<&'static str>,
    pub(crate) optional_dependencies: Vec<&'static str>,
    pub(crate) defaults: Vec<Defaults>,
    pub(crate) sections: Vec<Section>,
    /// Names of middleware that it adds to the core.
    pub(crate) core_middleware: Vec<&'static str>,
    pub(crate) boots: Vec<CodeBoot>,
    /// A framework's: the plugins that it brings.
    pub(crate) plugins: Vec<Unit>,
    /// A framework's: the one that it builds on.
    pub(crate) parent: Option<Box<Unit>>,
}

/// Lifecycle hooks that were given in code.
#[derive(Debug)]
pub(crate) struct CodeBoot {
    pub(crate) role: BootRole,
    pub(crate) boot: Box<dyn ErasedBoot>,
    /// Where they were given.
    pub(crate) place: &'static Location<'static>,
}

/// A configuration file that a unit carries in its executable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Defaults {
    /// `default`, or the name of a scope or environment: `prod`, `blue_prod`.
    pub(crate) name: &'static str,
    /// Its TOML.
    pub(crate) text: &'static str,
}

impl Unit {
    pub(crate) fn new(kind: UnitKind, name: &'static str, package: Package) -> Self {
        Self {
            kind,
            name,
            package,
            enable: true,
            is_of_framework: false,
            env: Vec::new(),
            dependencies: Vec::new(),
            optional_dependencies: Vec::new(),
            defaults: Vec::new(),
            sections: Vec::new(),
            core_middleware: Vec::new(),
            boots: Vec::new(),
            plugins: Vec::new(),
            parent: None,
        }
    }

    /// A plugin's. `package` is [`hatchery::package!()`](crate::package!), written in the module
    /// (or the crate's root) that the plugin's items are in.
    pub fn plugin(name: &'static str, package: Package) -> Self {
        Self::new(UnitKind::Plugin, name, package)
    }

    /// A framework's. `package` is [`hatchery::package!()`](crate::package!).
    pub fn framework(name: &'static str, package: Package) -> Self {
        Self::new(UnitKind::Framework, name, package)
    }

    /// A plugin that is off unless `config/plugin.toml` enables it.
    pub fn disabled(mut self) -> Self {
        self.enable = false;
        self
    }

    /// Only in these environments; elsewhere it is as if it were not there.
    pub fn env(mut self, names: &[&'static str]) -> Self {
        self.env.extend(names);
        self
    }

    /// Plugins that must be there, and load first. They are enabled with this one.
    pub fn dependencies(mut self, names: &[&'static str]) -> Self {
        self.dependencies.extend(names);
        self
    }

    /// Plugins that load first when they are enabled.
    pub fn optional_dependencies(mut self, names: &[&'static str]) -> Self {
        self.optional_dependencies.extend(names);
        self
    }

    /// Its `config.<name>.toml`: `name` is `default`, or a scope or environment; `text` is usually
    /// `include_str!`.
    pub fn config(mut self, name: &'static str, text: &'static str) -> Self {
        self.defaults.push(Defaults { name, text });
        self
    }

    /// Declares a table of the configuration, by the type that reads it.
    pub fn section<T: DeserializeOwned>(mut self, name: &'static str) -> Self {
        let check = |config: &Config, name: &str| -> Result<(), ConfigError> {
            config.section::<T>(name).map(drop)
        };
        self.sections.push(Section { name, check });
        self
    }

    /// Adds a middleware of its own to the core chain, which runs before the application's.
    pub fn core_middleware(mut self, name: &'static str) -> Self {
        self.core_middleware.push(name);
        self
    }

    /// Lifecycle hooks of its own, in the processes of `role`.
    #[track_caller]
    pub fn boot<B: Boot>(mut self, role: BootRole, boot: B) -> Self {
        self.add_boot(role, boot);
        self
    }

    #[track_caller]
    pub(crate) fn add_boot<B: Boot>(&mut self, role: BootRole, boot: B) {
        self.boots.push(CodeBoot {
            role,
            boot: Box::new(boot),
            place: Location::caller(),
        });
    }

    /// A framework's: a plugin that it brings.
    pub fn with_plugin(mut self, plugin: impl Plugin) -> Self {
        self.plugins.push(plugin.unit());
        self
    }

    /// A framework's: the framework that it builds on.
    pub fn on(mut self, parent: impl Framework) -> Self {
        self.parent = Some(Box::new(parent.unit()));
        self
    }
}
