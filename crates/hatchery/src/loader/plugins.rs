//! Which plugins are there, and in which order they load.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::unit::Unit;
use crate::config::plugin_files::{PluginConfig, PluginEntry};
use crate::config::suggest::did_you_mean;

/// The plugins that are there.
#[derive(Debug)]
pub(crate) struct Resolved<'u> {
    /// In load order.
    pub(crate) order: Vec<&'u Unit>,
    /// What somebody should know of.
    pub(crate) notes: Vec<Note>,
}

/// A line for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) is_warning: bool,
    pub(crate) text: String,
}

/// Why plugins do not fit together: everything at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PluginError {
    /// Never empty.
    problems: Vec<String>,
}

/// Decides which of `units`, plugins in the order of their declaration, are there in the environment
/// `env`, and orders them: each after what it depends on, otherwise as declared.
///
/// A plugin that an enabled one depends on is enabled with it. Optional dependencies only order.
pub(crate) fn resolve<'u>(
    units: &'u [Unit],
    config: &PluginConfig,
    env: &str,
) -> Result<Resolved<'u>, PluginError> {
    let mut problems = strangers(units, config);
    let plugins: BTreeMap<&str, Candidate<'u>> = units
        .iter()
        .map(|unit| {
            (
                unit.name,
                Candidate::new(unit, config.plugins.get(unit.name)),
            )
        })
        .collect();
    let names = units.iter().map(|unit| unit.name);
    let wanted: Vec<&str> = names
        .filter(|name| plugins[name].enable && plugins[name].is_in(env))
        .collect();
    let needs = Needs::follow(&plugins, &wanted, env);
    problems.extend(needs.missing(&plugins, env));
    let mut order = Order {
        plugins: &plugins,
        there: &needs.there,
        done: Vec::new(),
        path: Vec::new(),
        circles: BTreeSet::new(),
    };
    for name in &wanted {
        order.visit(name);
    }
    problems.extend(order.circles.iter().map(|circle| {
        let circle = circle.join(" → ");
        format!("plugins depend on each other in a circle: {circle}")
    }));
    if !problems.is_empty() {
        return Err(PluginError { problems });
    }
    Ok(Resolved {
        order: order.done.iter().map(|name| plugins[name].unit).collect(),
        notes: needs.notes(&plugins, &order.done),
    })
}

/// What the files name and nobody has linked.
fn strangers(units: &[Unit], config: &PluginConfig) -> Vec<String> {
    let unknown = config.plugins.iter();
    unknown
        .filter(|(name, _)| units.iter().all(|unit| unit.name != **name))
        .map(|(name, entry)| {
            let suggestion = did_you_mean(name, units.iter().map(|unit| unit.name));
            format!(
                "{}: there is no plugin `{name}` in this executable{suggestion} \
                 (name it in code, with `App::plugin`)",
                entry.place
            )
        })
        .collect()
}

/// A plugin as declared in code and changed by files.
struct Candidate<'u> {
    unit: &'u Unit,
    enable: bool,
    /// Where a file has switched it off.
    off_at: Option<String>,
    env: Vec<String>,
    dependencies: Vec<String>,
    optional_dependencies: Vec<String>,
}

impl<'u> Candidate<'u> {
    fn new(unit: &'u Unit, entry: Option<&PluginEntry>) -> Self {
        let either = |file: Option<&Vec<String>>, code: &[&'static str]| match file {
            Some(file) => file.clone(),
            None => code.iter().map(|name| (*name).to_owned()).collect(),
        };
        let off = entry.filter(|entry| entry.enable == Some(false));
        Self {
            unit,
            enable: entry.and_then(|entry| entry.enable).unwrap_or(unit.enable),
            off_at: off
                .and_then(|entry| entry.enable_place.as_ref())
                .map(ToString::to_string),
            env: either(entry.and_then(|entry| entry.env.as_ref()), &unit.env),
            dependencies: either(
                entry.and_then(|entry| entry.dependencies.as_ref()),
                &unit.dependencies,
            ),
            optional_dependencies: either(
                entry.and_then(|entry| entry.optional_dependencies.as_ref()),
                &unit.optional_dependencies,
            ),
        }
    }

    /// Elsewhere it is as if it did not exist.
    fn is_in(&self, env: &str) -> bool {
        self.env.is_empty() || self.env.iter().any(|name| name == env)
    }
}

