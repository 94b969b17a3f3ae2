//! Which plugins are there, in which order, and why not.

use super::*;
use crate::config::Sources;

fn plugin(name: &'static str) -> Unit {
    Unit::plugin(name, crate::package!())
}

/// What files of these names and texts, below `config/`, say in the environment `env`.
fn files(files: &[(&str, &str)], env: &str) -> PluginConfig {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("config")).unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join("config").join(name), text).unwrap();
    }
    PluginConfig::load(&Sources {
        base_dir: dir.path().to_owned(),
        env: Some(env.to_owned()),
        ..Sources::default()
    })
    .unwrap()
}

/// The order of what is there, and the notes, in the environment `prod` with this `plugin.toml`.
fn resolved(units: &[Unit], text: &str) -> (String, String) {
    let resolved = resolve(units, &files(&[("plugin.toml", text)], "prod"), "prod").unwrap();
    let order: Vec<_> = resolved.order.iter().map(|unit| unit.name).collect();
    let notes: Vec<_> = resolved.notes.iter().map(ToString::to_string).collect();
    (order.join(" "), notes.join("\n"))
}

fn error(units: &[Unit], text: &str) -> String {
    let files = files(&[("plugin.toml", text)], "prod");
    resolve(units, &files, "prod").unwrap_err().to_string()
}

#[test]
fn semantic_26_a_plugin_that_another_one_needs_is_enabled_with_it() {
    let units = [
        plugin("session").dependencies(&["redis", "cookies"]),
        plugin("redis").disabled(),
        plugin("cookies"),
    ];
    assert_eq!(
        resolved(&units, ""),
        (
            "redis cookies session".to_owned(),
            "plugin `redis` is enabled: needed by `session`".to_owned()
        )
    );
    // Switched off by hand, it is a warning and no error.
    assert_eq!(
        resolved(&units, "cookies = true\n[redis]\nenable = false"),
        (
            "redis cookies session".to_owned(),
            "warning: plugin `redis` is enabled although config/plugin.toml:3:1 switches it off: \
             needed by `session`"
                .to_owned()
        )
    );
    assert_eq!(
        resolved(&units, "session = false\nredis = false").0,
        "cookies"
    );
    // The need may be a far one.
    let units = [
        plugin("a").dependencies(&["b"]),
        plugin("b").disabled().dependencies(&["c"]),
        plugin("c").disabled(),
        plugin("d").dependencies(&["c"]),
    ];
    assert_eq!(
        resolved(&units, "c = false"),
        (
            "c b a d".to_owned(),
            "warning: plugin `c` is enabled although config/plugin.toml:1:1 switches it off: needed \
             by `b` and `d`\n\
             plugin `b` is enabled: needed by `a`"
                .to_owned()
        )
    );
}

#[test]
fn semantic_27_an_optional_dependency_only_orders() {
    let units = [
        plugin("view").optional_dependencies(&["i18n", "nobody"]),
        plugin("i18n"),
    ];
    assert_eq!(resolved(&units, "").0, "i18n view");
    assert_eq!(
        resolved(&units, "i18n = false"),
        ("view".to_owned(), String::new())
    );
    // What only an absent one depends on is not pulled in either.
    let units = [
        plugin("view").optional_dependencies(&["i18n"]),
        plugin("i18n").disabled().dependencies(&["cookies"]),
        plugin("cookies").disabled(),
    ];
    assert_eq!(resolved(&units, ""), ("view".to_owned(), String::new()));
}

