//! Layers, places and errors of the configuration.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use hatchery_master::settings::Workers;
use serde::Deserialize;
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

/// A configuration of one file.
fn one(text: &str) -> Config {
    let dir = base(&[("config.default.toml", text)]);
    Config::load(&sources(dir.path(), &[])).unwrap()
}

fn json_of(config: &Config) -> Json {
    config.root.to_json()
}

fn load_error(files: &[(&str, &str)], environment: &[(&str, &str)]) -> ConfigError {
    let dir = base(files);
    Config::load(&sources(dir.path(), environment)).unwrap_err()
}

#[test]
fn all_layers_are_optional() {
    let dir = TempDir::new().unwrap();
    let config = Config::load(&sources(dir.path(), &[])).unwrap();
    assert_eq!(json_of(&config), json!({}));
    assert_eq!(config.env(), "local");
    assert!(config.files().is_empty());
    assert_eq!(settings(&config).unwrap(), Settings::default());
}

#[test]
fn layers_lie_over_each_other() {
    let dir = base(&[
        (
            "config.default.toml",
            "a = 1\nb = 1\nc = 1\nd = 1\ne = 1\n[t]\nx = 1\ny = 1\n",
        ),
        ("config.prod.toml", "b = 2\nc = 2\nd = 2\n[t]\ny = 2\n"),
        ("config.local.toml", "b = 'only in local'\n"),
    ]);
    let mut sources = sources(dir.path(), &[("HATCHERY__C", "3"), ("HATCHERY__D", "3")]);
    sources.env = Some("prod".to_owned());
    sources.units = vec![UnitLayers {
        kind: UnitKind::Plugin,
        name: "audit".to_owned(),
        texts: vec![("default".to_owned(), "e = 0\nf = 0".to_owned())],
    }];
    sources.flags = vec![Override {
        key: "d".to_owned(),
        value: json!([4]),
        flag: "--dee".to_owned(),
    }];
    let config = Config::load(&sources).unwrap();
    assert_eq!(
        json_of(&config),
        json!({"a": 1, "b": 2, "c": 3, "d": [4], "e": 1, "f": 0, "t": {"x": 1, "y": 2}})
    );
    let files = ["config/config.default.toml", "config/config.prod.toml"];
    assert_eq!(config.files(), files.map(PathBuf::from));
    let places: Vec<_> = config
        .provenance()
        .map(|(key, value, place)| format!("{key} = {value} ({place}; {})", place.short()))
        .collect();
    assert_eq!(
        places,
        [
            "a = 1 (config/config.default.toml:1:5; config/config.default.toml:1)",
            "b = 2 (config/config.prod.toml:1:5; config/config.prod.toml:1)",
            "c = 3 (environment HATCHERY__C; environment HATCHERY__C)",
            "d = [4] (flag --dee; flag --dee)",
            "e = 1 (config/config.default.toml:5:5; config/config.default.toml:5)",
            "f = 0 (plugin audit, config.default.toml:2:5; plugin audit, config.default.toml:2)",
            "t.x = 1 (config/config.default.toml:7:5; config/config.default.toml:7)",
            "t.y = 2 (config/config.prod.toml:5:5; config/config.prod.toml:5)",
        ]
    );
}

#[test]
fn tables_merge_and_all_else_is_replaced() {
    for (below, above, merged) in [
        (
            "a = {b = 1, c = 2}",
            "a = {b = 9}",
            json!({"a": {"b": 9, "c": 2}}),
        ),
        ("a = [1, 2, 3]", "a = [9]", json!({"a": [9]})),
        ("a = 1", "", json!({"a": 1})),
        ("a = {b = 1}", "a = 5", json!({"a": 5})),
        ("a = 5", "a = {b = 1}", json!({"a": {"b": 1}})),
        (
            "a = [{x = 1, y = 2}]",
            "a = [{x = 3}]",
            json!({"a": [{"x": 3}]}),
        ),
        (
            "[[a]]\nx = 1\n[[a]]\nx = 2",
            "[[a]]\nx = 3",
            json!({"a": [{"x": 3}]}),
        ),
        ("a = {}", "", json!({"a": {}})),
    ] {
        let dir = base(&[("config.default.toml", below), ("config.local.toml", above)]);
        let config = Config::load(&sources(dir.path(), &[])).unwrap();
        assert_eq!(json_of(&config), merged, "{below} <- {above}");
    }
}

