//! The cookies of a request, and those that its response sets.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use cookie::{Cookie, CookieJar};
use http::header::COOKIE;

use super::Context;

/// A request's cookies, read when somebody first asks.
#[derive(Default)]
pub(super) struct Store(Mutex<Option<CookieJar>>);

impl Store {
    /// What the response has to set, each as a header's value.
    pub(super) fn changed(&self) -> Vec<String> {
        let jar = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = jar.iter().flat_map(CookieJar::delta);
        changed.map(|cookie| cookie.encoded().to_string()).collect()
    }
}

/// The cookies of a request, and those that its response sets.
///
/// ```
/// async fn count(ctx: hatchery::Context) -> String {
///     let seen = ctx.cookies().get("seen").and_then(|seen| seen.parse().ok()).unwrap_or(0);
///     ctx.cookies().set(("seen", (seen + 1).to_string()));
///     format!("seen {seen} times\n")
/// }
/// ```
#[derive(Clone, Copy)]
pub struct Cookies<'a>(&'a Context);

impl Cookies<'_> {
    /// The value of a cookie: what this response sets, else what the client has sent.
    pub fn get(&self, name: &str) -> Option<String> {
        self.with(|jar| jar.get(name).map(|cookie| cookie.value().to_owned()))
    }

    /// Has the response set a cookie, for the whole site (`Path=/`) and out of reach of scripts
    /// (`HttpOnly`), unless it says otherwise.
    pub fn set(&self, cookie: impl Into<Cookie<'static>>) {
        let mut cookie = cookie.into();
        if cookie.path().is_none() {
            cookie.set_path("/");
        }
        if cookie.http_only().is_none() {
            cookie.set_http_only(true);
        }
        self.with(|jar| jar.add(cookie));
    }

    /// Has the client forget a cookie of the whole site.
    pub fn remove(&self, name: impl Into<String>) {
        let mut cookie = Cookie::new(name.into(), "");
        cookie.set_path("/");
        // Also one that it has not sent: it may be for another path.
        cookie.make_removal();
        self.with(|jar| jar.add(cookie));
    }

    fn with<T>(self, work: impl FnOnce(&mut CookieJar) -> T) -> T {
        let store = &self.0.extras().cookies;
        let mut jar = store.0.lock().unwrap_or_else(PoisonError::into_inner);
        work(jar.get_or_insert_with(|| sent(self.0)))
    }
}

/// What the client has sent; what is no cookie is left out.
fn sent(context: &Context) -> CookieJar {
    let mut jar = CookieJar::new();
    for header in context.headers().get_all(COOKIE) {
        let Ok(text) = header.to_str() else { continue };
        for cookie in Cookie::split_parse_encoded(text.to_owned()).flatten() {
            // Of two with one name the first counts: clients send the most specific one first.
            if jar.get(cookie.name()).is_none() {
                jar.add_original(cookie);
            }
        }
    }
    jar
}

impl Context {
    /// The cookies of this request, and those that its response sets.
    pub fn cookies(&self) -> Cookies<'_> {
        Cookies(self)
    }
}

impl fmt::Debug for Cookies<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cookies")
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store")
    }
}
