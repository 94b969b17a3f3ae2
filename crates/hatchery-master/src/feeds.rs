//! Answers of many lines, written as fast as their reader takes them and no faster.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use hatchery_ipc::control::Response;
use hatchery_ipc::exits::Exit;
use serde::{Deserialize, Serialize};

use crate::control::Connection;
use crate::events::Events;
use crate::master::Master;

/// A reader with so many bytes waiting is given no more for now.
const AHEAD_MAX: usize = 64 * 1024;

/// What a client has yet to be told.
#[derive(Debug)]
pub(crate) enum Feed {
    /// Events.
    Events {
        /// From this number on.
        next: u64,
        /// To this number; `None`: as long as the client listens.
        until: Option<u64>,
    },
    /// Exit reports, as they were when they were asked for.
    Exits(VecDeque<Rc<Exit>>),
}

/// The unfinished ones, by the client's key; one for each client at most.
pub(crate) type Feeds = BTreeMap<u64, Feed>;

/// A [`Feed`] for the next image.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum SavedFeed {
    Events { next: u64, until: Option<u64> },
    Exits(Vec<Exit>),
}

/// What comes next in a feed.
enum Next {
    Line(Box<Response>),
    /// Nothing now, more later.
    Wait,
    End,
}

impl Feed {
    pub(crate) fn save(&self) -> SavedFeed {
        match self {
            Self::Events { next, until } => SavedFeed::Events {
                next: *next,
                until: *until,
            },
            Self::Exits(rest) => {
                SavedFeed::Exits(rest.iter().map(|exit| Exit::clone(exit)).collect())
            }
        }
    }

    pub(crate) fn restore(saved: SavedFeed) -> Self {
        match saved {
            SavedFeed::Events { next, until } => Self::Events { next, until },
            SavedFeed::Exits(rest) => Self::Exits(rest.into_iter().map(Rc::new).collect()),
        }
    }

    fn next(&mut self, events: &Events) -> Next {
        match self {
            Self::Exits(rest) => match rest.pop_front() {
                Some(exit) => Next::Line(Box::new(Response::exit(Exit::clone(&exit)))),
                None => Next::End,
            },
            Self::Events { next, until } => {
                let event = events.at(*next);
                let event = event.filter(|event| until.is_none_or(|until| event.seq <= until));
                match event {
                    Some(event) => {
                        *next = event.seq + 1;
                        Next::Line(Box::new(Response::event(event.clone())))
                    }
                    None if until.is_some() => Next::End,
                    None => Next::Wait,
                }
            }
        }
    }
}

impl Master {
    /// Begins to tell a client something; what it was being told before ends.
    pub(crate) fn feed(&mut self, key: u64, feed: Feed) {
        self.feeds.insert(key, feed);
        self.pump(key);
    }

    /// Tells every reader what has come since.
    pub(crate) fn pump_all(&mut self) {
        let keys: Vec<u64> = self.feeds.keys().copied().collect();
        for key in keys {
            self.pump(key);
        }
    }

    /// Tells one reader as much as it takes.
    pub(crate) fn pump(&mut self, key: u64) {
        // The feed is gone, or its client is when an answer could not be written.
        while self.control.pending(key).is_some_and(|n| n < AHEAD_MAX) {
            let Some(feed) = self.feeds.get_mut(&key) else {
                return;
            };
            match feed.next(&self.events) {
                Next::Line(response) => self.answer(key, &response),
                Next::Wait => return,
                Next::End => {
                    self.feeds.remove(&key);
                    return self.answer(key, &Response::end());
                }
            }
        }
        if self.control.pending(key).is_none() {
            self.feeds.remove(&key);
        }
    }

    /// A client's connection can take more.
    pub(crate) fn client_writable(&mut self, key: u64) {
        let connection = self.control.flush(key);
        self.settle(key, connection);
        if connection != Connection::Closed && self.feeds.contains_key(&key) {
            self.pump(key);
        }
    }
}