#[test]
fn variables_are_toml_or_else_strings() {
    for (name, text, expected) in [
        ("HATCHERY__A__B", "5", json!({"a": {"b": 5}})),
        (
            "HATCHERY__A__LONG_NAME",
            "true",
            json!({"a": {"long_name": true}}),
        ),
        ("HATCHERY__A", "10s", json!({"a": "10s"})),
        ("HATCHERY__A", "25%", json!({"a": "25%"})),
        ("HATCHERY__A", "", json!({"a": ""})),
        ("HATCHERY__A", "\"5\"", json!({"a": "5"})),
        ("HATCHERY__A", "nan", json!({"a": "nan"})),
        ("HATCHERY__A", "0.5", json!({"a": 0.5})),
        ("HATCHERY__A", "2026-11-21", json!({"a": "2026-11-21"})),
        ("HATCHERY__A", "[\"x\", 1]", json!({"a": ["x", 1]})),
        ("HATCHERY__A", "{ b = 0x1F }", json!({"a": {"b": 31}})),
        ("HATCHERY__A", "1\nb = 2", json!({"a": "1\nb = 2"})),
        ("HATCHERY_ROLE", "worker", json!({})),
    ] {
        let dir = TempDir::new().unwrap();
        let config = Config::load(&sources(dir.path(), &[(name, text)])).unwrap();
        assert_eq!(json_of(&config), expected, "{name}={text}");
    }
    // A key of a table beats the table, whatever the order of the environment.
    let variables = [("HATCHERY__A__B", "2"), ("HATCHERY__A", "{ b = 1, c = 1 }")];
    let config = Config::load(&sources(Path::new("/nowhere"), &variables)).unwrap();
    assert_eq!(json_of(&config), json!({"a": {"b": 2, "c": 1}}));
}

#[test]
fn the_environments_name() {
    type Case<'c> = (Option<&'c str>, Option<&'c str>, Option<&'c str>, &'c str);
    let cases: &[Case<'_>] = &[
        (None, None, None, "local"),
        (None, None, Some("prod"), "prod"),
        (None, Some(" staging \n"), Some("prod"), "staging"),
        (None, Some("\n"), Some("prod"), "prod"),
        (None, None, Some(""), "local"),
        (Some("flag_1"), Some("staging"), Some("prod"), "flag_1"),
    ];
    for (flag, file, variable, expected) in cases {
        let dir = base(&[]);
        if let Some(text) = file {
            fs::write(dir.path().join("config/env"), text).unwrap();
        }
        let variables: Vec<_> = variable
            .iter()
            .map(|name| ("HATCHERY_ENV", *name))
            .collect();
        let mut sources = sources(dir.path(), &variables);
        sources.env = flag.map(str::to_owned);
        assert_eq!(sources.env_name().unwrap(), *expected);
    }
    let error = load_error(&[("env", "../prod")], &[]);
    assert_eq!(error.code(), ConfigErrorCode::EnvironmentName);
    assert!(
        error
            .to_string()
            .starts_with("config/env:1:1: \"../prod\" is not the name"),
        "{error}"
    );
    let error = load_error(&[], &[("HATCHERY_ENV", "a b")]);
    assert!(
        error
            .to_string()
            .starts_with("environment HATCHERY_ENV: \"a b\" is not"),
        "{error}"
    );
}

