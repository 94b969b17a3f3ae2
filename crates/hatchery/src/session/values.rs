//! What a session knows, and whether it has to be written.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::settings::{MaxAge, SessionSettings};

/// How long a store keeps a session that lasts as long as a browser's.
const DAY: Duration = Duration::from_hours(24);

pub(super) type Values = Map<String, Json>;

/// Whether keys of this name are ours.
pub(super) fn is_reserved(key: &str) -> bool {
    key.starts_with('_')
}

/// A session of one request.
#[derive(Default)]
pub(super) struct State {
    pub(super) values: Values,
    /// As they were before somebody touched them.
    before: Option<Values>,
    pub(super) origin: Origin,
    /// Its name in the store; made when it is first written.
    id: Option<String>,
    /// What it was called in the store, and nobody needs any more.
    former: Option<String>,
    expires: Option<SystemTime>,
    /// Its own, in the place of the configured one.
    max_age: Option<Duration>,
    must_be_written: bool,
    /// The response is on its way: what comes now is too late.
    pub(super) has_left: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Origin {
    /// The client has brought none that counts.
    #[default]
    None,
    /// The client has brought it.
    Loaded,
    /// It was destroyed: what is there now is new.
    Destroyed,
}

/// The form in a cookie, and in a store.
#[derive(Serialize, Deserialize)]
struct Written<V> {
    /// Milliseconds since 1970.
    #[serde(rename = "_expire", default, skip_serializing_if = "Option::is_none")]
    expires: Option<u64>,
    /// Milliseconds.
    #[serde(rename = "_max_age", default, skip_serializing_if = "Option::is_none")]
    max_age: Option<u64>,
    /// All that is in the cookie, when the rest is in a store.
    #[serde(rename = "_id", default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(flatten)]
    values: V,
}

/// What is to be done when the response leaves.
pub(super) enum Ending {
    Nothing,
    /// The client is to forget its cookie, and the store this id.
    Clear(Option<String>),
    Write(Writing),
}

pub(super) struct Writing {
    /// The session.
    pub(super) text: String,
    /// How long the browser keeps its cookie, if not as long as it is open.
    pub(super) cookie_age: Option<Duration>,
    /// How long the store keeps it.
    pub(super) ttl: Duration,
    /// Its name in the store.
    pub(super) id: Option<String>,
    /// The store is to forget this id.
    pub(super) former: Option<String>,
}

impl State {
    /// One that begins with values which nobody has written.
    pub(super) fn beginning_with(values: Values) -> Self {
        Self {
            values,
            origin: Origin::Loaded,
            ..Self::default()
        }
    }

    /// Reads what [`Writing::text`] was. `None`: it is no session, or the name of one.
    pub(super) fn read(text: &str, id: Option<String>) -> Option<Self> {
        let written: Written<Values> = serde_json::from_str(text).ok()?;
        if written.id.is_some() {
            return None;
        }
        let mut values = written.values;
        values.retain(|key, _| !is_reserved(key));
        let expires = written.expires.map(Duration::from_millis);
        Some(Self {
            values,
            origin: Origin::Loaded,
            id,
            // A time that no clock shows is never.
            expires: expires.and_then(|after| SystemTime::UNIX_EPOCH.checked_add(after)),
            max_age: written.max_age.map(Duration::from_millis),
            ..Self::default()
        })
    }

    pub(super) fn has_expired(&self, now: SystemTime) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// The values, to be changed.
    pub(super) fn touch(&mut self) -> &mut Values {
        if self.before.is_none() {
            self.before = Some(self.values.clone());
        }
        &mut self.values
    }

    pub(super) fn destroy(&mut self) {
        *self = Self {
            former: self.former.take().or(self.id.take()),
            origin: Origin::Destroyed,
            ..Self::default()
        };
    }

    pub(super) fn rename(&mut self) {
        self.former = self.former.take().or(self.id.take());
        self.must_be_written = true;
    }

    pub(super) fn set_max_age(&mut self, max_age: Duration) {
        self.max_age = Some(max_age);
        self.must_be_written = true;
    }

    /// The end of its request, at `now`; `new_id` where it is to be written into a store.
    pub(super) fn end(
        &mut self,
        settings: &SessionSettings,
        now: SystemTime,
        new_id: Option<impl FnOnce() -> Option<String>>,
    ) -> Ending {
        if std::mem::replace(&mut self.has_left, true) {
            return Ending::Nothing;
        }
        let max_age = self.max_age.map_or(settings.max_age, MaxAge::Lasts);
        let (cookie_age, lasts) = match max_age {
            MaxAge::Lasts(age) => (Some(age), Some(age)),
            MaxAge::Session => (None, new_id.is_some().then_some(DAY)),
        };
        match self.origin {
            Origin::None if self.values.is_empty() => return Ending::Nothing,
            Origin::Destroyed if self.values.is_empty() => {
                return Ending::Clear(self.former.take());
            }
            _ if !self.is_to_be_written(settings, now, lasts) => return Ending::Nothing,
            _ => {}
        }
        let id = new_id.and_then(|new_id| self.id.take().or_else(new_id));
        Ending::Write(Writing {
            text: self.text(now, lasts),
            cookie_age,
            ttl: lasts.unwrap_or(DAY),
            id,
            former: self.former.take(),
        })
    }

    fn is_to_be_written(
        &self,
        settings: &SessionSettings,
        now: SystemTime,
        lasts: Option<Duration>,
    ) -> bool {
        let is_changed = match &self.before {
            Some(before) => *before != self.values,
            None => false,
        };
        let is_half_over = || match (self.expires, lasts) {
            (Some(expires), Some(lasts)) => expires
                .duration_since(now)
                .is_ok_and(|left| left < lasts / 2),
            _ => false,
        };
        self.must_be_written || is_changed || settings.rolling || settings.renew && is_half_over()
    }

    fn text(&self, now: SystemTime, lasts: Option<Duration>) -> String {
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let expires = lasts.and_then(|lasts| now.checked_add(lasts));
        let since = expires.and_then(|expires| expires.duration_since(SystemTime::UNIX_EPOCH).ok());
        let written = Written {
            expires: since.map(ms),
            max_age: self.max_age.map(ms),
            id: None,
            values: &self.values,
        };
        // What came from JSON goes into it.
        serde_json::to_string(&written).unwrap_or_default()
    }
}

/// The text of a cookie whose session is in a store.
pub(super) fn cookie_text(id: &str) -> String {
    let written = Written {
        expires: None,
        max_age: None,
        id: Some(id.to_owned()),
        values: Values::new(),
    };
    serde_json::to_string(&written).unwrap_or_default()
}

/// The id in such a text.
pub(super) fn id_in(text: &str) -> Option<String> {
    let written: Written<Values> = serde_json::from_str(text).ok()?;
    written.id
}
