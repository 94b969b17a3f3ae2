//! Where sessions are, when they are not in cookies.

use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::{Application, BoxError};

/// Keeps sessions outside of cookies, say in Redis. All processes of an application, and all its
/// machines, must see the same ones.
///
/// A store limits its own waiting: a request waits as long as these functions do. An error is
/// answered with 500.
pub trait SessionStore: Send + Sync + 'static {
    /// The text that `set` was given last for this id; `None` once its time to live is over, or when
    /// it was destroyed.
    fn get(&self, id: &str) -> impl Future<Output = Result<Option<String>, BoxError>> + Send;

    /// Keeps `session`, a JSON object, for `ttl` from now on.
    fn set(
        &self,
        id: &str,
        session: &str,
        ttl: Duration,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Forgets it. One that is not there is no error.
    fn destroy(&self, id: &str) -> impl Future<Output = Result<(), BoxError>> + Send;
}

type Step<'a, T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send + 'a>>;

/// [`SessionStore`] as an object.
pub(super) trait ErasedStore: Send + Sync {
    fn get<'a>(&'a self, id: &'a str) -> Step<'a, Option<String>>;
    fn set<'a>(&'a self, id: &'a str, session: &'a str, ttl: Duration) -> Step<'a, ()>;
    fn destroy<'a>(&'a self, id: &'a str) -> Step<'a, ()>;
}

impl<S: SessionStore> ErasedStore for S {
    fn get<'a>(&'a self, id: &'a str) -> Step<'a, Option<String>> {
        Box::pin(SessionStore::get(self, id))
    }

    fn set<'a>(&'a self, id: &'a str, session: &'a str, ttl: Duration) -> Step<'a, ()> {
        Box::pin(SessionStore::set(self, id, session, ttl))
    }

    fn destroy<'a>(&'a self, id: &'a str) -> Step<'a, ()> {
        Box::pin(SessionStore::destroy(self, id))
    }
}

/// The application's store, and who has set it.
pub(super) struct Chosen {
    pub(super) store: Arc<dyn ErasedStore>,
    place: &'static Location<'static>,
}

impl Application {
    /// Keeps all sessions in `store`. To be called before the first request, in `did_load`. The
    /// table `[session]` counts as before; `max_age = "session"` is a day in the store.
    ///
    /// # Errors
    ///
    /// There is one already; both places are named.
    #[track_caller]
    pub fn set_session_store(&self, store: impl SessionStore) -> Result<(), BoxError> {
        let place = Location::caller();
        let slot = &self.state().sessions.store;
        let store = Arc::new(store);
        if slot.set(Chosen { store, place }).is_ok() {
            return Ok(());
        }
        let first = slot.get().map_or(place, |chosen| chosen.place);
        Err(format!("the sessions' store is set twice: at {first} and at {place}").into())
    }
}

impl fmt::Debug for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionStore set at {}", self.place)
    }
}
