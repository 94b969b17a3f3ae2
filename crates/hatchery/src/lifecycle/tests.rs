//! The hooks of an application in this process; in processes of their own they are tested in
//! `tests/lifecycle`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;

use crate::config::Config;
use crate::testing::TestApp;
use crate::{App, Application, Boot, BootRole, BoxError, Package, Plugin, Router, Unit};

const PACKAGE: Package = Package {
    name: "blog",
    ..crate::package!()
};

#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<String>>>);

impl Diary {
    fn note(&self, text: impl Into<String>) {
        self.0.lock().unwrap().push(text.into());
    }

    fn notes(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// Writes down each of its hooks; the one called `fails` fails, the one called `panics` panics.
struct Noting {
    name: &'static str,
    diary: Diary,
    fails: &'static str,
    panics: &'static str,
}

impl Noting {
    fn new(name: &'static str, diary: &Diary) -> Self {
        Self {
            name,
            diary: diary.clone(),
            fails: "",
            panics: "",
        }
    }

    fn note(&self, hook: &str) -> Result<(), BoxError> {
        self.diary.note(format!("{} {hook}", self.name));
        assert_ne!(hook, self.panics, "as asked");
        if hook == self.fails {
            let refused = std::io::Error::other("connection refused");
            return Err(Box::new(NoDatabase(refused)));
        }
        Ok(())
    }
}

#[derive(Debug)]
struct NoDatabase(std::io::Error);

impl std::fmt::Display for NoDatabase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no database")
    }
}

impl std::error::Error for NoDatabase {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

impl Boot for Noting {
    async fn load_config(&self, _: &Config) -> Result<Option<serde_json::Value>, BoxError> {
        self.note("load_config").map(|()| None)
    }

    fn config_will_load(&self, _: &mut Config) -> Result<(), BoxError> {
        self.note("config_will_load")
    }

    fn config_did_load(&self, _: &Application) -> Result<(), BoxError> {
        self.note("config_did_load")
    }

    async fn did_load(&self, _: &Application) -> Result<(), BoxError> {
        self.note("did_load begins")?;
        tokio::task::yield_now().await;
        self.note("did_load")
    }

    async fn will_ready(&self, _: &Application) -> Result<(), BoxError> {
        self.note("will_ready")
    }

    async fn did_ready(&self, _: &Application) -> Result<(), BoxError> {
        self.note("did_ready")
    }

    async fn server_did_ready(&self, _: &Application) -> Result<(), BoxError> {
        self.note("server_did_ready")
    }

    async fn before_close(&self, _: &Application) -> Result<(), BoxError> {
        self.note("before_close")
    }
}

/// A plugin with one type of hooks.
struct Audit(Noting);

impl Plugin for Audit {
    fn unit(self) -> Unit {
        let package = Package {
            module: "nowhere::audit",
            ..PACKAGE
        };
        Unit::plugin("audit", package).boot(BootRole::Both, self.0)
    }
}

/// Runs a test in a runtime of its own.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(test);
}

