//! The table `[session]` and the list `keys`.

use serde_json::json;

use super::super::settings;
use super::{Client, app, sessions};
use crate::config::{Config, Sources};
use crate::testing::TestApp;

async fn refused(config: &str, env: &str) -> String {
    let app = TestApp::new(sessions()).config(config).env(env);
    app.start().await.unwrap_err().to_string()
}

#[tokio::test]
async fn keys_are_wanted_where_sessions_are_used() {
    let error = refused("[session]", "prod").await;
    assert_eq!(
        error,
        "cannot start: flag TestApp::config: keys: missing, and sessions are encrypted with the first \
         one; write `keys = [\"…\"]` above the tables of config/config.prod.toml, or set \
         HATCHERY__KEYS='[\"…\"]', with at least 32 characters that nobody can guess (`openssl rand \
         -base64 48`)"
    );
    assert_eq!(refused("keys = []\n[session]", "prod").await, error);
    // Who has no sessions needs no keys.
    let app = TestApp::new(sessions()).env("prod").start().await.unwrap();
    let answer = app.http_request().get("/").send().await;
    answer.expect_status(500);
    let app = TestApp::new(sessions()).start().await.unwrap();
    let answer = app.http_request().get("/").send().await.text();
    assert!(
        answer.contains("switch them on with the table `[session]`"),
        "{answer}"
    );
}

#[tokio::test]
async fn wrong_keys_are_told_and_not_shown() {
    for (keys, says) in [
        (
            "'hush'",
            "keys: expected a list of strings, as in [\"…\"]: the first one encrypts, all decrypt",
        ),
        (
            "['hush']",
            "keys[0]: 4 bytes are too few: a key has at least 32",
        ),
        ("[4711]", "keys[0]: expected a string"),
    ] {
        for env in ["prod", "local"] {
            let error = refused(&format!("keys = {keys}\n[session]"), env).await;
            assert_eq!(error, format!("cannot start: flag TestApp::config: {says}"));
        }
    }
}

#[test]
fn a_variable_can_bring_the_keys() {
    let keys = |value: &str| {
        let config = Config::load(&Sources {
            environment: vec![("HATCHERY__KEYS".into(), value.into())],
            ..Sources::default()
        });
        settings::keys(&config.unwrap())
    };
    let key = "k".repeat(32);
    assert_eq!(keys(&format!("['{key}']")), Ok(vec![key.clone()]));
    let (path, says) = keys(&key).unwrap_err();
    assert_eq!(path, "keys");
    assert!(!says.contains(&key), "{says}");
}

#[tokio::test]
async fn a_wrong_table_is_told() {
    let error = refused(
        "[session]\nmax_age = 86400\nsecure = 'yes'\nsame_site = 'Lax'\nrollnig = true",
        "local",
    )
    .await;
    for says in [
        "session.max_age: expected a duration with its unit, as in \"24h\", or \"session\", found `86400`",
        "session.secure: expected `true`, `false` or \"auto\"",
        "session.same_site: ",
        "unknown key `session.rollnig`, did you mean `rolling`?",
    ] {
        assert!(error.contains(says), "{says}: {error}");
    }
    let error = refused(
        "[session]\nname = 'a b'\nmax_age = '0s'\nsame_site = 'none'\nsecure = false",
        "local",
    )
    .await;
    for key in ["name", "max_age", "same_site"] {
        assert!(
            error.contains(&format!("session.{key}: ")),
            "{key}: {error}"
        );
    }
}

#[tokio::test]
async fn keys_are_in_no_debug_text() {
    let secret = "a secret of more than 32 characters";
    let builder = app("").env("prod").mock_config("keys", json!([secret]));
    assert!(!format!("{builder:?}").contains(secret), "{builder:?}");
    let app = builder.start().await.unwrap();
    let mut ann = Client::new(&app);
    ann.get("/set/a%20word").await;
    ann.shows().await;
    let ctx = app.mock_context();
    ctx.session().await.unwrap().set("user", "a word").unwrap();
    let shown = format!("{app:?} {ctx:?} {:?}", app.state());
    for hidden in [secret, "a word"] {
        assert!(!shown.contains(hidden), "{shown}");
    }
}
