//! Directories with files in them, and an application that serves them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use hatchery::App;
use hatchery::testing::TestApp;
use tempfile::TempDir;

/// What no client may ever see.
pub(crate) const SECRET: &str = "the secret";

/// A directory `files` with files and links of all kinds, and beside it what is not served.
pub(crate) fn tree() -> TempDir {
    let dir = TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name);
    for (name, text) in [
        ("files/hello.txt", "0123456789"),
        ("files/a b.txt", "a space"),
        ("files/ü.txt", "not in ASCII"),
        ("files/%61.txt", "a percent sign"),
        ("files/sub/index.html", "<p>sub"),
        ("files/sub/page.html", "<p>page"),
        ("files/sub/.hidden", SECRET),
        ("files/.env", SECRET),
        ("files/.git/config", SECRET),
        ("files/empty/.keep", ""),
        ("secret.txt", SECRET),
        ("etc/passwd", SECRET),
    ] {
        write(&at(name), text);
    }
    for (target, link) in [
        ("hello.txt", "link-within"),
        ("../secret.txt", "link-out"),
        ("..", "link-dir-out"),
        ("link-loop", "link-loop"),
        ("/", "link-root"),
        ("/proc/self", "link-proc"),
    ] {
        symlink(target, at("files").join(link)).unwrap();
    }
    symlink(at("secret.txt"), at("files/link-out-absolute")).unwrap();
    dir
}

/// Writes a file, with its directories.
pub(crate) fn write(path: &Path, content: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// `files` below `/static`, in the environment `prod`; `more` goes on with the entry.
pub(crate) async fn served(dir: &TempDir, more: &str) -> TestApp {
    served_in(dir, "prod", more).await
}

/// The same in that environment.
pub(crate) async fn served_in(dir: &TempDir, env: &str, more: &str) -> TestApp {
    let text = format!(
        "[[routes]]\ntype = \"static\"\nroute = \"/static\"\npath = \"files\"\nname = \"file\"\n{more}"
    );
    configured(dir, env, &text).await.unwrap()
}

/// An application with that configuration, or what is wrong with it.
pub(crate) async fn configured(dir: &TempDir, env: &str, text: &str) -> Result<TestApp, String> {
    write(&dir.path().join("config/config.default.toml"), text);
    let app = TestApp::new(App::new(hatchery::package!()));
    let app = app.base_dir(dir.path()).env(env);
    app.start().await.map_err(|error| error.to_string())
}
