//! Every rule of this crate, over the repository that it stands in.

use std::path::Path;
use std::sync::OnceLock;

use tidy::{Tree, assert_none, boundaries, code, text};

/// The repository, read once for all tests.
fn tree() -> &'static Tree {
    static TREE: OnceLock<Tree> = OnceLock::new();
    TREE.get_or_init(|| {
        // Asked for at run time: a build directory that two checkouts share may hold a test that
        // was compiled in the other one.
        let manifest_dir = std::env::var_os("CARGO_MANIFEST_DIR");
        let root = match &manifest_dir {
            Some(directory) => Path::new(directory),
            None => Path::new(env!("CARGO_MANIFEST_DIR")),
        }
        .join("..");
        match Tree::read(&root) {
            Ok(tree) => tree,
            Err(error) => panic!("{}: {error}", root.display()),
        }
    })
}

#[test]
fn the_tree_is_the_repository() {
    // Without this, rules would be content with an empty tree.
    for path in [
        "Cargo.toml",
        "crates/hatchery-sys/src/lib.rs",
        "tidy/tests/tidy.rs",
    ] {
        assert!(tree().has(path), "{path} is missing: the tree was not read");
    }
}

#[test]
fn supervisor_and_messages_are_pure() {
    assert_none(&boundaries::pure_crates(tree()));
}

#[test]
fn the_master_has_no_runtime_and_no_application() {
    assert_none(&boundaries::plain_master(tree()));
}

#[test]
fn applications_name_axum_through_the_facade_only() {
    assert_none(&boundaries::facade(tree()));
}

#[test]
fn every_crate_takes_the_shared_lints() {
    assert_none(&boundaries::shared_lints(tree()));
}

#[test]
fn cryptography_is_not_native() {
    assert_none(&boundaries::no_native_tls(tree()));
}

#[test]
fn unsafe_is_in_one_crate_and_explained() {
    assert_none(&code::unsafe_code(tree()));
}

#[test]
fn nothing_unwraps_outside_tests() {
    assert_none(&code::panics(tree()));
}

#[test]
fn files_are_short_or_have_a_reason() {
    assert_none(&code::lengths(tree()));
}

#[test]
fn every_source_file_says_what_it_is_for() {
    assert_none(&code::headings(tree()));
}

#[test]
fn white_space_is_tidy() {
    assert_none(&text::whitespace(tree()));
}

#[test]
fn no_path_of_one_machine_is_named() {
    assert_none(&text::machine_paths(tree()));
}

#[test]
fn the_documents_are_there() {
    assert_none(&text::documents(tree()));
}

#[test]
fn the_code_map_agrees_with_the_tree() {
    assert_none(&text::code_map(tree()));
}

#[test]
fn the_readme_explains_every_key() {
    assert_none(&text::configuration_keys(tree()));
}