#[test]
fn semantic_28_one_error_names_all_that_is_missing_and_all_circles() {
    let units = [
        plugin("session").dependencies(&["redsi", "security"]),
        plugin("cache").dependencies(&["redsi"]),
        plugin("redis"),
        plugin("security").env(&["local", "unittest"]),
        plugin("a").dependencies(&["b"]),
        plugin("b").dependencies(&["c"]),
        plugin("c").dependencies(&["a"]),
        plugin("self").optional_dependencies(&["self"]),
    ];
    assert_eq!(
        error(&units, "# first\n[audti]\nenable = true\n[cahce]\nenv = []"),
        "config/plugin.toml:2:2: there is no plugin `audti` in this executable (name it in code, \
         with `App::plugin`)\n\
         config/plugin.toml:4:2: there is no plugin `cahce` in this executable, did you mean \
         `cache`? (name it in code, with `App::plugin`)\n\
         plugin `redsi` is missing, needed by `session` and `cache`, did you mean `redis`? (name it \
         in code, with `App::plugin`)\n\
         plugin `security` is missing, needed by `session`: it is only there in the environment \
         `local` and `unittest`, and this is `prod`\n\
         plugins depend on each other in a circle: a → b → c → a\n\
         plugins depend on each other in a circle: self → self"
    );
}

#[test]
fn semantic_29_a_plugin_of_other_environments_is_as_if_it_were_not_there() {
    let units = [
        plugin("development").env(&["local"]),
        plugin("view").optional_dependencies(&["development"]),
    ];
    assert_eq!(resolved(&units, "development = true").0, "view");
    // The files may say otherwise.
    assert_eq!(
        resolved(&units, "development = { env = ['prod'] }").0,
        "development view"
    );
    assert_eq!(
        resolved(&units, "[view]\nenv = ['local']\n[development]\nenv = []").0,
        "development"
    );
}

#[test]
fn semantic_30_the_order_is_depth_first_over_the_declaration() {
    let units = [
        plugin("d").dependencies(&["b", "c"]),
        plugin("c"),
        plugin("b").dependencies(&["a"]),
        plugin("a"),
        plugin("e").optional_dependencies(&["f"]),
        plugin("f"),
    ];
    for _ in 0..3 {
        assert_eq!(resolved(&units, "").0, "a b c d f e");
    }
    // The files' own order does not matter.
    assert_eq!(resolved(&units, "f = true\na = true").0, "a b c d f e");
}

#[test]
fn semantic_31_files_override_what_code_declares() {
    let units = [
        plugin("a").dependencies(&["b"]),
        plugin("b"),
        plugin("c").disabled(),
    ];
    let text = "c = true\n[a]\ndependencies = ['c']\noptional_dependencies = ['b']";
    assert_eq!(resolved(&units, text).0, "c b a");
    // Keys that a file does not name are as before, also from file to file.
    let files = files(
        &[
            (
                "plugin.toml",
                "b = false\nc = false\n[a]\ndependencies = []",
            ),
            ("plugin.prod.toml", "[b]\nenable = true\n"),
        ],
        "prod",
    );
    let order = resolve(&units, &files, "prod").unwrap().order;
    let order: Vec<_> = order.iter().map(|unit| unit.name).collect();
    assert_eq!(order, ["a", "b"]);
    let names: Vec<_> = files.files.iter().map(|file| file.to_str()).collect();
    assert_eq!(
        names,
        [Some("config/plugin.toml"), Some("config/plugin.prod.toml")]
    );
}

#[test]
fn plugin_files_are_checked_like_all_others() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("config")).unwrap();
    let text = "a = 'on'\n[b]\nenabel = true\nenv = 'prod'\n";
    std::fs::write(dir.path().join("config/plugin.toml"), text).unwrap();
    std::fs::write(dir.path().join("config/plugin.local.toml"), "c = = 1").unwrap();
    let sources = Sources {
        base_dir: dir.path().to_owned(),
        ..Sources::default()
    };
    let error = PluginConfig::load(&sources).unwrap_err().to_string();
    let lines: Vec<_> = error.lines().collect();
    assert!(
        lines[0].starts_with("config/plugin.local.toml:1:5: "),
        "{error}"
    );
    assert_eq!(
        lines[1..],
        [
            "config/plugin.toml:1:5: a: expected `true`, `false` or a table",
            "config/plugin.toml:3:1: unknown key `b.enabel`, did you mean `enable`?",
            "config/plugin.toml:4:7: b.env: expected a sequence, found a string",
        ]
    );
}
