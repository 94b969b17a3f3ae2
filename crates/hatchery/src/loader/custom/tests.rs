//! Kinds of directories that are not as the configuration says.

use std::fs;

use super::*;
use crate::Package;
use crate::config::Sources;
use crate::loader::{Unit, UnitKind};

/// What a start says of a type `User` of the kind `model`.
fn problem(toml: &str, kind: &'static str, inject: fn() -> Inject) -> Option<String> {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("config")).unwrap();
    fs::write(directory.path().join("config/config.default.toml"), toml).unwrap();
    let sources = Sources {
        base_dir: directory.path().to_owned(),
        ..Sources::default()
    };
    let config = Config::load(&sources).unwrap();
    let package = Package {
        name: "blog",
        version: "0",
        manifest_dir: "/",
        module: "blog",
    };
    let item: &'static Registration = Box::leak(Box::new(Registration {
        module: "blog::app::model::user",
        name: "User",
        file: "src/app/model/user.rs",
        line: 7,
        item: Item::Loaded {
            kind,
            type_id: TypeId::of::<u32>,
            inject,
            load: |_| Ok(()),
        },
    }));
    let unit = Unit::new(UnitKind::Application, "blog", package);
    let order = LoadOrder::new(vec![unit], &[], [item]).unwrap();
    check(&order, &config).err().map(|error| error.to_string())
}

fn application() -> Inject {
    Inject::Application
}

#[test]
fn a_kind_that_is_declared_is_loaded() {
    let toml = "[custom_loader.model]\n";
    assert_eq!(problem(toml, "model", application), None);
    let toml = "[custom_loader.model]\ninject = \"context\"\n";
    assert_eq!(problem(toml, "model", || Inject::Context), None);
}

#[test]
fn a_kind_that_nobody_declares_is_an_error() {
    assert_eq!(
        problem("", "model", || Inject::Context).unwrap(),
        "src/app/model/user.rs:7: `User` is of the kind `model`, which no configuration declares: \
         write `[custom_loader.model]` with `inject = \"context\"` into config/config.default.toml"
    );
    assert_eq!(
        problem("[custom_loader.models]\n", "model", application).unwrap(),
        "src/app/model/user.rs:7: `User` is of the kind `model`, which no configuration declares: \
         the configuration has `[custom_loader.models]`"
    );
}

#[test]
fn a_type_and_its_kind_agree_on_what_it_is_made_from() {
    let toml = "[custom_loader.model]\ninject = \"context\"\n";
    assert_eq!(
        problem(toml, "model", application).unwrap(),
        "config/config.default.toml:2:10: `custom_loader.model.inject` is \"context\", but `User` is \
         loaded from the application (src/app/model/user.rs:7)"
    );
}

#[test]
fn a_directory_of_hatcherys_own_is_no_kind() {
    assert_eq!(
        problem(
            "[custom_loader.service]\n[custom_loader.model]\n",
            "model",
            application
        )
        .unwrap(),
        "config/config.default.toml:1:1: `custom_loader.service`: the directory `service` is \
         Hatchery's own, choose another name"
    );
    assert_eq!(
        problem("", "controller", application).unwrap(),
        "src/app/model/user.rs:7: `User`: the directory `controller` is Hatchery's own: #[load] is \
         for directories of another name"
    );
}
