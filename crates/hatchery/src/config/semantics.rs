//! The numbered semantics of the reference that are about the environment and the configuration.

use std::fs;
use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::loader::UnitKind;

/// A base directory with files, by their names below `config/`.
fn base(files: &[(&str, &str)]) -> TempDir {
    let dir = TempDir::new().unwrap();
    fs::create_dir(dir.path().join("config")).unwrap();
    for (name, text) in files {
        fs::write(dir.path().join("config").join(name), text).unwrap();
    }
    dir
}

fn sources(dir: &Path, environment: &[(&str, &str)]) -> Sources {
    Sources {
        base_dir: dir.to_owned(),
        environment: environment
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect(),
        ..Sources::default()
    }
}

fn unit(kind: UnitKind, name: &str, texts: &[(&str, &str)]) -> UnitLayers {
    UnitLayers {
        kind,
        name: name.to_owned(),
        texts: texts
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
            .collect(),
    }
}

#[test]
fn semantic_19_the_environment_is_flag_then_file_then_variable() {
    let dir = base(&[("env", "staging \n")]);
    let mut from = sources(
        dir.path(),
        &[("HATCHERY_ENV", "prod"), ("NODE_ENV", "test")],
    );
    assert_eq!(from.env_name().unwrap(), "staging");
    from.env = Some("unittest".to_owned());
    assert_eq!(from.env_name().unwrap(), "unittest");
    fs::remove_file(dir.path().join("config/env")).unwrap();
    from.env = None;
    assert_eq!(from.env_name().unwrap(), "prod");
    // Nobody else's variable counts.
    from.environment.remove(0);
    assert_eq!(from.env_name().unwrap(), "local");
    // The scope has no file: it is of the machine, not of the release.
    assert_eq!(from.scope_name().unwrap(), None);
    let mut from = sources(dir.path(), &[("HATCHERY_SCOPE", "blue")]);
    assert_eq!(from.scope_name().unwrap().as_deref(), Some("blue"));
    from.scope = Some("../green".to_owned());
    assert_eq!(
        from.scope_name().unwrap_err().to_string(),
        "flag --scope: \"../green\" is not the name of a scope: up to 64 letters, digits, `_` and `-`"
    );
}

#[test]
fn semantic_20_tables_merge_and_all_else_is_replaced() {
    for (left, right, result) in [
        (
            json!({"a": {"b": 1, "c": 2}}),
            json!({"a": {"b": 9}}),
            json!({"a": {"b": 9, "c": 2}}),
        ),
        (
            json!({"a": [1, 2, 3]}),
            json!({"a": [9]}),
            json!({"a": [9]}),
        ),
        (json!({"a": 1}), json!({}), json!({"a": 1})),
        (
            json!({"a": {"b": 1}}),
            json!({"a": null}),
            json!({"a": null}),
        ),
        (json!({"a": {"b": 1}}), json!({"a": 5}), json!({"a": 5})),
        (
            json!({"a": [{"x": 1, "y": 2}]}),
            json!({"a": [{"x": 3}]}),
            json!({"a": [{"x": 3}]}),
        ),
    ] {
        let mut config = Config::from_json(left.to_string().as_bytes(), "local").unwrap();
        config.lay(right.clone(), "test").unwrap();
        assert_eq!(config.root.to_json(), result, "{left} <- {right}");
    }
}

#[test]
fn semantic_21_a_plugins_prod_beats_the_applications_default() {
    // Each layer sets its own key and all that come after it: so every winner shows.
    let layers = [
        "default plugin a",
        "default plugin b",
        "default framework",
        "default app",
        "blue plugin a",
        "blue plugin b",
        "blue framework",
        "blue app",
        "prod plugin a",
        "prod plugin b",
        "prod framework",
        "prod app",
        "blue_prod plugin a",
        "blue_prod plugin b",
        "blue_prod framework",
        "blue_prod app",
    ];
    let text = |layer: &str| {
        let at = layers.iter().position(|known| *known == layer).unwrap();
        let keys = (at..layers.len()).map(|index| format!("k{index} = '{layer}'\n"));
        keys.collect::<String>()
    };
    let names = ["default", "blue", "prod", "blue_prod"];
    let texts = |who: &str| {
        names
            .map(|name| (name.to_owned(), text(&format!("{name} {who}"))))
            .to_vec()
    };
    let files = names.map(|name| (format!("config.{name}.toml"), text(&format!("{name} app"))));
    let files: Vec<_> = files
        .iter()
        .map(|(name, text)| (&**name, &**text))
        .collect();
    let dir = base(&files);
    let unit = |kind, name: &str, who: &str| UnitLayers {
        kind,
        name: name.to_owned(),
        texts: texts(who),
    };
    let mut from = sources(dir.path(), &[]);
    from.env = Some("prod".to_owned());
    from.scope = Some("blue".to_owned());
    from.units = vec![
        unit(UnitKind::Plugin, "a", "plugin a"),
        unit(UnitKind::Plugin, "b", "plugin b"),
        unit(UnitKind::Framework, "base", "framework"),
    ];
    let config = Config::load(&from).unwrap();
    // The last layer that sets a key has it.
    for (index, layer) in layers.iter().enumerate() {
        let value: Option<String> = config.get(&format!("k{index}")).unwrap();
        assert_eq!(value.as_deref(), Some(*layer), "k{index}");
    }
    // So the surprise: `k8` is the plugin's, although the application has a default.
    assert_eq!(
        config.place("k8").unwrap().to_string(),
        "plugin a, config.prod.toml:1:6"
    );
    assert_eq!((config.env(), config.scope()), ("prod", Some("blue")));
    // Without scope and in the environment `default` there is one layer.
    from.scope = None;
    from.env = Some("default".to_owned());
    let config = Config::load(&from).unwrap();
    let value: Option<String> = config.get("k15").unwrap();
    assert_eq!(value.as_deref(), Some("default app"));
}

