//! What of sessions is in the log.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::header::{COOKIE, SET_COOKIE};
use http::{Request, Response};
use serde_json::json;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::{NAME, Session, routes};
use crate::context::Entry;
use crate::context::tests::app_in;
use crate::middleware::Next;
use crate::{Application, Context};

/// The lines of this thread.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Visit for Lines {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.0.lock().unwrap().push(format!("{value:?}"));
        }
    }
}

impl Subscriber for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

async fn send(app: &Application, router: Router, path: &str, cookie: &str) -> Response<Body> {
    let request = Request::get(path).header(COOKIE, format!("{NAME}={cookie}"));
    let request = request.body(Body::empty()).unwrap();
    Entry::new(app.clone(), Next::new(router))
        .call(request, None)
        .await
}

/// The value of the cookie that was set.
fn value(response: &Response<Body>) -> String {
    let header = response.headers()[SET_COOKIE].to_str().unwrap();
    let (name, value) = header.split(';').next().unwrap().split_once('=').unwrap();
    assert_eq!(name, NAME);
    value.to_owned()
}

#[tokio::test]
async fn semantic_49_a_cookie_that_is_too_large_is_sent_all_the_same() {
    let lines = Lines::default();
    let _guard = tracing::subscriber::set_default(lines.clone());
    let app = app_in("unittest", &json!({"session": {}}));
    let large = "x".repeat(3000);
    let sealed = value(&send(&app, routes(), &format!("/set/{large}"), "").await);
    assert!(sealed.len() > 4096);
    let said = lines.take();
    let warning = said.last().unwrap();
    let begin = format!(
        "the session's cookie `{NAME}` has {} bytes",
        NAME.len() + sealed.len()
    );
    assert!(warning.starts_with(&begin), "{said:?}");
    let key = "sessions are encrypted with a key that is no secret";
    assert!(said[0].starts_with(key), "{said:?}");
    assert_eq!(said.len(), 2, "{said:?}");
    let response = send(&app, routes(), "/", &sealed).await;
    assert_eq!(response.status(), 200);
    assert!(lines.take().is_empty());
}

#[tokio::test]
async fn cookies_that_do_not_count_are_no_error() {
    let lines = Lines::default();
    let _guard = tracing::subscriber::set_default(lines.clone());
    let one = app_in("prod", &json!({"session": {}, "keys": ["a".repeat(40)]}));
    let other = app_in("prod", &json!({"session": {}, "keys": ["b".repeat(40)]}));
    let sealed = value(&send(&one, routes(), "/set/ann", "").await);
    assert!(lines.take().is_empty());
    let tampered = sealed.replacen(|letter: char| letter != 'A', "A", 1);
    for (app, cookie) in [
        (&other, &sealed),
        (&one, &tampered),
        (&one, &"rubbish".to_owned()),
    ] {
        let response = send(app, routes(), "/", cookie).await;
        assert_eq!(response.status(), 200);
        assert!(response.headers().get(SET_COOKIE).is_none());
        let says = format!(
            "the cookie `{NAME}` opens with none of `keys`, or was changed: the session begins anew"
        );
        assert_eq!(lines.take(), [says]);
    }
}

#[tokio::test]
async fn what_comes_after_the_response_is_too_late() {
    let lines = Lines::default();
    let _guard = tracing::subscriber::set_default(lines.clone());
    let app = app_in("prod", &json!({"session": {}, "keys": ["a".repeat(40)]}));
    let kept: Arc<Mutex<Option<(Context, Session)>>> = Arc::default();
    let keep = Arc::clone(&kept);
    let router = Router::new().route(
        "/",
        get(async move |ctx: Context, session: Session| {
            *keep.lock().unwrap() = Some((ctx, session));
        }),
    );
    send(&app, router, "/", "").await;
    let (ctx, session) = kept.lock().unwrap().take().unwrap();
    let error = session.set("user", "ann").unwrap_err();
    assert!(
        error.to_string().starts_with("the response has left"),
        "{error}"
    );
    ctx.session().await.unwrap().destroy();
    let said = lines.take();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(
        said[1].starts_with("session: `destroy` has no effect"),
        "{said:?}"
    );
}
