//! The load units that are linked into the executable: those that load in this environment, and
//! those that do not.

use super::load_order::Unowned;
use super::plugins::{Note, PluginError, resolve};
use super::registry::Registration;
use super::unit::{Unit, UnitKind};
use crate::config::plugin_files::PluginConfig;
use crate::config::sections::Section;
use crate::config::{Config, Sources, UnitLayers};
use crate::lifecycle::{Boot, BootRole};
use crate::{BoxError, Package};

/// The name of the framework below all others.
const OWN_NAME: &str = "hatchery";

/// The application, and every plugin and framework that its code names.
#[derive(Debug)]
pub(crate) struct Units {
    application: Unit,
    /// In the order of their declaration: those of the lowest framework first, the application's
    /// last.
    plugins: Vec<Unit>,
    /// The lowest first: Hatchery itself.
    frameworks: Vec<Unit>,
    /// Names that code gives twice.
    problems: Vec<String>,
}

impl Units {
    pub(crate) fn new(application: Package) -> Self {
        // What these have is anywhere in their crates.
        let whole = |package: Package| Package {
            module: package.root(),
            ..package
        };
        let package = whole(application);
        Self {
            application: Unit::new(UnitKind::Application, package.name, package),
            plugins: Vec::new(),
            frameworks: vec![Unit::framework(OWN_NAME, whole(crate::package!()))],
            problems: Vec::new(),
        }
    }

    /// Adds to what the application itself brings.
    pub(crate) fn application(&mut self, add: impl FnOnce(Unit) -> Unit) {
        let package = self.application.package;
        let empty = Unit::new(UnitKind::Application, package.name, package);
        self.application = add(std::mem::replace(&mut self.application, empty));
    }

    /// Lifecycle hooks of the application.
    #[track_caller]
    pub(crate) fn boot<B: Boot>(&mut self, role: BootRole, boot: B) {
        self.application.add_boot(role, boot);
    }

    /// A plugin of the application's. It takes the place of one of the same name that a framework
    /// brings.
    pub(crate) fn add_plugin(&mut self, unit: Unit) {
        let name = unit.name;
        match self.plugins.iter_mut().find(|known| known.name == name) {
            None => self.plugins.push(unit),
            Some(known) if known.is_of_framework => *known = unit,
            Some(known) => self.problems.push(format!(
                "there are two plugins `{name}` in code, one of {} and one of {}",
                known.package.module, unit.package.module
            )),
        }
    }

    /// The framework that the application is built on, with those below it and their plugins.
    pub(crate) fn set_framework(&mut self, unit: Unit) {
        if let Some(known) = self.frameworks.get(1) {
            self.problems.push(format!(
                "an application is built on one framework, and code names two: `{}` and `{}` \
                 (one is built on another with `Unit::on`)",
                known.name, unit.name
            ));
            return;
        }
        let of_application = std::mem::take(&mut self.plugins);
        let mut chain = Vec::new();
        let mut next = Some(unit);
        while let Some(mut unit) = next {
            next = unit.parent.take().map(|parent| *parent);
            chain.push(unit);
        }
        for mut unit in chain.into_iter().rev() {
            for mut plugin in std::mem::take(&mut unit.plugins) {
                plugin.is_of_framework = true;
                // The upper framework's takes the place of the lower one's.
                self.add_plugin(plugin);
            }
            self.frameworks.push(unit);
        }
        for plugin in of_application {
            self.add_plugin(plugin);
        }
    }

    /// Reads the plugin files and decides which plugins are there; then reads the configuration with
    /// what they bring.
    pub(crate) fn configure(&self, mut sources: Sources) -> Result<(Config, Vec<Note>), BoxError> {
        let files = PluginConfig::load(&sources)?;
        let env = sources.env_name()?;
        let mut problems = self.problems.clone();
        let modules = self.plugins.iter().chain(&self.frameworks);
        let modules = modules.map(|unit| unit.package.module);
        let modules: Vec<_> = modules.chain([self.application.package.module]).collect();
        if let Err(unowned) = Unowned::find(&modules, Registration::all()) {
            problems.push(unowned.to_string());
        }
        let resolved = match resolve(&self.plugins, &files, &env) {
            Ok(resolved) if problems.is_empty() => resolved,
            Ok(_) => return Err(PluginError::new(problems).into()),
            Err(error) => {
                problems.extend(error.into_problems());
                return Err(PluginError::new(problems).into());
            }
        };
        let order = resolved.order.iter().copied();
        sources.units = order.chain(&self.frameworks).map(layers).collect();
        let plugins = resolved.order.iter().map(|unit| unit.name.to_owned());
        let config = Config::load(&sources)?.with_plugins(plugins.collect(), files.files);
        Ok((config, resolved.notes))
    }

