//! What one image of the master leaves to the next: everything that it knows, as JSON in a memfd,
//! and the numbers of the descriptors that stay open across `execve`.
//!
//! Each module saves its own part and takes its structs apart by name, all fields of them, so that
//! a new field is a compile error until somebody has decided what becomes of it. What an older
//! image did not write yet gets `#[serde(default)]`. A change that an older reader would
//! misunderstand raises [`OLDEST_READER`]; such a reader refuses, and nothing is touched.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::fd::{AsRawFd as _, BorrowedFd, RawFd};
use std::path::PathBuf;

use hatchery_ipc::child;
use hatchery_ipc::status::Losses;
use serde::{Deserialize, Serialize};

use crate::control::SavedControl;
use crate::events::Events;
use crate::feeds::SavedFeed;
use crate::handover::Handovers;
use crate::launch::SavedLaunch;
use crate::lines::Tail;
use crate::listeners::SavedListeners;
use crate::oom::Rises;
use crate::process::SavedProcess;
use crate::registry::SavedEntry;
use crate::release::SavedRelease;
use crate::requests::Asker;
use crate::run_dir::SavedRunDir;
use crate::sink::SavedSink;
use crate::upkeep::Upkeep;
use hatchery_supervisor::{InstanceId, RequestId, Role, Time};

/// The version of the state that this build writes.
pub(crate) const VERSION: u32 = 1;

/// The oldest version that a build must know to read what this one writes.
const OLDEST_READER: u32 = 1;

/// The oldest version that this build reads.
const OLDEST_READ: u32 = 1;

/// A descriptor by its number, which stays the same in the next image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Fd(RawFd);

impl Fd {
    pub(crate) const fn number(self) -> RawFd {
        self.0
    }
}

/// The descriptors that go along.
#[derive(Debug, Default)]
pub(crate) struct Bag<'a> {
    fds: Vec<BorrowedFd<'a>>,
}

impl<'a> Bag<'a> {
    /// Puts one in. Nothing happens to it until [`fds`](Self::fds) are made inheritable.
    pub(crate) fn put(&mut self, fd: BorrowedFd<'a>) -> Fd {
        self.fds.push(fd);
        Fd(fd.as_raw_fd())
    }

    pub(crate) fn fds(&self) -> &[BorrowedFd<'a>] {
        &self.fds
    }

    /// Their numbers.
    pub(crate) fn numbers(&self) -> Vec<Fd> {
        self.fds.iter().map(|fd| Fd(fd.as_raw_fd())).collect()
    }
}

/// What even a reader that understands nothing else must know, to find the way back.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Head {
    version: u32,
    oldest_reader: u32,
    /// The application's name.
    pub(crate) app: String,
    /// The newest version of the child protocol that a child speaks.
    protocol: u8,
    /// The executable of the image that wrote this.
    pub(crate) former: Fd,
    /// Each descriptor that goes along, `former` too.
    pub(crate) fds: Vec<Fd>,
    /// Why the image that was to follow did not: it has come back to the one that wrote this.
    #[serde(default)]
    pub(crate) refused: Option<String>,
}

impl Head {
    pub(crate) fn new(app: &str, protocol: u8, former: Fd, fds: Vec<Fd>) -> Self {
        Self {
            version: VERSION,
            oldest_reader: OLDEST_READER,
            app: app.to_owned(),
            protocol,
            former,
            fds,
            refused: None,
        }
    }

    /// Whether this build can go on from here, as `app`.
    fn check(&self, app: &str) -> Result<(), String> {
        let Self {
            version,
            oldest_reader,
            ..
        } = self;
        if *oldest_reader > VERSION || *version < OLDEST_READ {
            return Err(format!(
                "the state of the running master is of version {version}, this build reads \
                 {OLDEST_READ} to {VERSION}"
            ));
        }
        if self.app != app {
            return Err(format!("this is {app}, not {}", self.app));
        }
        if self.protocol > child::spoken() {
            return Err(format!(
                "workers speak version {} of the child protocol, this build {}: reload to it first",
                self.protocol,
                child::spoken()
            ));
        }
        Ok(())
    }
}

/// All the rest.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Body {
    pub(crate) launch: SavedLaunch,
    pub(crate) announcer: Option<Fd>,
    /// [`Supervisor`](hatchery_supervisor::Supervisor).
    pub(crate) supervisor: serde_json::Value,
    pub(crate) started_at: Time,
    pub(crate) out: SavedSink,
    pub(crate) err: SavedSink,
    pub(crate) processes: Vec<SavedProcess>,
    pub(crate) pids: Vec<(InstanceId, u32)>,
    pub(crate) last_words: Vec<(InstanceId, String)>,
    pub(crate) setbacks: Vec<(Role, String)>,
    pub(crate) releases: Vec<SavedRelease>,
    pub(crate) failed_tail: Tail,
    pub(crate) listeners: SavedListeners,
    #[serde(default)]
    pub(crate) steered: Vec<u32>,
    /// Names of the listeners that the service manager has.
    #[serde(default)]
    pub(crate) stored: BTreeSet<String>,
    #[serde(default)]
    pub(crate) events: Events,
    #[serde(default)]
    pub(crate) losses: Losses,
    #[serde(default)]
    pub(crate) oom: Rises,
    #[serde(default)]
    pub(crate) handovers: Handovers,
    pub(crate) control: SavedControl,
    #[serde(default)]
    pub(crate) feeds: Vec<(u64, SavedFeed)>,
    pub(crate) askers: Vec<(RequestId, Asker)>,
    pub(crate) next_request: u64,
    pub(crate) stop_requests: u32,
    pub(crate) upkeep: Upkeep,
    /// Of the [gauge](crate::pressure::Gauge): requests that processes had refused that are gone.
    #[serde(default)]
    pub(crate) refused: u64,
    pub(crate) registry: Option<SavedEntry>,
    pub(crate) restart_after_stop: bool,
    pub(crate) run_dir: SavedRunDir,
}

