//! A request's session.

use super::Context;
use crate::Error;
use crate::session::{Session, load};

impl Context {
    /// What is remembered of who asks, loaded when this request first wants it; see
    /// [`session`](mod@crate::session). Saved when the response leaves; that of a context without a
    /// request never is.
    ///
    /// # Errors
    ///
    /// There is no table `[session]`, or the sessions' store does not answer. A bad cookie is none.
    pub async fn session(&self) -> Result<Session, Error> {
        let slot = &self.extras().session;
        slot.get_or_try_init(|| load(self)).await.cloned()
    }

    /// The session, if somebody has asked for it.
    pub(crate) fn used_session(&self) -> Option<&Session> {
        self.data.extras.get()?.session.get()
    }
}