#[test]
fn the_local_file_is_read_once_and_only_in_local() {
    let files = [
        ("config.local.toml", "a = 1"),
        ("config.default.toml", "b = 1"),
    ];
    let dir = base(&files);
    let mut sources = sources(dir.path(), &[]);
    let config = Config::load(&sources).unwrap();
    assert_eq!(config.files().len(), 2);
    for env in ["prod", "default"] {
        sources.env = Some(env.to_owned());
        let config = Config::load(&sources).unwrap();
        assert_eq!(config.files().len(), 1);
        assert_eq!(json_of(&config), json!({"b": 1}));
    }
}

#[test]
fn what_cannot_be_read_says_where() {
    for (text, expected) in [
        (
            "a = 1\nb = 2\nc = = 3\n",
            "config/config.default.toml:3:5: ",
        ),
        (
            "a = 1\na = 2\n",
            "config/config.default.toml:2:1: duplicate key",
        ),
        ("[a\n", "config/config.default.toml:1:3: "),
        ("ä = 1", "config/config.default.toml:1:1: "),
        ("a = 'ä", "config/config.default.toml:1:7: "),
        (
            "a = 99999999999999999999",
            "config/config.default.toml:1:5: a: a whole number must fit",
        ),
        (
            "[t]\na = [1, nan]",
            "config/config.default.toml:2:9: t.a[1]: a number must be finite",
        ),
    ] {
        let error = load_error(&[("config.default.toml", text)], &[]);
        let shown = error.to_string();
        assert!(shown.starts_with(expected), "{text:?}: {shown}");
        assert_eq!(shown.lines().count(), 1, "{shown}");
    }
    let deep = format!("a = {}1{}", "[".repeat(70), "]".repeat(70));
    let error = load_error(&[("config.default.toml", &deep)], &[]);
    assert!(error.to_string().contains("nested too deeply"), "{error}");
    let deeper = format!("{}a = 1", "a.".repeat(100_000));
    assert!(load_error(&[("config.default.toml", &deeper)], &[]).is_syntax());

    let dir = base(&[]);
    fs::write(
        dir.path().join("config/config.default.toml"),
        b"a = 1\nb = '\xff'",
    )
    .unwrap();
    fs::create_dir(dir.path().join("config/config.local.toml")).unwrap();
    let error = Config::load(&sources(dir.path(), &[("HATCHERY__A__", "1")])).unwrap_err();
    assert!(error.is_unreadable() && error.is_syntax());
    let lines: Vec<_> = error.problems().iter().map(ToString::to_string).collect();
    assert_eq!(lines[0], "config/config.default.toml:2:6: not UTF-8");
    assert!(
        lines[1].starts_with("config/config.local.toml: cannot be read: "),
        "{}",
        lines[1]
    );
    assert!(
        lines[2].starts_with("environment HATCHERY__A__: not the name of a key"),
        "{}",
        lines[2]
    );
    assert_eq!(lines.len(), 3);

    let long = "#".repeat(1 << 20) + "\n";
    let error = load_error(&[("config.default.toml", &long)], &[]);
    assert_eq!(
        error.to_string(),
        "config/config.default.toml: longer than 1024 KiB"
    );
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Shop {
    name: String,
    port: u16,
    tls: Option<Tls>,
    tags: Vec<String>,
    stores: Vec<Store>,
    by_city: HashMap<String, Store>,
    kind: Kind,
}

#[derive(Debug, Deserialize)]
struct Tls {
    cert: String,
    key: String,
}

#[derive(Debug, Deserialize)]
struct Store {
    #[serde(default)]
    floor_area: f64,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Kind {
    #[default]
    Small,
    Large(u32),
    Custom {
        width: u32,
    },
}

#[test]
fn sections_are_typed() {
    let config = one(
        "[shop]\nname = 'corner'\nport = 80\ntags = ['a']\nkind = { large = 3 }\n\
         [shop.tls]\ncert = 'c'\nkey = 'k'\n[[shop.stores]]\nfloor_area = 1\n\
         [shop.by_city.york]\nfloor_area = 2.5\n[other]\nkind = { custom = { width = 4 } }",
    );
    let children = Config::from_json(&config.to_json(), config.env()).unwrap();
    for config in [&config, &children] {
        let shop: Shop = config.section("shop").unwrap();
        assert_eq!((shop.name.as_str(), shop.port), ("corner", 80));
        assert_eq!(shop.tags, ["a"]);
        let tls = shop.tls.unwrap();
        assert_eq!((tls.cert.as_str(), tls.key.as_str()), ("c", "k"));
        assert!((shop.stores[0].floor_area - 1.0).abs() < 1e-9);
        assert!((shop.by_city["york"].floor_area - 2.5).abs() < 1e-9);
        assert_eq!(shop.kind, Kind::Large(3));
        assert_eq!(
            config.section::<Shop>("other").unwrap().kind,
            Kind::Custom { width: 4 }
        );
        assert_eq!(config.section::<Tls>("shop.tls").unwrap().cert, "c");
        // One that is not there.
        assert_eq!(config.section::<Shop>("nothing").unwrap().kind, Kind::Small);
        assert!(config.section::<Option<Tls>>("nothing").unwrap().is_none());
        assert!(config.section::<Json>("shop").unwrap().is_object());
    }
    let error = config.section::<Tls>("nothing").unwrap_err();
    assert_eq!(error.to_string(), "nothing.cert: required, but missing");
    assert!(error.is_missing_key());
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let text = "\
[shop]
nmae = 'corner'
  port = 70000
tags = ['a', 5, 'b', 6]
kind = 'lareg'
[shop.tls]
cert = 'c'
[[shop.stores]]
floor_aera = 1
[[shop.stores]]
floor_area = 'big'
[shop.by_city.york]
area = 1
[shop.by_city.'new york']
floor_area = true
";
    let error = one(text).section::<Shop>("shop").unwrap_err();
    let expected = "\
config/config.default.toml:2:1: unknown key `shop.nmae`, did you mean `name`?
config/config.default.toml:3:10: shop.port: expected u16, found `70000`
config/config.default.toml:4:14: shop.tags[1]: expected a string, found `5`
config/config.default.toml:4:22: shop.tags[3]: expected a string, found `6`
config/config.default.toml:5:8: shop.kind: `lareg` is not one of `small`, `large`, `custom`, did you mean `large`?
config/config.default.toml:6:1: shop.tls.key: required, but missing
config/config.default.toml:9:1: unknown key `shop.stores[0].floor_aera`, did you mean `floor_area`?
config/config.default.toml:11:14: shop.stores[1].floor_area: expected f64, found a string
config/config.default.toml:13:1: unknown key `shop.by_city.york.area`
config/config.default.toml:15:14: shop.by_city.\"new york\".floor_area: expected f64, found `true`";
    assert_eq!(error.to_string(), expected);
    assert!(error.is_unknown_key() && error.is_invalid_value() && error.is_missing_key());
    assert_eq!(error.code(), ConfigErrorCode::UnknownKey);
    let first = &error.problems()[0];
    assert_eq!(
        (first.key(), first.code().as_str()),
        ("shop.nmae", "unknown_key")
    );
    let place = first.place().unwrap();
    assert_eq!(place.path(), Some(Path::new("config/config.default.toml")));
    assert_eq!((place.line(), place.column()), (Some(2), Some(1)));
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", deny_unknown_fields, rename_all = "lowercase")]
enum Tagged {
    Disk { path: String },
}

#[derive(Debug, Deserialize)]
struct Strict {
    first: String,
    second: u8,
    store: Option<Tagged>,
}

#[test]
fn odd_types_still_get_a_place() {
    for (text, expected) in [
        (
            "s = 5",
            "config/config.default.toml:1:5: s: expected a table",
        ),
        (
            "s = [1]",
            "config/config.default.toml:1:5: s: expected a table",
        ),
        // Left out because it is wrong, `first` is not also missing.
        (
            "s = { first = 1, second = 2 }",
            "config/config.default.toml:1:15: s.first: expected a string, found `1`",
        ),
        (
            "[s]\nfirst = 'a'\nsecond = 2\n[s.store]\ntype = 'disk'\npath = 'p'\npaht = 'q'",
            "config/config.default.toml:7:1: unknown key `s.store.paht`, did you mean `path`?",
        ),
        (
            "[s]\nfirst = 'a'\nsecond = 2\nstore = { type = 'dsik' }",
            "config/config.default.toml:4:18: s.store.type: `dsik` is not one of `disk`",
        ),
    ] {
        let error = one(text).section::<Strict>("s").unwrap_err();
        assert!(error.to_string().starts_with(expected), "{text}: {error}");
        assert_eq!(error.problems().len(), 1, "{error}");
    }
    let config = one("[s]\nfirst = 'a'\nsecond = 2\nstore = { type = 'disk', path = 'p' }");
    let strict: Strict = config.section("s").unwrap();
    assert_eq!((strict.first.as_str(), strict.second), ("a", 2));
    assert!(matches!(strict.store, Some(Tagged::Disk { path }) if path == "p"));
}

#[test]
fn settings_come_from_their_tables() {
    let config = one("[cluster]\nworkers = 3\nlifetime = '30m'\n[listen]\naddresses = [':7009']");
    let good = settings(&config).unwrap();
    assert_eq!(good.cluster.workers, Workers::Count(3));
    assert_eq!(good.listen.addresses, [":7009"]);

    for (text, expected) in [
        (
            "[cluster]\n# a comment\nlifetme = '1h'\nhang_timeout = 10\nmemory_soft = 'much'\n\
             [listen]\naddresses = ['nowhere']\nbacklog = 'long'",
            "\
config/config.default.toml:3:1: unknown key `cluster.lifetme`, did you mean `lifetime`?
config/config.default.toml:4:16: cluster.hang_timeout: a number without a unit is not a duration, write \"10s\" or \"10ms\"
config/config.default.toml:5:15: cluster.memory_soft: `much` is not a size, write one like \"512MiB\" or \"1GB\"
config/config.default.toml:7:14: listen.addresses[0]: `nowhere` is not an address, write one like \"127.0.0.1:7001\", \"[::1]:7001\", \":7001\" or \"unix:/path\"
config/config.default.toml:8:11: listen.backlog: expected i32, found a string",
        ),
        (
            "[cluster]\nhang_timeout = '500ms'",
            "config/config.default.toml:2:16: cluster.suspect_after: 1s must be less than `hang_timeout` (500ms)",
        ),
        (
            "[cluster]\nspares = 2000",
            "config/config.default.toml:2:10: cluster.spares: 2000 is not from 0 to 1024",
        ),
    ] {
        assert_eq!(settings(&one(text)).unwrap_err().to_string(), expected);
    }
}

#[test]
fn a_variables_text_that_looks_like_a_number() {
    let dir = TempDir::new().unwrap();
    let config = Config::load(&sources(dir.path(), &[("HATCHERY__SHOP__NAME", "4711")])).unwrap();
    assert_eq!(
        config.section::<Shop>("shop").unwrap_err().to_string(),
        "environment HATCHERY__SHOP__NAME: shop.name: expected a string, found `4711` \
         (put the variable's value into double quotes)"
    );
}

#[test]
fn a_childs_configuration_must_be_an_object() {
    for bytes in ["", "[]", "5", "{\"a\":"] {
        let error = Config::from_json(bytes.as_bytes(), "prod").unwrap_err();
        assert!(error.is_syntax() && error.to_string().starts_with("effective configuration: "));
    }
    assert_eq!(Config::from_json(b"{}", "prod").unwrap().env(), "prod");
}
