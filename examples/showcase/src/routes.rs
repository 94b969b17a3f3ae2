//! What the showcase serves, apart from the faults.

use std::process;
use std::time::Duration;

use hatchery::extract::{Path, Query};
use hatchery::http::{HeaderValue, StatusCode, header};
use hatchery::response::{Html, IntoResponse, Response};
use hatchery::routing::{get, post};
use hatchery::{Application, BoxError, Json, Role, Router};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::settings::Showcase;
use crate::{cache, faults};

/// Longest wait of `GET /slow`, milliseconds.
const SLOW_MS_MAX: u64 = 600_000;

/// Makes the routes of one worker.
pub(crate) fn routes(app: &Application) -> Result<Router, BoxError> {
    let settings = app.section::<Showcase>("showcase")?;
    // A look into the application is spared, so that faults show where real ones would that no
    // check can find: in the first worker of a new generation.
    if app.identity().role != Role::Check {
        settings.boot_worker()?;
        tokio::spawn(cache::trim(app.clone()));
    }
    let page = page(&Whoami::of(app), app);
    let asked = app.clone();
    // Both live as long as the process, and a `'static` text is answered without a copy.
    let greeting: &'static str = settings.greeting.leak();
    let page: &'static str = page.leak();

    let router = Router::new()
        .route("/", get(move || async move { Html(page) }))
        .route("/hello", get(move || async move { greeting }))
        .route("/json", get(json))
        .route("/users/{id}", get(user))
        .route("/echo", post(echo))
        .route(
            "/whoami",
            // Asked anew each time: a spare learns its slot when it is given one.
            get(move |query| async move { Whoami::of(&asked).answer(&query) }),
        )
        .route("/slow", get(slow));
    Ok(if settings.faults {
        router.merge(faults::routes()).merge(cache::routes(app))
    } else {
        router
    })
}

#[derive(Serialize)]
struct Message {
    message: &'static str,
}

async fn json() -> Json<Message> {
    Json(Message {
        message: "Hello, World!",
    })
}

#[derive(Serialize)]
struct User {
    id: String,
}

async fn user(Path(id): Path<String>) -> Json<User> {
    Json(User { id })
}

/// JSON in, JSON out. The content type is not asked for: a person with `curl -d` is understood.
async fn echo(body: hatchery::body::Bytes) -> Response {
    match serde_json::from_slice::<Value>(&body) {
        Ok(value) => Json(value).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, format!("not JSON: {error}\n")).into_response(),
    }
}

/// Which process answers.
#[derive(Clone, Copy, Debug, Serialize)]
struct Whoami {
    pid: u32,
    slot: Option<u32>,
    instance: u64,
    generation: u64,
}

#[derive(Deserialize)]
struct WhoamiQuery {
    /// Present: the connection ends with this answer, so that the next request can meet another
    /// worker. A browser cannot ask for that by itself.
    leave: Option<String>,
}

impl Whoami {
    fn of(app: &Application) -> Self {
        let identity = app.identity();
        Self {
            pid: process::id(),
            slot: identity.slot,
            instance: identity.instance,
            generation: identity.generation,
        }
    }

    fn answer(self, Query(query): &Query<WhoamiQuery>) -> Response {
        let mut response = Json(self).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if query.leave.is_some() {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

#[derive(Deserialize)]
struct Slow {
    ms: u64,
}

#[derive(Serialize)]
struct Slept {
    slept_ms: u64,
    pid: u32,
}

async fn slow(Query(Slow { ms }): Query<Slow>) -> Json<Slept> {
    let ms = ms.min(SLOW_MS_MAX);
    tokio::time::sleep(Duration::from_millis(ms)).await;
    Json(Slept {
        slept_ms: ms,
        pid: process::id(),
    })
}

/// The page with what is known of this worker filled in.
fn page(whoami: &Whoami, app: &Application) -> String {
    let slot = whoami
        .slot
        .map_or_else(|| "–".to_owned(), |slot| slot.to_string());
    include_str!("page.html")
        .replace("{{workers}}", &app.identity().workers.to_string())
        .replace("{{slot}}", &slot)
        .replace("{{pid}}", &whoami.pid.to_string())
        .replace("{{instance}}", &whoami.instance.to_string())
        .replace("{{generation}}", &whoami.generation.to_string())
}