#[derive(Serialize, Deserialize)]
struct Snapshot<H, B> {
    head: H,
    body: B,
}

/// Writes the state.
pub(crate) fn write(head: &Head, body: &Body) -> Result<Vec<u8>, String> {
    serde_json::to_vec(&Snapshot { head, body })
        .map_err(|error| format!("cannot write the state: {error}"))
}

/// Reads only what leads back.
pub(crate) fn read_head(bytes: &[u8]) -> Result<Head, String> {
    let snapshot: Snapshot<Head, serde::de::IgnoredAny> =
        serde_json::from_slice(bytes).map_err(unreadable)?;
    Ok(snapshot.head)
}

/// Reads the state, if this build can go on from it as `app`.
pub(crate) fn read(bytes: &[u8], app: &str) -> Result<(Head, Body), String> {
    read_head(bytes)?.check(app)?;
    let snapshot: Snapshot<Head, Body> = serde_json::from_slice(bytes).map_err(unreadable)?;
    Ok((snapshot.head, snapshot.body))
}

/// The same state with the reason why nobody went on from it.
pub(crate) fn refused(bytes: &[u8], reason: &str) -> Result<Vec<u8>, String> {
    let mut snapshot: Snapshot<Head, serde_json::Value> =
        serde_json::from_slice(bytes).map_err(unreadable)?;
    snapshot.head.refused = Some(reason.to_owned());
    serde_json::to_vec(&snapshot).map_err(unreadable)
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn unreadable(error: serde_json::Error) -> String {
    format!("the state of the running master cannot be read: {error}")
}

/// Bytes as a string of one character each (Latin-1): nearly as short as text where they are text.
pub(crate) mod bytes {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(
            &bytes
                .iter()
                .map(|&byte| char::from(byte))
                .collect::<String>(),
        )
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        String::deserialize(from)?
            .chars()
            .map(|character| u8::try_from(character).map_err(D::Error::custom))
            .collect()
    }
}

/// Paths that need not be UTF-8.
pub(crate) mod path {
    use super::{OsString, PathBuf};
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        path: &std::path::Path,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        path.as_os_str().serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
        OsString::deserialize(from).map(PathBuf::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(version: u32, oldest_reader: u32) -> Head {
        Head {
            version,
            oldest_reader,
            ..Head::new("shop", child::VERSION, Fd(5), vec![Fd(5), Fd(7)])
        }
    }

    #[test]
    fn versions_apart_are_read_while_the_writer_allows_it() {
        assert_eq!(head(VERSION, OLDEST_READER).check("shop"), Ok(()));
        assert_eq!(head(VERSION + 1, VERSION).check("shop"), Ok(()));
        let newer = head(VERSION + 1, VERSION + 1).check("shop").unwrap_err();
        assert!(newer.contains("version 2"), "{newer}");
        assert!(head(OLDEST_READ - 1, 0).check("shop").is_err());
    }

    #[test]
    fn somebody_else_does_not_take_over() {
        let error = head(VERSION, 1).check("bank").unwrap_err();
        assert_eq!(error, "this is bank, not shop");
        let mut newer = head(VERSION, 1);
        newer.protocol = child::VERSION + 1;
        assert!(newer.check("shop").unwrap_err().contains("protocol"));
    }

    #[test]
    fn the_head_can_be_read_whatever_the_body_is_and_remembers_a_refusal() {
        let snapshot = Snapshot {
            head: head(9, 9),
            body: serde_json::json!({"nobody": "knows"}),
        };
        let bytes = serde_json::to_vec(&snapshot).unwrap();
        assert_eq!(read_head(&bytes).unwrap().former, Fd(5));
        let back = read_head(&refused(&bytes, "too old").unwrap()).unwrap();
        assert_eq!(
            (back.refused.as_deref(), back.version),
            (Some("too old"), 9)
        );
        assert!(read(&bytes, "shop").unwrap_err().contains("version 9"));
        for rubbish in [&b""[..], b"{}", b"[1]", b"{\"head\":{}}"] {
            assert!(read(rubbish, "shop").is_err());
        }
    }

    #[test]
    fn bytes_and_paths_survive_whatever_they_are() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct All {
            #[serde(with = "bytes")]
            bytes: Vec<u8>,
            #[serde(with = "path")]
            path: PathBuf,
        }
        use std::os::unix::ffi::OsStringExt as _;
        let all = All {
            bytes: (0..=255).collect(),
            path: OsString::from_vec(vec![b'/', 0xff, b'a']).into(),
        };
        let text = serde_json::to_string(&all).unwrap();
        assert_eq!(serde_json::from_str::<All>(&text).unwrap(), all);
    }
}
