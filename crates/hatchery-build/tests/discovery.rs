//! A file that is put into an application is there after the next build, without being named.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail as it does")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Prints what its files have registered.
const MAIN: &str = "
hatchery_macros::app!();

pub struct Route(pub &'static str);

inventory::collect!(Route);

fn main() {
    let mut routes: Vec<_> = inventory::iter::<Route>.into_iter().map(|route| route.0).collect();
    routes.sort_unstable();
    println!(\"{}\", routes.join(\" \"));
}
";

/// The directory of a crate of this workspace.
fn member(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

fn write(root: &Path, file: &str, text: &str) {
    let path = root.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn register(route: &str) -> String {
    format!("inventory::submit!(crate::Route({route:?}));\n")
}

/// Builds and runs the application; what it prints, or what the build says.
fn run(root: &Path) -> Result<String, String> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("discovery");
    let output = Command::new(env!("CARGO"))
        .args(["run", "--offline", "--quiet", "--color=never"])
        .current_dir(root)
        .env("CARGO_TARGET_DIR", target)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    Err(text(&output.stderr))
}

#[test]
fn a_file_that_is_added_or_removed_is_noticed_by_the_next_build() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    let manifest = format!(
        "[package]\nname = \"found\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\
         [dependencies]\ninventory = \"0.3\"\nhatchery-macros = {{ path = {:?} }}\n\
         [build-dependencies]\nhatchery-build = {{ path = {:?} }}\n[workspace]\n",
        member("hatchery-macros"),
        member("hatchery-build"),
    );
    write(root, "Cargo.toml", &manifest);
    fs::copy(member("../Cargo.lock"), root.join("Cargo.lock")).unwrap();
    write(root, "build.rs", "fn main() { hatchery_build::scan(); }\n");
    write(root, "src/main.rs", MAIN);
    assert_eq!(run(root).unwrap(), "");

    write(root, "src/app/controller/home.rs", &register("/"));
    assert_eq!(run(root).unwrap(), "/");

    write(
        root,
        "src/app/controller/admin/blog-posts.rs",
        &register("/posts"),
    );
    assert_eq!(run(root).unwrap(), "/ /posts");

    fs::remove_file(root.join("src/app/controller/home.rs")).unwrap();
    assert_eq!(run(root).unwrap(), "/posts");

    write(root, "src/app/controller/1st.rs", "");
    let error = run(root).unwrap_err();
    let expected = "src/app/controller/1st.rs: a name begins with a letter and has letters, \
                    digits, `_` and `-` only";
    assert!(error.contains(expected), "{error}");
}
