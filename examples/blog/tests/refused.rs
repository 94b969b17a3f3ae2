//! What the blog says when it cannot start: word for word, with the place of each mistake.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::fs;
use std::process::Command;

use hatchery::testing::{Ended, SOON};
use tempfile::TempDir;

/// What `blog --check` says with this text in a file of the configuration, in the environment
/// `unittest`. It must end with 1.
fn refused(file: &str, text: &str) -> String {
    let base = TempDir::new().unwrap();
    let config = base.path().join("config");
    fs::create_dir(&config).unwrap();
    for name in ["config.default.toml", "plugin.toml"] {
        let from = format!("{}/config/{name}", env!("CARGO_MANIFEST_DIR"));
        fs::copy(from, config.join(name)).unwrap();
    }
    let view = concat!(env!("CARGO_MANIFEST_DIR"), "/view");
    std::os::unix::fs::symlink(view, base.path().join("view")).unwrap();
    fs::write(config.join(file), text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_blog"));
    command
        .args(["--check", "--env", "unittest", "--base-dir"])
        .arg(base.path());
    let ended = Ended::of(command, SOON);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let said = ended
        .stderr
        .replace(&base.path().display().to_string(), "BASE");
    said.trim_end().to_owned()
}

fn config(text: &str) -> String {
    refused("config.unittest.toml", text)
}

fn plugins(text: &str) -> String {
    refused("plugin.unittest.toml", text)
}

/// An entry of `[[routes]]`.
fn route(route: &str, handler: &str, more: &str) -> String {
    config(&format!(
        "[[routes]]\ntype = \"http\"\nroute = {route:?}\nhandler = {handler:?}\n{more}\n"
    ))
}

#[test]
fn keys_that_nobody_reads_and_values_of_another_type() {
    assert_eq!(
        config("[blog]\npagesize = 3\npage_size = \"many\"\n[blgo]\n"),
        "blog: in BASE: config/config.unittest.toml:2:1: unknown key `blog.pagesize`, did you mean \
         `page_size`?\n\
         config/config.unittest.toml:3:13: blog.page_size: expected usize, found a string\n\
         config/config.unittest.toml:4:2: unknown table `blgo`, did you mean `blog`?"
    );
    assert_eq!(
        config("[blog\n"),
        "blog: in BASE: config/config.unittest.toml:1:6: unclosed table, expected `]`"
    );
}

#[test]
fn plugins_that_the_code_or_the_environment_does_not_have() {
    assert_eq!(
        plugins("[audti]\nenable = true\n[audit]\ndependencies = [\"redis\"]\n"),
        "blog: in BASE: config/plugin.unittest.toml:1:2: there is no plugin `audti` in this \
         executable, did you mean `audit`? (name it in code, with `App::plugin`)\n\
         plugin `redis` is missing, needed by `audit` (name it in code, with `App::plugin`)"
    );
    assert_eq!(
        plugins("[audit]\ndependencies = [\"audit\"]\n"),
        "blog: in BASE: plugins depend on each other in a circle: audit → audit"
    );
    assert_eq!(
        plugins("[audit]\nenabel = true\n"),
        "blog: in BASE: config/plugin.unittest.toml:2:1: unknown key `audit.enabel`, did you mean \
         `enable`?"
    );
}

#[test]
fn middleware_that_nobody_has_or_that_is_there_twice() {
    assert_eq!(
        config("[middleware]\norder = [\"timin\", \"admin_only\", \"admin_only\"]\n"),
        "blog: cannot start: middleware `admin_only` redefined: config/config.unittest.toml:2:19 \
         has put it into the chain already, config/config.unittest.toml:2:33 names it again; \
         config/config.unittest.toml:2:10: no middleware is called `timin`, did you mean `timing`?"
    );
}

#[test]
fn middleware_whose_options_do_not_fit() {
    assert_eq!(
        config("[middleware.timing]\nmatch = \"/api\"\n"),
        "blog: cannot start: middleware `timing` has both `match` \
         (config/config.unittest.toml:2:9) and `ignore` (config/config.default.toml:16:10): keep \
         one of them"
    );
    assert_eq!(
        config("[middleware.timing]\nheader = 3\n"),
        "blog: cannot start: middleware `timing` (examples/blog/src/app/middleware/timing.rs:18): \
         config/config.unittest.toml:2:10: middleware.timing.header: expected a string, found `3`"
    );
}

#[test]
fn directories_of_a_kind_that_they_are_not() {
    assert_eq!(
        config("[custom_loader.model]\ninject = \"context\"\n[custom_loader.service]\n"),
        "blog: cannot start: config/config.unittest.toml:3:1: `custom_loader.service`: the \
         directory `service` is Hatchery's own, choose another name; \
         config/config.unittest.toml:2:10: `custom_loader.model.inject` is \"context\", but `Store` \
         is loaded from the application (examples/blog/src/app/model/store.rs:24)"
    );
    // Where nobody declares it.
    let said = refused(
        "config.default.toml",
        "[middleware.timing]\nheader = \"x-took\"\n",
    );
    assert_eq!(
        said,
        "blog: cannot start: examples/blog/src/app/model/store.rs:24: `Store` is of the kind \
         `model`, which no configuration declares: write `[custom_loader.model]` with `inject = \
         \"application\"` into config/config.default.toml"
    );
}

#[test]
fn routes_whose_handler_method_or_middleware_nobody_has() {
    assert_eq!(
        route("/x", "serach.find", ""),
        "blog: cannot start: config/config.unittest.toml:1:1: no handler is called `serach.find`, \
         did you mean `search.find`?"
    );
    assert_eq!(
        route("/x", "search.find", "method = \"gte\""),
        "blog: cannot start: config/config.unittest.toml:1:1: unknown method `gte`, did you mean \
         `GET`?"
    );
    assert_eq!(
        route("/x", "search.find", "middlewares = [\"timng\"]"),
        "blog: cannot start: config/config.unittest.toml:1:1: no middleware is called `timng`, did \
         you mean `timing`?"
    );
}

#[test]
fn routes_that_are_taken_name_both_places() {
    assert_eq!(
        route("/posts", "search.find", ""),
        "blog: cannot start: config/config.unittest.toml:1:1: GET /posts has a route already, at \
         examples/blog/src/app/controller/posts.rs:21; remove one of the two"
    );
    assert_eq!(
        route("/posts/{slug}", "search.find", ""),
        "blog: cannot start: config/config.unittest.toml:1:1: /posts/{slug} is the same path as \
         /posts/{id} at examples/blog/src/app/controller/posts.rs:26: give its parameters the same \
         names"
    );
    assert_eq!(
        route("/x", "search.find", "name = \"home\""),
        "blog: cannot start: config/config.unittest.toml:1:1: the name `home` is that of / at \
         examples/blog/src/app/router.rs:11; a name belongs to one path"
    );
}

#[test]
fn what_cannot_be_loaded_is_named_with_its_causes() {
    assert_eq!(
        config("[blog]\ndirectory = \"/proc/none\"\n"),
        "blog: cannot start: examples/blog/src/app/model/store.rs:24: `Store` could not be loaded: \
         blog.directory /proc/none: No such file or directory (os error 2)"
    );
}
