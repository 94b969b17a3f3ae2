//! A controller that is put into a copy of the blog is served after the next build, without being
//! named anywhere; taken away, it is gone.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use hatchery::testing::Cluster;
use serde_json::{Value, json};

const FRESH: &str = "//! Not there a moment ago.

#[hatchery::get(\"/fresh\", name = \"fresh\")]
async fn fresh() -> &'static str {
    \"fresh\"
}
";

/// The blog's own directory, and the workspace's.
const BLOG: &str = env!("CARGO_MANIFEST_DIR");
const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// A copy of the blog, which is a workspace of its own. Its name is another one: it is built into
/// this target directory, where most of what it depends on is already.
struct Copy(PathBuf);

impl Copy {
    /// Always in the same place, so that the target directory does not grow from run to run.
    fn new() -> Self {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("added_file");
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(&root).unwrap();
        for name in ["build.rs", "src", "config", "view"] {
            copy(&Path::new(BLOG).join(name), &root.join(name));
        }
        let workspace = Path::new(WORKSPACE).canonicalize().unwrap();
        copy(&workspace.join("Cargo.lock"), &root.join("Cargo.lock"));
        let package = fs::read_to_string(Path::new(BLOG).join("Cargo.toml")).unwrap();
        let shared = fs::read_to_string(workspace.join("Cargo.toml")).unwrap();
        let manifest = manifest(&package, &shared, &workspace);
        fs::write(root.join("Cargo.toml"), manifest).unwrap();
        Self(root)
    }

    /// Builds it, with the workspace's own settings of cargo; the executable.
    fn build(&self) -> PathBuf {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let built = Command::new(env!("CARGO"))
            .args(["build", "--offline", "--quiet", "--color=never"])
            .arg("--manifest-path")
            .arg(self.0.join("Cargo.toml"))
            .current_dir(WORKSPACE)
            .env("CARGO_TARGET_DIR", target)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&built.stderr);
        assert!(built.status.success(), "{said}");
        target.join("debug/blog-copy")
    }

    /// What the verb `routes` says of `/fresh`.
    fn route(&self, executable: &Path) -> Option<Value> {
        let output = Command::new(executable)
            .args(["routes", "--json", "--base-dir"])
            .arg(&self.0)
            .output()
            .unwrap();
        let routes: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        assert!(routes.iter().any(|route| route["path"] == "/healthy"));
        routes.into_iter().find(|route| route["path"] == "/fresh")
    }
}

/// The package's manifest, with what it takes from its workspace.
fn manifest(package: &str, shared: &str, workspace: &Path) -> String {
    let package = package
        .replace("name = \"blog\"", "name = \"blog-copy\"")
        .replace("default-run = \"blog\"", "default-run = \"blog-copy\"");
    let (_, shared) = shared.split_once("[workspace.package]").unwrap();
    let paths = format!("path = \"{}/crates/", workspace.display());
    let shared = shared.replace("path = \"crates/", &paths);
    format!(
        "{package}\n[lib]\nname = \"blog\"\n\n[workspace]\nresolver = \"3\"\n\n\
         [workspace.package]{shared}"
    )
}

/// A file, or a directory and everything in it.
fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let name = entry.unwrap().file_name();
            copy(&from.join(&name), &to.join(&name));
        }
        return;
    }
    fs::copy(from, to).unwrap();
}

#[test]
fn a_controller_that_is_added_is_served_and_one_that_is_removed_is_gone() {
    let copy = Copy::new();
    let file = copy.0.join("src/app/controller/fresh.rs");
    fs::write(&file, FRESH).unwrap();
    let executable = copy.build();
    assert_eq!(
        copy.route(&executable),
        Some(json!({
            "method": "GET",
            "path": "/fresh",
            "name": "fresh",
            "middleware": [],
            "handler": "blog::app::controller::fresh::fresh",
            "place": "src/app/controller/fresh.rs:4",
        }))
    );
    let mut pool = Cluster::of(&executable).files(&copy.0).workers(1).start();
    assert_eq!(pool.get("/fresh").text(), "fresh");
    pool.stop();

    fs::remove_file(file).unwrap();
    let executable = copy.build();
    assert_eq!(copy.route(&executable), None);
}
