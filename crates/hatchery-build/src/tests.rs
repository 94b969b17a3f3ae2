//! What is found below `src/app`, and what ends the build.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use crate::found::{Found, find};
use crate::write;

/// A crate with these files below `src/app`.
fn application(files: &[&str]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    for file in files {
        let (path, text) = file.split_once(": ").unwrap_or((file, ""));
        let path = root.path().join("src/app").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}

fn found(root: &Path) -> Found {
    find(&root.join("src/app"))
}

/// The modules of these files.
fn modules(files: &[&str]) -> String {
    let root = application(files);
    let found = found(root.path());
    assert!(found.problems.is_empty(), "{:?}", found.problems);
    write::text(&found)
}

/// What ends the build.
fn problems(files: &[&str]) -> Vec<String> {
    let root = application(files);
    let problems = found(root.path()).problems;
    problems.iter().map(|one| one.shown(root.path())).collect()
}

#[test]
fn files_and_directories_are_modules() {
    let text = modules(&[
        "router.rs",
        "controller/home.rs",
        "controller/admin/blog-posts.rs",
        "controller/type.rs",
        "extend/context.rs",
        "extend/context.unittest.rs",
        "view/page.html",
        ".hidden.rs",
    ]);
    let expected = r#"pub mod controller {
    pub mod admin {
        #[path = "blog-posts.rs"]
        pub mod blog_posts;
    }
    pub mod home;
    #[path = "type.rs"]
    pub mod r#type;
}
pub mod extend {
    pub mod context;
    #[path = "context.unittest.rs"]
    pub mod context_unittest;
}
pub mod router;
/// Everything of `extend`.
pub mod prelude {
    pub use super::extend::context::*;
    pub use super::extend::context_unittest::*;
}
"#;
    assert_eq!(text, expected);
}

#[test]
fn an_application_without_files_is_one_too() {
    let text = "/// Everything of `extend`.\npub mod prelude {\n}\n";
    assert_eq!(modules(&[]), text);
}

#[test]
fn every_directory_is_looked_at_again() {
    let root = application(&["controller/admin/posts.rs", "model/mod.rs: pub mod user;"]);
    let found = found(root.path());
    let shown = |path: &std::path::PathBuf| crate::shown(path, root.path());
    let directories: Vec<_> = found.directories.iter().map(shown).collect();
    let expected = [
        "src/app",
        "src/app/controller",
        "src/app/controller/admin",
        "src/app/model",
    ];
    assert_eq!(directories, expected);
}

#[test]
fn a_file_may_have_a_directory_for_itself() {
    let text = modules(&[
        "model/mod.rs: pub mod user;",
        "model/user.rs",
        "service/posts.rs: mod query;",
        "service/posts/query.rs",
    ]);
    assert!(
        text.starts_with("pub mod model;\npub mod service {\n    pub mod posts;\n}\n"),
        "{text}"
    );
}

#[test]
fn what_such_a_file_forgets_is_an_error() {
    assert_eq!(
        problems(&[
            "service/posts.rs: mod query;",
            "service/posts/query.rs",
            "service/posts/tags.rs"
        ]),
        [
            "src/app/service/posts/tags.rs: is not part of the application: the directory belongs to \
          posts.rs beside it, which must name it: `pub mod tags;`"
        ]
    );
    assert_eq!(
        problems(&["model/mod.rs: pub mod user;", "model/post.rs"]),
        [
            "src/app/model/post.rs: is not part of the application: the directory belongs to its \
          mod.rs, which must name it: `pub mod post;`"
        ]
    );
}

#[test]
fn bad_names_end_the_build() {
    for (file, what) in [
        (
            "controller/1st.rs",
            "a name begins with a letter and has letters, digits, `_` and `-` only",
        ),
        (
            "controller/two words.rs",
            "a name begins with a letter and has letters, digits, `_` and `-` only",
        ),
        (
            "controller/self.rs",
            "`self` cannot be the name of a module",
        ),
        (
            "controller/posts.prod.rs",
            "only files in `extend` have variants for environments: put it there, or leave the dot out",
        ),
        (
            "prelude.rs",
            "`prelude` is the module that has everything of `extend`",
        ),
        (
            "mod.rs",
            "there is no module for the whole of this directory: write it in another file",
        ),
    ] {
        assert_eq!(problems(&[file]), [format!("src/app/{file}: {what}")]);
    }
}

#[test]
fn two_files_of_one_module_name_both() {
    assert_eq!(
        problems(&["service/blog-posts.rs", "service/blog_posts.rs"]),
        ["src/app/service/blog_posts.rs: is the module `blog_posts`, and so is blog-posts.rs"]
    );
}