#[test]
fn semantic_22_variables_and_flags_are_above_files_and_hooks() {
    let dir = base(&[(
        "config.default.toml",
        "[a]\nb = 1\nc = 1\nd = 1\n[e]\nf = 1",
    )]);
    let environment = [("HATCHERY__A__B", "2"), ("HATCHERY__E__F", "{ g = 2 }")];
    let mut from = sources(dir.path(), &environment);
    from.flags = vec![Override {
        key: "a.c".to_owned(),
        value: json!(3),
        flag: "--see".to_owned(),
    }];
    let mut config = Config::load(&from).unwrap();
    let table = json!({"a": {"b": 8, "c": 8, "d": 8}, "e": 8, "h": [8]});
    config.lay(table, "load_config of plugin remote").unwrap();
    assert_eq!(
        config.root.to_json(),
        json!({"a": {"b": 2, "c": 3, "d": 8}, "e": {"f": {"g": 2}}, "h": [8]})
    );
    assert_eq!(
        config.place("a.d").unwrap().to_string(),
        "load_config of plugin remote"
    );
    assert_eq!(
        config.place("a.b").unwrap().to_string(),
        "environment HATCHERY__A__B"
    );
    let error = config
        .lay(json!([1]), "load_config of plugin remote")
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "load_config of plugin remote: expected a table (a JSON object)"
    );
    // A value that is no TOML is a string; bad JSON of Egg's is not ignored but reported where it
    // is read.
    let from = sources(dir.path(), &[("HATCHERY__A__B", "{ nonsense")]);
    let error = Config::load(&from).unwrap().get::<u8>("a.b").unwrap_err();
    assert_eq!(
        error.to_string(),
        "environment HATCHERY__A__B: a.b: expected u8, found a string"
    );
}

#[test]
fn semantic_23_the_meta_file_has_the_origin_of_each_leaf() {
    let dir = base(&[
        (
            "config.default.toml",
            "list = [1, 2]\n[a]\nb = 1\nc = { d = 1 }\nempty = {}",
        ),
        ("config.local.toml", "list = [3]"),
    ]);
    let mut from = sources(dir.path(), &[("HATCHERY__A__B", "2")]);
    from.units = vec![unit(
        UnitKind::Plugin,
        "audit",
        &[("default", "[audit]\nlevel = 1")],
    )];
    let mut config = Config::load(&from).unwrap();
    let line = line!() + 1;
    config.set("a.set", 5).unwrap();
    let run = TempDir::new().unwrap();
    dump::write(run.path(), "agent", &config);
    let text = fs::read_to_string(run.path().join("agent_config_meta.json")).unwrap();
    let meta: Json = serde_json::from_str(&text).unwrap();
    assert_eq!(
        meta,
        json!({
            "list": "config/config.local.toml:1:8",
            "a": {
                "b": "environment HATCHERY__A__B",
                "c": {"d": "config/config.default.toml:4:11"},
                "empty": "config/config.default.toml:5:9",
                "set": format!("{}:{line}:12", file!()),
            },
            "audit": {"level": "plugin audit, config.default.toml:2:9"},
        })
    );
}