/// Who needs whom, from the plugins that are wanted.
struct Needs {
    /// All that are to be there.
    there: BTreeSet<String>,
    /// By what is needed: who needs it, in the order in which that was found.
    needed_by: BTreeMap<String, Vec<String>>,
}

impl Needs {
    fn follow(plugins: &BTreeMap<&str, Candidate<'_>>, wanted: &[&str], env: &str) -> Self {
        let mut needs = Self {
            there: wanted.iter().map(|name| (*name).to_owned()).collect(),
            needed_by: BTreeMap::new(),
        };
        let mut open: Vec<String> = wanted.iter().rev().map(|name| (*name).to_owned()).collect();
        while let Some(name) = open.pop() {
            for dependency in &plugins[name.as_str()].dependencies {
                let by = needs.needed_by.entry(dependency.clone()).or_default();
                by.push(name.clone());
                let exists = plugins
                    .get(dependency.as_str())
                    .is_some_and(|plugin| plugin.is_in(env));
                if exists && needs.there.insert(dependency.clone()) {
                    open.push(dependency.clone());
                }
            }
        }
        needs
    }

    fn missing(&self, plugins: &BTreeMap<&str, Candidate<'_>>, env: &str) -> Vec<String> {
        let missing = self.needed_by.iter();
        missing
            .filter(|(name, _)| !self.there.contains(*name))
            .map(|(name, by)| {
                let by = quoted(by);
                if let Some(plugin) = plugins.get(name.as_str()) {
                    return format!(
                        "plugin `{name}` is missing, needed by {by}: it is only there in the \
                         environment {}, and this is `{env}`",
                        quoted(&plugin.env)
                    );
                }
                let suggestion = did_you_mean(name, plugins.keys().copied());
                format!(
                    "plugin `{name}` is missing, needed by {by}{suggestion} \
                     (name it in code, with `App::plugin`)"
                )
            })
            .collect()
    }

    /// Who is there only because another one needs it.
    fn notes(&self, plugins: &BTreeMap<&str, Candidate<'_>>, order: &[&str]) -> Vec<Note> {
        let implicit = order.iter().filter(|name| !plugins[*name].enable);
        implicit
            .map(|name| {
                let by = self.needed_by.get(*name).map(|by| quoted(by));
                let by = by.unwrap_or_default();
                match &plugins[name].off_at {
                    Some(place) => Note {
                        is_warning: true,
                        text: format!(
                            "plugin `{name}` is enabled although {place} switches it off: \
                             needed by {by}"
                        ),
                    },
                    None => Note {
                        is_warning: false,
                        text: format!("plugin `{name}` is enabled: needed by {by}"),
                    },
                }
            })
            .collect()
    }
}

/// The depth-first walk that orders.
struct Order<'p, 'u> {
    plugins: &'p BTreeMap<&'u str, Candidate<'u>>,
    there: &'p BTreeSet<String>,
    done: Vec<&'u str>,
    /// From a root to where it is now.
    path: Vec<&'u str>,
    /// Each begins and ends with the same name: its first one in the alphabet.
    circles: BTreeSet<Vec<String>>,
}

impl Order<'_, '_> {
    fn visit(&mut self, name: &str) {
        let Some((&name, plugin)) = self.plugins.get_key_value(name) else {
            return;
        };
        if self.done.contains(&name) || !self.there.contains(name) {
            return;
        }
        if let Some(begin) = self.path.iter().position(|known| *known == name) {
            let mut circle: Vec<String> = self.path[begin..]
                .iter()
                .map(|name| (*name).to_owned())
                .collect();
            let first = (0..circle.len()).min_by_key(|index| circle[*index].clone());
            circle.rotate_left(first.unwrap_or(0));
            circle.extend(circle.first().cloned());
            self.circles.insert(circle);
            return;
        }
        self.path.push(name);
        for next in plugin
            .dependencies
            .iter()
            .chain(&plugin.optional_dependencies)
        {
            self.visit(next);
        }
        self.path.pop();
        self.done.push(name);
    }
}

/// `` `a` and `b` ``.
fn quoted(names: &[String]) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => String::new(),
    }
}

impl PluginError {
    pub(crate) fn new(problems: Vec<String>) -> Self {
        Self { problems }
    }

    pub(crate) fn into_problems(self) -> Vec<String> {
        self.problems
    }
}

impl fmt::Display for PluginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problems.join("\n"))
    }
}

impl std::error::Error for PluginError {}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_warning {
            f.write_str("warning: ")?;
        }
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests;
