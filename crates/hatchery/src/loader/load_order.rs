//! The load order: units, and in each unit what its source registers.

use std::fmt;

use super::registry::Registration;
use super::unit::Unit;

/// The load units of this process in load order: plugins, frameworks, the application.
#[derive(Debug)]
pub(crate) struct LoadOrder {
    units: Vec<LoadUnit>,
}

/// A unit that loads, and what it registers, by file and line.
#[derive(Debug)]
pub(crate) struct LoadUnit {
    pub(crate) unit: Unit,
    pub(crate) items: Vec<&'static Registration>,
}

/// Annotated items that belong to no unit: their crate is linked, and nobody names its plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unowned {
    /// A crate's name, and the place of one of its items.
    crates: Vec<(&'static str, String)>,
}

impl LoadOrder {
    /// Gives each registration to the unit whose module is the longest prefix of its own. What
    /// belongs to one of `absent` (units that are known and do not load) does not load either.
    pub(crate) fn new(
        order: Vec<Unit>,
        absent: &[Unit],
        registrations: impl IntoIterator<Item = &'static Registration>,
    ) -> Result<Self, Unowned> {
        let mut units: Vec<_> = order
            .into_iter()
            .map(|unit| LoadUnit {
                unit,
                items: Vec::new(),
            })
            .collect();
        let mut unowned: Vec<(&'static str, String)> = Vec::new();
        for item in registrations {
            let present = units.iter().enumerate().filter_map(|(index, unit)| {
                Some((depth(unit.unit.package.module, item.module)?, Some(index)))
            });
            let away = absent
                .iter()
                .filter_map(|unit| Some((depth(unit.package.module, item.module)?, None)));
            // Of two units of one module the later one has it.
            match present.chain(away).max_by_key(|(depth, _)| *depth) {
                Some((_, Some(index))) => units[index].items.push(item),
                Some((_, None)) => {}
                None => {
                    let name = item.module.split("::").next().unwrap_or_default();
                    if !unowned.iter().any(|(known, _)| *known == name) {
                        unowned.push((name, item.place()));
                    }
                }
            }
        }
        if !unowned.is_empty() {
            return Err(Unowned { crates: unowned });
        }
        for unit in &mut units {
            unit.items
                .sort_by_key(|item| (item.file, item.line, item.name));
        }
        Ok(Self { units })
    }

    /// The units in load order.
    pub(crate) fn units(&self) -> &[LoadUnit] {
        &self.units
    }

    /// All registrations in load order, each with its unit.
    pub(crate) fn items(&self) -> impl Iterator<Item = (&Unit, &'static Registration)> {
        self.units
            .iter()
            .flat_map(|unit| unit.items.iter().map(move |item| (&unit.unit, *item)))
    }

    /// The same, to take the units' hooks out of them.
    pub(crate) fn units_mut(&mut self) -> &mut [LoadUnit] {
        &mut self.units
    }
}

impl Unowned {
    /// Looks for items that are in none of these modules.
    pub(super) fn find(
        modules: &[&str],
        registrations: impl IntoIterator<Item = &'static Registration>,
    ) -> Result<(), Self> {
        let mut crates: Vec<(&'static str, String)> = Vec::new();
        for item in registrations {
            let name = item.module.split("::").next().unwrap_or_default();
            let is_owned = modules
                .iter()
                .any(|module| depth(module, item.module).is_some());
            if !is_owned && !crates.iter().any(|(known, _)| *known == name) {
                crates.push((name, item.place()));
            }
        }
        if crates.is_empty() {
            return Ok(());
        }
        Err(Self { crates })
    }
}

impl Registration {
    /// `file:line`.
    pub(crate) fn place(&self) -> String {
        format!("{}:{}", self.file, self.line)
    }
}

impl Unit {
    /// `plugin audit`, `framework base`, `application blog`.
    pub(crate) fn title(&self) -> String {
        self.kind.title(self.name)
    }
}

/// How much of `module` the unit of module `prefix` has, when it is in it at all.
fn depth(prefix: &str, module: &str) -> Option<usize> {
    let rest = module.strip_prefix(prefix)?;
    (rest.is_empty() || rest.starts_with("::")).then_some(prefix.len())
}

impl fmt::Display for Unowned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, place)) in self.crates.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            write!(
                f,
                "the crate `{name}` is linked and registers items ({place}), but no plugin or \
                 framework of it is named in code: add `.plugin(…)` or `.framework(…)` to the `App`"
            )?;
        }
        Ok(())
    }
}

impl std::error::Error for Unowned {}

#[cfg(test)]
mod tests {
    use super::super::UnitKind;
    use super::*;
    use crate::Package;
    use crate::loader::registry::Item;

    const fn package(module: &'static str) -> Package {
        Package {
            name: "x",
            version: "0",
            manifest_dir: "/",
            module,
        }
    }

    const fn action(module: &'static str, file: &'static str, line: u32) -> Registration {
        Registration {
            module,
            name: "item",
            file,
            line,
            item: Item::Action,
        }
    }

    static ITEMS: [Registration; 5] = [
        action("blog::app::controller", "src/b.rs", 1),
        action("blog::audit::hooks", "audit.rs", 3),
        action("blog::audit", "audit.rs", 2),
        action("blog::auditor", "src/a.rs", 9),
        action("blog::off", "off.rs", 1),
    ];

    fn order() -> Vec<Unit> {
        vec![
            Unit::plugin("audit", package("blog::audit")),
            Unit::new(UnitKind::Application, "blog", package("blog")),
        ]
    }

    #[test]
    fn the_longest_module_owns_an_item_and_files_order_it() {
        let off = [Unit::plugin("off", package("blog::off"))];
        let order = LoadOrder::new(order(), &off, &ITEMS).unwrap();
        let seen: Vec<_> = order
            .items()
            .map(|(unit, item)| format!("{} {}", unit.title(), item.place()))
            .collect();
        let expected = [
            "plugin audit audit.rs:2",
            "plugin audit audit.rs:3",
            "application blog src/a.rs:9",
            "application blog src/b.rs:1",
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_linked_crate_that_nobody_names_is_an_error() {
        static STRANGE: [Registration; 2] = [
            action("metrics::a", "m.rs", 4),
            action("metrics", "m.rs", 5),
        ];
        let error = LoadOrder::new(order(), &[], ITEMS.iter().chain(&STRANGE)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the crate `metrics` is linked and registers items (m.rs:4), but no plugin or framework \
             of it is named in code: add `.plugin(…)` or `.framework(…)` to the `App`"
        );
    }
}