    /// The units by whether they load with this configuration: plugins in load order, frameworks and
    /// the application; and the plugins that do not.
    pub(crate) fn split(mut self, config: &Config) -> (Vec<Unit>, Vec<Unit>) {
        let mut order = Vec::new();
        for name in config.plugins() {
            if let Some(at) = self.plugins.iter().position(|unit| unit.name == name) {
                order.push(self.plugins.remove(at));
            }
        }
        order.append(&mut self.frameworks);
        order.push(self.application);
        (order, self.plugins)
    }

    /// The tables that units declare. Those of plugins that are not there may be written, too.
    pub(crate) fn sections(&self, config: &Config) -> Vec<Section> {
        let is_there = |unit: &Unit| {
            unit.kind != UnitKind::Plugin || config.plugins().iter().any(|name| name == unit.name)
        };
        let units = self.plugins.iter().chain(&self.frameworks);
        units
            .chain([&self.application])
            .flat_map(|unit| {
                let is_there = is_there(unit);
                let sections = unit.sections.iter().copied();
                sections.map(move |section| {
                    if is_there {
                        section
                    } else {
                        section.of_absent()
                    }
                })
            })
            .collect()
    }
}

/// What a unit brings for the configuration.
fn layers(unit: &Unit) -> UnitLayers {
    let texts = unit.defaults.iter();
    UnitLayers {
        kind: unit.kind,
        name: unit.name.to_owned(),
        texts: texts
            .map(|defaults| (defaults.name.to_owned(), defaults.text.to_owned()))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Framework, Plugin};
    use super::*;

    struct Named(&'static str, Package);

    impl Plugin for Named {
        fn unit(self) -> Unit {
            Unit::plugin(self.0, self.1)
        }
    }

    struct Low;

    impl Framework for Low {
        fn unit(self) -> Unit {
            Unit::framework("low", package("low"))
                .with_plugin(Named("a", package("low::a")))
                .with_plugin(Named("b", package("low::b")))
        }
    }

    struct High;

    impl Framework for High {
        fn unit(self) -> Unit {
            Unit::framework("high", package("high"))
                .on(Low)
                .with_plugin(Named("b", package("high::b")))
                .with_plugin(Named("c", package("high::c")))
        }
    }

    fn package(module: &'static str) -> Package {
        Package {
            module,
            ..crate::package!()
        }
    }

    fn configure(units: &Units) -> Result<Config, String> {
        let dir = tempfile::tempdir().unwrap();
        let sources = Sources {
            base_dir: dir.path().to_owned(),
            ..Sources::default()
        };
        let configured = units.configure(sources);
        configured
            .map(|(config, _)| config)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_lowest_framework_comes_first_and_the_application_replaces_its_plugins() {
        for framework_first in [true, false] {
            let mut units = Units::new(package("shop::main"));
            if framework_first {
                units.set_framework(High.unit());
            }
            units.add_plugin(Named("d", package("shop::d")).unit());
            units.add_plugin(Named("c", package("shop::c")).unit());
            if !framework_first {
                units.set_framework(High.unit());
            }
            let config = configure(&units).unwrap();
            let (order, absent) = units.split(&config);
            let order: Vec<_> = order
                .iter()
                .map(|unit| (unit.name, unit.package.module))
                .collect();
            assert_eq!(
                order,
                [
                    ("a", "low::a"),
                    ("b", "high::b"),
                    ("c", "shop::c"),
                    ("d", "shop::d"),
                    ("hatchery", "hatchery"),
                    ("low", "low"),
                    ("high", "high"),
                    (crate::package!().name, "shop"),
                ]
            );
            assert!(absent.is_empty());
        }
    }

    #[test]
    fn what_code_names_twice_is_an_error() {
        let mut units = Units::new(package("shop"));
        units.set_framework(Low.unit());
        units.set_framework(High.unit());
        units.add_plugin(Named("d", package("shop::d")).unit());
        units.add_plugin(Named("d", package("other::d")).unit());
        assert_eq!(
            configure(&units).unwrap_err(),
            "an application is built on one framework, and code names two: `low` and `high` (one is \
             built on another with `Unit::on`)\n\
             there are two plugins `d` in code, one of shop::d and one of other::d"
        );
    }
}