#[test]
fn semantic_24_dumps_are_masked_and_a_failed_one_stops_nothing() {
    let dir = base(&[(
        "config.default.toml",
        "[dump]\nignore = ['pin']\n[shop]\npin = 17\nclients = [{ id = 'a', secret = 'word' }]",
    )]);
    let config = Config::load(&sources(dir.path(), &[])).unwrap();
    let config = config.with_plugins(vec!["audit".to_owned()], Vec::new());
    let run = TempDir::new().unwrap();
    for _ in 0..2 {
        dump::write(run.path(), "application", &config);
    }
    let text = fs::read_to_string(run.path().join("application_config.json")).unwrap();
    let dumped: Json = serde_json::from_str(&text).unwrap();
    assert_eq!(
        dumped,
        json!({
            "env": "local",
            "scope": null,
            "plugins": ["audit"],
            "config": {
                "dump": {"ignore": ["pin"]},
                "shop": {
                    "pin": "<number>",
                    "clients": [{"id": "a", "secret": "<string, 4 characters>"}],
                },
            },
        })
    );
    assert_eq!(
        fs::read_dir(run.path()).unwrap().count(),
        2,
        "nothing else is left"
    );
    dump::write(&run.path().join("missing"), "application", &config);
}

#[test]
fn semantic_25_the_core_chain_is_the_frameworks_and_the_order_the_applications() {
    let both = "[middleware]\ncore = ['a']\norder = ['b']\n";
    let dir = base(&[("config.default.toml", both)]);
    let mut from = sources(dir.path(), &[("HATCHERY__MIDDLEWARE__CORE", "['c']")]);
    from.units = vec![
        unit(UnitKind::Plugin, "audit", &[("default", both)]),
        unit(UnitKind::Framework, "base", &[("default", both)]),
    ];
    assert_eq!(
        Config::load(&from).unwrap_err().to_string(),
        "\
config/config.default.toml:2:1: middleware.core: only a framework sets the core chain; the application's own goes into `middleware.order`
framework base, config.default.toml:3:1: middleware.order: only the application orders its middleware; a unit adds its own with `Unit::core_middleware`
plugin audit, config.default.toml:2:1: middleware.core: only a framework sets the core chain; a plugin adds to it with `Unit::core_middleware`
plugin audit, config.default.toml:3:1: middleware.order: only the application orders its middleware; a unit adds its own with `Unit::core_middleware`
environment HATCHERY__MIDDLEWARE__CORE: middleware.core: only a framework sets the core chain; the application's own goes into `middleware.order`"
    );
}

#[derive(Debug, serde::Deserialize)]
#[expect(dead_code, reason = "it cannot be read")]
struct Shop {
    name: Option<String>,
    city: String,
    port: u16,
    list: Vec<u8>,
}

#[test]
fn children_know_the_places_of_all_values() {
    let dir = base(&[(
        "config.default.toml",
        "[shop]\nport = 'x'\nlist = [1, 'two']\nnmae = 1",
    )]);
    let mut from = sources(dir.path(), &[("HATCHERY__SHOP__CITY", "5")]);
    from.scope = Some("blue".to_owned());
    let config = Config::load(&from).unwrap();
    let config = config.with_plugins(vec!["audit".to_owned()], vec!["config/plugin.toml".into()]);
    let child = Config::from_json(&config.to_json(), config.env()).unwrap();
    assert_eq!(
        child.root.to_json(),
        config.root.to_json(),
        "and nothing besides"
    );
    assert_eq!(
        (child.scope(), child.plugins()),
        (Some("blue"), config.plugins())
    );
    assert_eq!(child.files(), config.files());
    let here: Vec<_> = config.provenance().collect();
    let there: Vec<_> = child.provenance().collect();
    assert_eq!(here, there);

    let error = child.section::<Shop>("shop").unwrap_err();
    assert_eq!(
        error.to_string(),
        "config/config.default.toml:2:8: shop.port: expected u16, found a string\n\
         config/config.default.toml:3:12: shop.list[1]: expected u8, found a string\n\
         config/config.default.toml:4:1: unknown key `shop.nmae`, did you mean `name`?\n\
         environment HATCHERY__SHOP__CITY: shop.city: expected a string, found `5` (put the \
         variable's value into double quotes)"
    );
}

#[test]
fn code_sets_values_with_its_own_place() {
    let mut config = Config::from_json(b"{\"a\": {\"b\": 1}}", "local").unwrap();
    config
        .set("a", std::collections::BTreeMap::from([("c", 2)]))
        .unwrap();
    assert_eq!(config.root.to_json(), json!({"a": {"b": 1, "c": 2}}));
    let place = config.place("a.c").unwrap();
    assert!(place.short().starts_with(file!()), "{place}");
    let error = config.set("a..b", 1).unwrap_err().to_string();
    assert!(
        error.ends_with(": a..b: \"a..b\" is not the name of a key, write section.key"),
        "{error}"
    );
    assert_eq!(config.get::<u8>("a.x").unwrap(), None);
}
