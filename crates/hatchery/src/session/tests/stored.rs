//! Sessions in a store.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use serde_json::{Value, json};

use super::{Client, HOUR, app, newyear, set_by};
use crate::session::{Session, SessionStore};
use crate::testing::{TestApp, TestAppBuilder};
use crate::{App, BoxError, Error};

/// In memory, and it says what it was asked.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Held>>);

#[derive(Default)]
struct Held {
    sessions: HashMap<String, (Value, Duration)>,
    asked: Vec<&'static str>,
    is_down: bool,
}

impl Memory {
    async fn ask<T>(
        &self,
        what: &'static str,
        act: impl FnOnce(&mut Held) -> T,
    ) -> Result<T, BoxError> {
        // A real one has to wait.
        tokio::task::yield_now().await;
        let mut held = self.0.lock().unwrap();
        held.asked.push(what);
        if held.is_down {
            return Err("it is down".into());
        }
        Ok(act(&mut held))
    }

    fn asked(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.0.lock().unwrap().asked)
    }

    /// The ids, and the values with their times to live.
    fn all(&self) -> (Vec<String>, Vec<(Value, Duration)>) {
        self.0.lock().unwrap().sessions.clone().into_iter().unzip()
    }
}

impl SessionStore for Memory {
    async fn get(&self, id: &str) -> Result<Option<String>, BoxError> {
        self.ask("get", |held| {
            let (session, _) = held.sessions.get(id)?;
            Some(session.to_string())
        })
        .await
    }

    async fn set(&self, id: &str, session: &str, ttl: Duration) -> Result<(), BoxError> {
        let session = serde_json::from_str(session)?;
        self.ask("set", |held| {
            held.sessions.insert(id.to_owned(), (session, ttl));
        })
        .await
    }

    async fn destroy(&self, id: &str) -> Result<(), BoxError> {
        self.ask("destroy", |held| {
            held.sessions.remove(id);
        })
        .await
    }
}

fn keeping(app: TestAppBuilder, store: &Memory) -> TestAppBuilder {
    let store = store.clone();
    app.before_did_load(|app| app.set_session_store(store).unwrap())
}

#[tokio::test]
async fn the_store_has_the_values_and_the_cookie_an_id() {
    let store = Memory::default();
    let app = keeping(app("max_age = '2h'"), &store).mock_clock(newyear());
    let app = app.start().await.unwrap();
    let mut ann = Client::new(&app);
    ann.get("/untouched").await;
    ann.shows().await;
    assert!(store.asked().is_empty(), "nobody has a session yet");
    let cookie = set_by(&ann.get("/set/ann").await).unwrap();
    assert_eq!(store.asked(), ["set"]);
    let expires = 1_767_225_600_000_u64 + 7_200_000;
    let (ids, sessions) = store.all();
    assert_eq!(
        sessions,
        [(json!({"_expire": expires, "user": "ann"}), 2 * HOUR)]
    );
    assert!(!format!("{cookie:?}").contains(&ids[0]));
    assert_eq!(ann.shows().await, "Some(\"ann\") false");
    ann.get("/untouched").await;
    assert_eq!(
        store.asked(),
        ["get"],
        "unchanged, and once for a request that asks"
    );
    ann.get("/set/ben").await;
    assert_eq!(store.all().0, ids, "it keeps its id");
    // Whatever the store keeps for too long.
    app.clock().advance(2 * HOUR);
    assert_eq!(ann.shows().await, "None true");
    ann.get("/set/ann").await;
    assert_eq!(
        store.all().0.len(),
        2,
        "and what begins anew has another id"
    );
}

#[tokio::test]
async fn a_destroyed_session_is_nowhere() {
    let store = Memory::default();
    let app = keeping(app(""), &store).start().await.unwrap();
    let mut ann = Client::new(&app);
    ann.get("/set/ann").await;
    let cookie = ann.cookie.clone();
    ann.get("/destroy").await;
    assert_eq!((ann.cookie.clone(), store.all().0.len()), (None, 0));
    // A copy of the cookie is worth nothing, and the next session has an id of its own.
    ann.cookie = cookie;
    assert_eq!(ann.shows().await, "None true");
    ann.get("/set/ann").await;
    let before = store.all().0;
    ann.get("/login").await;
    let after = store.all().0;
    assert_eq!((after.len(), after == before), (1, false));
    assert_eq!(ann.shows().await, "Some(\"new\") false");
}

#[tokio::test]
async fn a_session_can_get_another_id() {
    let store = Memory::default();
    let login = async |session: Session| -> Result<(), Error> {
        session.regenerate();
        session.set("user", "ann")
    };
    let router = Router::new().route("/", get(login));
    let app = TestApp::new(App::new(crate::package!()).router(|_| Ok(router)));
    let app = app.config("[session]\nmax_age = 'session'");
    let app = keeping(app, &store).start().await.unwrap();
    let mut ann = Client::new(&app);
    let cookie = set_by(&ann.get("/").await).unwrap();
    assert_eq!(cookie.max_age(), None);
    let (first, sessions) = store.all();
    assert_eq!(sessions[0].1, 24 * HOUR, "no store keeps it for ever");
    ann.get("/").await;
    let (second, _) = store.all();
    assert_eq!((second.len(), first == second), (1, false));
}

#[tokio::test]
async fn a_store_that_is_down_is_an_error() {
    let store = Memory::default();
    let app = keeping(app(""), &store).start().await.unwrap();
    let mut ann = Client::new(&app);
    ann.get("/set/ann").await;
    let down = |is_down| store.0.lock().unwrap().is_down = is_down;
    down(true);
    let response = ann.get("/").await;
    response.expect_status(500);
    assert!(
        response
            .text()
            .contains("cannot load the session in its store"),
        "{}",
        response.text()
    );
    ann.get("/untouched").await.expect_status(200);
    let mut ben = Client::new(&app);
    let response = ben.get("/set/ben").await;
    response.expect_status(500);
    assert!(
        response
            .text()
            .contains("cannot save the session in its store"),
        "{}",
        response.text()
    );
    assert_eq!(ben.cookie, None);
    down(false);
    assert_eq!(ann.shows().await, "Some(\"ann\") false");
}

#[tokio::test]
async fn what_was_in_cookies_counts_no_more() {
    let store = Memory::default();
    let in_cookies = app("").start().await.unwrap();
    let in_store = keeping(app(""), &store).start().await.unwrap();
    let mut ann = Client::new(&in_cookies);
    ann.get("/set/ann").await;
    ann.app = &in_store;
    assert_eq!(ann.shows().await, "None true");
    ann.get("/set/ann").await;
    ann.app = &in_cookies;
    assert_eq!(ann.shows().await, "None true");
}

#[tokio::test]
async fn a_second_store_is_refused_with_both_places() {
    let app = keeping(app(""), &Memory::default()).start().await.unwrap();
    let error = app
        .set_session_store(Memory::default())
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("the sessions' store is set twice: at "),
        "{error}"
    );
    assert_eq!(error.matches(file!()).count(), 2, "{error}");
}
