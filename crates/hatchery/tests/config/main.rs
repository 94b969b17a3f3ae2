//! The verb `config`, and plugins by configuration. This program is its own application: called with
//! a verb, it is the command line; without, the test.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Output};

use hatchery::{App, Framework, Plugin, Unit};
use serde_json::{Value, json};

/// Of a framework, and enabled only when another one needs it.
struct Redis;

impl Plugin for Redis {
    fn unit(self) -> Unit {
        Unit::plugin("redis", hatchery::package!())
            .disabled()
            .section::<Settings>("redis")
            .config("default", "[redis]\nurl = 'redis://me:word@host/0'\n")
            .config("prod", "[redis]\nport = 6380\n")
    }
}

struct Session;

impl Plugin for Session {
    fn unit(self) -> Unit {
        Unit::plugin("session", hatchery::package!())
            .dependencies(&["redis"])
            .section::<Settings>("session")
    }
}

struct Base;

impl Framework for Base {
    fn unit(self) -> Unit {
        Unit::framework("base", hatchery::package!())
            .with_plugin(Redis)
            .section::<Settings>("base")
            .config("default", "[base]\nport = 1\n")
    }
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Settings {
    port: u16,
    url: String,
    secret: String,
}

fn main() -> ExitCode {
    if matches!(
        std::env::args().nth(1).as_deref(),
        Some("config" | "--check")
    ) {
        return App::new(hatchery::package!())
            .framework(Base)
            .plugin(Session)
            .section::<Settings>("shop")
            .run();
    }
    json_is_the_contract();
    people_get_a_line_for_each_value();
    plugins_that_do_not_fit_end_it();
    println!("3 passed");
    ExitCode::SUCCESS
}

/// A base directory with files, by their names below `config/`.
fn base(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    fs::create_dir(dir.path().join("config")).expect("config/");
    for (name, text) in files {
        fs::write(dir.path().join("config").join(name), text).expect("a file");
    }
    dir
}

fn ask(dir: &Path, args: &[&str]) -> Output {
    Command::new(std::env::current_exe().expect("this program"))
        .args(args)
        .arg("--base-dir")
        .arg(dir)
        .env_remove("HATCHERY_ENV")
        .env("HATCHERY__SHOP__SECRET", "abc")
        .output()
        .expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json_is_the_contract() {
    let dir = base(&[(
        "config.default.toml",
        "[redis]\nport = 1\n[shop]\nport = 80\n",
    )]);
    let output = ask(dir.path(), &["config", "--json", "--env", "prod"]);
    assert!(output.status.success(), "{output:?}");
    let values: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(
        values,
        json!({
            "base.port": {"value": 1, "place": "framework base, config.default.toml:2"},
            "redis.port": {"value": 6380, "place": "plugin redis, config.prod.toml:2"},
            "redis.url": {
                "value": "redis://***@host/0",
                "place": "plugin redis, config.default.toml:2",
            },
            "shop.port": {"value": 80, "place": "config/config.default.toml:4"},
            "shop.secret": {
                "value": "<string, 3 characters>",
                "place": "environment HATCHERY__SHOP__SECRET",
            },
        })
    );
    let said = text(&output.stderr);
    assert!(
        said.ends_with("plugin `redis` is enabled: needed by `session`\n"),
        "{said}"
    );
}

fn people_get_a_line_for_each_value() {
    // Nobody needs it any more: what it brings is not there, what is written for it does no harm.
    let dir = base(&[
        ("plugin.toml", "session = false\n"),
        ("config.default.toml", "[redis]\nport = 'any'\n"),
        ("config.blue_local.toml", "[shop]\nport = 80\n"),
    ]);
    let output = ask(dir.path(), &["config", "--scope", "blue"]);
    assert_eq!(
        text(&output.stdout),
        "base.port = 1                           # framework base, config.default.toml:2\n\
         redis.port = \"any\"                      # config/config.default.toml:2\n\
         shop.port = 80                          # config/config.blue_local.toml:2\n\
         shop.secret = \"<string, 3 characters>\"  # environment HATCHERY__SHOP__SECRET\n",
        "{output:?}"
    );
    assert_eq!(text(&output.stderr), "");
}

fn plugins_that_do_not_fit_end_it() {
    let dir = base(&[(
        "plugin.toml",
        "[session]\ndependencies = ['redsi', 'session']\n[audit]\nenable = true\n",
    )]);
    for verb in ["config", "--check"] {
        let output = ask(dir.path(), &[verb]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let said = text(&output.stderr);
        let (_, problems) = said.split_once(": in ").expect("where");
        let (_, problems) = problems.split_once(": ").expect("what");
        assert_eq!(
            problems,
            "config/plugin.toml:3:2: there is no plugin `audit` in this executable (name it in \
             code, with `App::plugin`)\n\
             plugin `redsi` is missing, needed by `session`, did you mean `redis`? (name it in \
             code, with `App::plugin`)\n\
             plugins depend on each other in a circle: session → session\n"
        );
    }
}
