//! Command line and master: one JSON object a line over a unix socket of mode 0600.
//!
//! A request is answered by one or more lines; the last one has `"done": true`. A line that is not
//! a request gets an error line and the connection goes on.

use serde::{Deserialize, Serialize};

use crate::events::Event;
use crate::exits::Exit;
use crate::status::Status;
use crate::{Error, ErrorCode};

/// The version that this build speaks.
pub const VERSION: u32 = 1;

/// Longest request line, in bytes, without its newline.
pub const LINE_MAX: usize = 64 * 1024;

/// One request line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The protocol's version.
    pub v: u32,
    /// What is asked.
    #[serde(flatten)]
    pub verb: Verb,
    /// Answer when it is true (the default), or as soon as it is begun.
    #[serde(default = "yes")]
    pub wait: bool,
}

const fn yes() -> bool {
    true
}

/// What can be asked of a running application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "lowercase")]
pub enum Verb {
    /// The state of everything.
    Status,
    /// Replace all instances, start before stop.
    Reload,
    /// Replace the master's own image by the executable on disk; the pool does not notice.
    Upgrade,
    /// Stop politely, then start the binary on disk anew in the same process.
    Restart,
    /// Change the number of workers.
    Scale {
        /// Workers wanted, at least 1.
        workers: u32,
    },
    /// End: workers, then agent, then master.
    Stop {
        /// Do not wait for what is in flight.
        #[serde(default)]
        fast: bool,
    },
    /// Why the last instances died, a line each, oldest first.
    Exits,
    /// What has happened, a line each, oldest first.
    Events {
        /// Go on with what happens from now on.
        #[serde(default)]
        follow: bool,
    },
    /// A child of a former master reports. Its end of a socket pair for the [child
    /// protocol](crate::child), its stats page and, where it has one, its flight recorder ride
    /// along; in the pair waits [`ToMaster::Kept`](crate::child::ToMaster::Kept).
    Orphan(Orphan),
}

/// Who reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orphan {
    /// `agent` or `worker`.
    pub role: String,
    /// Its slot, if it is a worker that has one.
    #[serde(default)]
    pub slot: Option<u32>,
    /// Its number under the former master.
    pub instance: u64,
    /// What it runs, as the former master counted.
    pub generation: u64,
    /// The newest version of the child protocol that it speaks.
    pub protocol: u8,
    /// Whether it drains already.
    #[serde(default)]
    pub draining: bool,
}

/// One answer line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// The protocol's version.
    pub v: u32,
    /// Whether this is the last line of the answer.
    pub done: bool,
    /// Whether it went well so far.
    pub ok: bool,
    /// What was done, or why not: one line for a person (the last stderr lines of a failed
    /// instance may follow it).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The answer to [`Verb::Status`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Box<Status>>,
    /// One of the answers to [`Verb::Exits`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<Box<Exit>>,
    /// One of the answers to [`Verb::Events`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<Box<Event>>,
}

impl Request {
    /// A request that waits until it is true.
    pub fn new(verb: Verb) -> Self {
        Self {
            v: VERSION,
            verb,
            wait: true,
        }
    }

    /// Reads one line, without its newline.
    pub fn parse(line: &[u8]) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Versioned {
            v: u32,
        }
        if line.len() > LINE_MAX {
            return Err(Error::new(
                ErrorCode::TooLong,
                format_args!("{} bytes", line.len()),
            ));
        }
        // The version first: what a newer client asks may not parse as one of our verbs.
        let Versioned { v } = serde_json::from_slice(line)
            .map_err(|error| Error::new(ErrorCode::Malformed, error))?;
        if v != VERSION {
            let detail = format!("the client speaks {v}, this master {VERSION}");
            return Err(Error::new(ErrorCode::Version, detail));
        }
        serde_json::from_slice(line).map_err(|error| Error::new(ErrorCode::Malformed, error))
    }

    /// Writes one line, with its newline.
    pub fn to_line(&self) -> Vec<u8> {
        to_line(self)
    }
}

impl Response {
    /// The last line of an answer.
    pub fn done(result: Result<String, String>) -> Self {
        let ok = result.is_ok();
        let (Ok(message) | Err(message)) = result;
        Self {
            ok,
            message: Some(message),
            ..Self::end()
        }
    }

    /// The last line of an answer whose lines have said all.
    pub const fn end() -> Self {
        Self {
            v: VERSION,
            done: true,
            ok: true,
            message: None,
            status: None,
            exit: None,
            event: None,
        }
    }

    /// The answer to [`Verb::Status`].
    pub fn status(status: Status) -> Self {
        Self {
            status: Some(Box::new(status)),
            ..Self::end()
        }
    }

    /// A line of the answer to [`Verb::Exits`].
    pub fn exit(exit: Exit) -> Self {
        Self {
            done: false,
            exit: Some(Box::new(exit)),
            ..Self::end()
        }
    }

    /// A line of the answer to [`Verb::Events`].
    pub fn event(event: Event) -> Self {
        Self {
            done: false,
            event: Some(Box::new(event)),
            ..Self::end()
        }
    }

    /// Reads one line, without its newline.
    pub fn parse(line: &[u8]) -> Result<Self, Error> {
        serde_json::from_slice(line).map_err(|error| Error::new(ErrorCode::Malformed, error))
    }

    /// Writes one line, with its newline.
    pub fn to_line(&self) -> Vec<u8> {
        to_line(self)
    }
}

fn to_line<M: Serialize>(message: &M) -> Vec<u8> {
    // These types have string keys and no fallible `Serialize`, so this cannot fail; an empty
    // object would be refused by the peer.
    let mut line = serde_json::to_vec(message).unwrap_or_else(|_| b"{}".to_vec());
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_can_type_a_request() {
        let request = Request::parse(br#"{"v":1,"verb":"scale","workers":8}"#).unwrap();
        assert_eq!(request, Request::new(Verb::Scale { workers: 8 }));
        let request = Request::parse(br#"{"v":1,"verb":"stop","wait":false}"#).unwrap();
        assert_eq!(request.verb, Verb::Stop { fast: false });
        assert!(!request.wait);
    }

    #[test]
    fn a_newer_client_is_told_so() {
        let error = Request::parse(br#"{"v":2,"verb":"unheard-of"}"#).unwrap_err();
        assert!(error.is_version(), "{error}");
        assert!(
            !Request::parse(br#"{"v":1,"verb":"unheard-of"}"#)
                .unwrap_err()
                .is_version()
        );
    }

    #[test]
    fn lines_survive_the_trip() {
        let request = Request::new(Verb::Reload);
        assert_eq!(
            Request::parse(request.to_line().trim_ascii_end()).unwrap(),
            request
        );
        let response = Response::done(Err("no".into()));
        assert_eq!(
            Response::parse(response.to_line().trim_ascii_end()).unwrap(),
            response
        );
    }
}