/// `PLACE: text`, with the line of a place in this file taken out.
fn without_line(text: &str) -> String {
    let (before, rest) = text.split_once(file!()).unwrap_or_else(|| panic!("{text}"));
    let rest = rest.trim_start_matches([':', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']);
    format!("{before}PLACE{rest}")
}

#[test]
fn semantic_32_hooks_run_in_their_order_and_units_in_theirs() {
    run(async {
        let diary = Diary::default();
        let routes = diary.clone();
        let app = App::new(PACKAGE)
            .boot(BootRole::Application, Noting::new("blog", &diary))
            .plugin(Audit(Noting::new("audit", &diary)))
            .router(move |_| {
                routes.note("router");
                Ok(Router::new())
            });
        let app = TestApp::new(app).start().await.unwrap();
        app.hooks_finished().await;
        app.close().await;
        let expected = [
            "audit load_config",
            "blog load_config",
            "audit config_will_load",
            "blog config_will_load",
            "audit config_did_load",
            "blog config_did_load",
            "router",
            // Hooks of both processes are the agent's where there is but one.
            "audit did_load begins",
            "audit did_load",
            "audit will_ready",
            "blog did_load begins",
            "blog did_load",
            "blog will_ready",
            "audit did_ready",
            "blog did_ready",
            "audit server_did_ready",
            "blog server_did_ready",
            "audit before_close",
            "blog before_close",
        ];
        assert_eq!(diary.notes(), expected);
    });
}

#[test]
fn semantic_32_one_phase_runs_at_the_same_time_and_closing_is_reversed() {
    run(async {
        let diary = Diary::default();
        let app = App::new(PACKAGE)
            .boot(BootRole::Application, Noting::new("first", &diary))
            .boot(BootRole::Application, Noting::new("second", &diary));
        let app = TestApp::new(app).start().await.unwrap();
        app.close().await;
        let notes = diary.notes();
        let expected = [
            "first did_load begins",
            "second did_load begins",
            "first did_load",
            "second did_load",
            "first will_ready",
            "second will_ready",
        ];
        assert_eq!(notes[6..12], expected);
        let closed = ["second before_close", "first before_close"];
        assert_eq!(notes[notes.len() - 2..], closed);
    });
}

/// Brings a table, and changes it at the last moment.
struct Configuring;

#[derive(Debug, Default, PartialEq, serde::Deserialize)]
#[serde(default)]
struct Shop {
    currency: String,
    vat: u32,
}

impl Boot for Configuring {
    async fn load_config(&self, config: &Config) -> Result<Option<serde_json::Value>, BoxError> {
        let before: Shop = config.section("shop")?;
        tokio::task::yield_now().await;
        Ok(Some(
            json!({"shop": {"currency": format!("{}+EUR", before.currency), "vat": 7}}),
        ))
    }

    fn config_did_load(&self, app: &Application) -> Result<(), BoxError> {
        let shop: Shop = app.section("shop")?;
        assert_eq!((shop.currency.as_str(), shop.vat), ("+EUR", 7));
        Ok(())
    }
}

#[test]
fn semantic_33_configuration_from_elsewhere_is_there_before_anything_is_loaded() {
    run(async {
        let app = App::new(PACKAGE)
            .section::<Shop>("shop")
            .boot(BootRole::Application, Configuring);
        let app = TestApp::new(app).start().await.unwrap();
        assert_eq!(app.section::<Shop>("shop").unwrap().vat, 7);
    });
}

/// Changes the configuration at the last moment.
struct Changing;

impl Boot for Changing {
    fn config_will_load(&self, config: &mut Config) -> Result<(), BoxError> {
        let before: Shop = config.section("shop")?;
        config.set("shop.vat", before.vat + 1)?;
        Ok(())
    }

    fn config_did_load(&self, app: &Application) -> Result<(), BoxError> {
        // Here it can only be read.
        assert_eq!(app.section::<Shop>("shop")?.vat, 20);
        Ok(())
    }
}

#[test]
fn semantic_33_config_will_load_is_the_last_moment_to_change_it() {
    run(async {
        let app = App::new(PACKAGE)
            .section::<Shop>("shop")
            .boot(BootRole::Application, Changing);
        let app = TestApp::new(app).config("[shop]\nvat = 19");
        let app = app.start().await.unwrap();
        assert_eq!(app.section::<Shop>("shop").unwrap().vat, 20);
    });
}

/// Never knows its configuration.
struct Waiting;

impl Boot for Waiting {
    async fn load_config(&self, _: &Config) -> Result<Option<serde_json::Value>, BoxError> {
        std::future::pending().await
    }
}

#[test]
fn semantic_33_a_configuration_that_does_not_come_ends_the_start() {
    run(async {
        let app = App::new(PACKAGE).boot(BootRole::Application, Waiting);
        let app = TestApp::new(app).config("[boot]\nconfig_timeout = \"20ms\"");
        let error = app.start().await.unwrap_err();
        assert_eq!(
            without_line(&error.to_string()),
            "cannot start: application blog: load_config of hatchery::lifecycle::tests::Waiting \
             (PLACE) has not ended within 20ms"
        );
    });
}

#[test]
fn semantic_35_a_failed_did_load_is_the_cause_and_36_what_was_begun_is_closed() {
    run(async {
        let diary = Diary::default();
        let failing = Noting {
            fails: "did_load",
            ..Noting::new("blog", &diary)
        };
        let app = App::new(PACKAGE)
            .boot(BootRole::Agent, Noting::new("agent", &diary))
            .boot(BootRole::Application, failing);
        let error = TestApp::new(app).start().await.unwrap_err();
        assert_eq!(
            without_line(&error.to_string()),
            "cannot start: application blog: did_load of hatchery::lifecycle::tests::Noting \
             (PLACE): no database: connection refused"
        );
        let expected = ["blog did_load", "agent before_close", "blog before_close"];
        let notes = diary.notes();
        assert_eq!(notes[notes.len() - 3..], expected);
    });
}

#[test]
fn semantic_36_a_failed_start_closes_what_was_begun_and_no_more() {
    for (fails, closed) in [
        ("config_did_load", &[][..]),
        // At once, so that the second one's was not begun.
        ("did_load begins", &["first before_close"]),
        ("will_ready", &["second before_close", "first before_close"]),
    ] {
        run(async {
            let diary = Diary::default();
            let failing = Noting {
                fails,
                ..Noting::new("first", &diary)
            };
            let app = App::new(PACKAGE)
                .boot(BootRole::Application, failing)
                .boot(BootRole::Application, Noting::new("second", &diary));
            TestApp::new(app).start().await.unwrap_err();
            let notes = diary.notes();
            let ended: Vec<_> = notes
                .iter()
                .filter(|note| note.ends_with("before_close"))
                .collect();
            assert_eq!(ended, closed, "{fails}: {notes:?}");
        });
    }
}

#[test]
fn semantic_35_a_panic_is_a_failure() {
    run(async {
        let diary = Diary::default();
        let panicking = Noting {
            panics: "will_ready",
            ..Noting::new("blog", &diary)
        };
        let app = App::new(PACKAGE).boot(BootRole::Application, panicking);
        let error = TestApp::new(app).start().await.unwrap_err().to_string();
        assert!(error.contains("will_ready of "), "{error}");
        assert!(error.contains(": panicked: "), "{error}");
    });
}

#[test]
fn semantic_35_a_failed_did_ready_keeps_nobody_from_serving() {
    run(async {
        let diary = Diary::default();
        let failing = Noting {
            fails: "did_ready",
            panics: "server_did_ready",
            ..Noting::new("blog", &diary)
        };
        let app = App::new(PACKAGE)
            .boot(BootRole::Application, failing)
            .router(|_| Ok(Router::new().route("/", axum::routing::get(async || "here"))));
        let app = TestApp::new(app).start().await.unwrap();
        app.hooks_finished().await;
        let response = app.http_request().get("/").send().await;
        assert_eq!(response.expect_status(200).text(), "here");
    });
}

/// Holds the end up.
struct Lingering(Diary);

impl Boot for Lingering {
    async fn before_close(&self, _: &Application) -> Result<(), BoxError> {
        self.0.note("lingers");
        std::future::pending().await
    }
}

#[test]
fn before_close_is_bounded_in_time_for_all_together() {
    run(async {
        let diary = Diary::default();
        let app = App::new(PACKAGE)
            .boot(BootRole::Application, Noting::new("blog", &diary))
            .boot(BootRole::Application, Lingering(diary.clone()));
        let app = TestApp::new(app).config("[boot]\nclose_timeout = \"20ms\"");
        let app = app.start().await.unwrap();
        let closing = tokio::time::timeout(Duration::from_secs(20), app.close());
        assert!(closing.await.is_ok(), "it does not end");
        let last = diary.notes().pop();
        assert_eq!(last.as_deref(), Some("lingers"));
    });
}

#[test]
fn the_trace_of_the_start_is_shown_in_local_only() {
    run(async {
        for (env, status) in [("local", 200), ("unittest", 404)] {
            let diary = Diary::default();
            let app = App::new(PACKAGE).plugin(Audit(Noting::new("audit", &diary)));
            let app = TestApp::new(app).env(env).start().await.unwrap();
            let response = app.http_request().get("/__loader_trace__").send().await;
            let page = response.expect_status(status).text();
            assert_eq!(page.contains("did_load"), status == 200, "{page}");
        }
    });
}
