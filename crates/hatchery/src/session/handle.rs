//! A session, as its request's code has it.

use std::any::type_name;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse as _, Response};
use http::request::Parts;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::values::{Origin, State, is_reserved};
use crate::context::NoContext;
use crate::{Context, Error};

/// What is remembered of who asks, from one request to the next: `ctx.session().await?`, or as an
/// extractor. All that have it in one request have the same; it is saved when the response leaves.
///
/// ```
/// use hatchery::{Error, Session};
///
/// async fn login(session: Session) -> Result<&'static str, Error> {
///     session.regenerate();
///     session.set("user", "ann")?;
///     Ok("Hello, Ann")
/// }
///
/// async fn logout(session: Session) {
///     session.destroy();
/// }
/// ```
#[derive(Clone)]
pub struct Session(Arc<Mutex<State>>);

impl Session {
    pub(super) fn new(state: State) -> Self {
        Self(Arc::new(Mutex::new(state)))
    }

    /// The value of a key. One that is no `T`, perhaps because an older release has set it, is as
    /// good as none, and a line in the log.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        let state = self.state();
        let value = T::deserialize(state.values.get(key)?);
        drop(state);
        if value.is_err() {
            // Without the error, which shows the value.
            let wanted = type_name::<T>();
            tracing::warn!("the value `{key}` of a session is no `{wanted}`: it does not count");
        }
        value.ok()
    }

    /// Keeps a value.
    ///
    /// # Errors
    ///
    /// A key that begins with `_`: those are reserved. A value that JSON cannot express. A response
    /// that has left: nobody would see the value again.
    #[track_caller]
    pub fn set(&self, key: impl Into<String>, value: impl Serialize) -> Result<(), Error> {
        let key = key.into();
        if is_reserved(&key) {
            let text = format!("the session's key `{key}` is reserved: begin it without `_`");
            return Err(Error::internal(text));
        }
        let value = serde_json::to_value(value)?;
        match self.open("set") {
            Some(mut state) => {
                state.touch().insert(key, value);
                Ok(())
            }
            None => Err(Error::internal(TOO_LATE)),
        }
    }

    /// Forgets the value of a key.
    pub fn remove(&self, key: &str) {
        if let Some(mut state) = self.open("remove") {
            state.touch().remove(key);
        }
    }

    /// Forgets all values; the session goes on.
    pub fn clear(&self) {
        if let Some(mut state) = self.open("clear") {
            state.touch().clear();
        }
    }

    /// Ends the session: its values are forgotten, the client's cookie and what a store has of it.
    /// What is set after this is in a new one.
    pub fn destroy(&self) {
        if let Some(mut state) = self.open("destroy") {
            state.destroy();
        }
    }

    /// Gives the session another id in its store, and keeps its values. To be called when somebody
    /// has logged in: whoever knew the id before learns nothing by it.
    pub fn regenerate(&self) {
        if let Some(mut state) = self.open("regenerate") {
            state.rename();
        }
    }

    /// How long this session lasts from now on, in the place of `session.max_age`: "remember me".
    pub fn set_max_age(&self, max_age: Duration) {
        if let Some(mut state) = self.open("set_max_age") {
            state.set_max_age(max_age);
        }
    }

    /// Whether the client has brought none, or none that counts.
    pub fn is_new(&self) -> bool {
        self.state().origin != Origin::Loaded
    }

    /// To be changed, while that makes sense.
    fn open(&self, what: &str) -> Option<MutexGuard<'_, State>> {
        let state = self.state();
        if state.has_left {
            tracing::error!("session: `{what}` has no effect: {TOO_LATE}");
            return None;
        }
        Some(state)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a session cannot be changed.
const TOO_LATE: &str = "the response has left, and the session was saved before: change it before the \
                        handler returns";

impl<S: Sync> FromRequestParts<S> for Session {
    /// A store that does not answer, or sessions that are not switched on.
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        let Some(context) = parts.extensions.get::<Context>().cloned() else {
            return Err(NoContext.into_response());
        };
        let session = context.session().await;
        session.map_err(Error::into_response)
    }
}

/// Without its values, which are nobody's business.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("is_new", &self.is_new())
            .finish_non_exhaustive()
    }
}
