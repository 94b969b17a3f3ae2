//! Master and child: one message a packet, descriptors attached to it.
//!
//! A packet is a version byte and a postcard body. A new version adds message kinds at the end and
//! changes none that exist, so that a packet of an older version decodes as it always did. Each
//! message is sent in the version that it [appeared in](Versioned::since), and only to a peer that
//! speaks it; what a peer does not speak is left out, and the older way is taken instead.
//!
//! How the two learn what the other speaks: the master says the highest version that it knows in
//! the child's environment ([`PROTOCOL`](crate::environment::PROTOCOL); absent: 1), the child
//! answers in the version byte of everything it sends, which is the lower of the two.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{Error, ErrorCode};

/// The newest version that this build speaks. Version 1 had no hand-over, spares, stacks, pressure
/// or keepers.
pub const VERSION: u8 = 2;

/// The oldest version that this build speaks.
pub const VERSION_MIN: u8 = 1;

static SPOKEN: AtomicU8 = AtomicU8::new(VERSION);

/// The newest version that this process speaks: [`VERSION`], unless it plays an older build.
pub fn spoken() -> u8 {
    SPOKEN.load(Relaxed)
}

/// Plays a build that speaks no newer version than this, so that releases one version apart can be
/// tested with one source.
#[doc(hidden)]
pub fn speak_at_most(version: u8) {
    SPOKEN.store(version.clamp(VERSION_MIN, VERSION), Relaxed);
}

/// A message that knows when it appeared.
pub trait Versioned {
    /// The first version of the protocol that has this message.
    fn since(&self) -> u8;
}

/// Longest packet, in bytes; small, so that a buffer for one fits on a stack. What is larger
/// travels as a memfd beside the message.
pub const PACKET_MAX: usize = 16 * 1024;

/// Most descriptors that ride along with one packet.
pub const FDS_MAX: usize = 64;

/// What the master tells a child.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToChild {
    /// The first message; it is in the socket before the child starts. Two descriptors ride along:
    /// the instance's stats page and the generation's configuration (JSON), both memfds.
    Welcome(Welcome),
    /// The whole pool is up.
    ServerDidReady,
    /// Finish what you have and exit.
    Drain {
        /// Milliseconds until the process group is killed.
        limit_ms: u64,
        /// Whether a successor serves the listener's queue. If not, accept what has queued first.
        successor: bool,
    },
    /// Accept everything that waits in the listener that rides along, then close it and answer
    /// [`ToMaster::Adopted`]: its own slot has no worker now.
    Adopt {
        /// The master's number for the listener.
        listener: u32,
    },
    /// A SEQPACKET socket to a successor rides along: give it every connection that becomes idle
    /// while you drain ([`handover`](crate::handover) has the packets). Comes right before `Drain`.
    /// Since version 2.
    HandOver,
    /// A SEQPACKET socket from a predecessor rides along: serve every connection that comes out of
    /// it. Since version 2.
    Inherit,
    /// Record the stacks of the serving threads in the page. Since version 2.
    Stack,
    /// How short memory is now, 0 (not at all) to 4 (shed requests). Since version 2.
    Pressure {
        /// The level of the policy's ladder.
        level: u8,
    },
    /// A spare takes a slot: serve the listeners that ride along. Since version 2.
    Serve {
        /// The slot.
        slot: u32,
        /// Addresses of the listeners, in the order of their descriptors.
        listeners: Vec<String>,
    },
    /// Hold the listeners that ride along open, and give them to the next master should this one
    /// die. Replaces those of the message before. Since version 2.
    Keep {
        /// What each descriptor is, in their order.
        listeners: Vec<Kept>,
        /// More of the same list follow in the next message.
        more: bool,
    },
    /// You are silent: a SEQPACKET socket to another worker rides along, give it the connections
    /// of which nothing was read. Since version 2.
    Rescue,
}

/// A listener that a child holds for the next master.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The address, as the kernel tells it.
    pub address: String,
    /// The slot that accepts from it; 0 for one that all share.
    pub slot: u32,
    /// Its place in the kernel's group of sockets of that address, where that is known.
    pub place: Option<u32>,
}

impl Versioned for ToChild {
    fn since(&self) -> u8 {
        match self {
            Self::Welcome(_) | Self::ServerDidReady | Self::Drain { .. } | Self::Adopt { .. } => 1,
            Self::HandOver
            | Self::Inherit
            | Self::Stack
            | Self::Pressure { .. }
            | Self::Serve { .. }
            | Self::Keep { .. }
            | Self::Rescue => 2,
        }
    }
}

/// What a child must know to begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// How often the serving loop writes its tick, in milliseconds.
    pub heartbeat_interval_ms: u64,
    /// How long idle keep-alive connections are kept while draining, in milliseconds.
    pub idle_grace_ms: u64,
    /// How long a worker goes on serving when the master is gone, in milliseconds.
    pub orphan_grace_ms: u64,
    /// How long a child that was told to go by somebody else drains, in milliseconds.
    pub drain_timeout_ms: u64,
    /// Addresses of the inherited listeners, in the order of their descriptors.
    pub listeners: Vec<String>,
}

/// What a child tells the master.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToMaster {
    /// It can do its work.
    Ready,
    /// It cannot start, and exits now.
    BootFailed {
        /// Why, in one line.
        reason: String,
    },
    /// It drains by itself (it was sent SIGTERM): a successor is needed.
    Leaving,
    /// The answer to [`ToChild::Adopt`].
    Adopted {
        /// The master's number for the listener.
        listener: u32,
        /// How many connections were waiting in it.
        accepted: u32,
    },
    /// The first message of an orphan to its new master: the listeners that it holds ride along.
    /// Since version 2.
    Kept {
        /// What each descriptor is, in their order.
        listeners: Vec<Kept>,
        /// More of the same list follow in the next message.
        more: bool,
    },
}

impl Versioned for ToMaster {
    fn since(&self) -> u8 {
        match self {
            Self::Ready | Self::BootFailed { .. } | Self::Leaving | Self::Adopted { .. } => 1,
            Self::Kept { .. } => 2,
        }
    }
}

/// Encodes one message as a packet for a peer that speaks up to version `peer`.
///
/// # Errors
///
/// [`ErrorCode::Version`] when the peer does not know the message, [`ErrorCode::TooLong`] when no
/// packet holds it.
pub fn encode<M: Serialize + Versioned>(message: &M, peer: u8) -> Result<Vec<u8>, Error> {
    let version = peer.min(spoken());
    if message.since() > version {
        let detail = format!(
            "the peer speaks {peer}, this message is of {}",
            message.since()
        );
        return Err(Error::new(ErrorCode::Version, detail));
    }
    let packet = postcard::to_extend(message, vec![version])
        .map_err(|error| Error::new(ErrorCode::Malformed, error))?;
    if packet.len() > PACKET_MAX {
        return Err(Error::new(
            ErrorCode::TooLong,
            format_args!("{} bytes", packet.len()),
        ));
    }
    Ok(packet)
}

/// Decodes one packet; its version is the first byte.
pub fn decode<M: DeserializeOwned>(packet: &[u8]) -> Result<M, Error> {
    let (&version, body) = packet
        .split_first()
        .ok_or_else(|| Error::new(ErrorCode::Malformed, "empty packet"))?;
    if !(VERSION_MIN..=spoken()).contains(&version) {
        let detail = format!(
            "the peer speaks {version}, this side {VERSION_MIN} to {}",
            spoken()
        );
        return Err(Error::new(ErrorCode::Version, detail));
    }
    match postcard::take_from_bytes(body) {
        Ok((message, [])) => Ok(message),
        Ok((_, rest)) => Err(Error::new(
            ErrorCode::Malformed,
            format_args!("{} bytes too many", rest.len()),
        )),
        Err(error) => Err(Error::new(ErrorCode::Malformed, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_the_trip() {
        let drain = ToChild::Drain {
            limit_ms: 30_000,
            successor: true,
        };
        assert_eq!(
            decode::<ToChild>(&encode(&drain, VERSION).unwrap()).unwrap(),
            drain
        );
        let failed = ToMaster::BootFailed {
            reason: "no database".into(),
        };
        assert_eq!(
            decode::<ToMaster>(&encode(&failed, VERSION).unwrap()).unwrap(),
            failed
        );
    }

    #[test]
    fn a_peer_is_sent_what_it_speaks() {
        let ready = encode(&ToMaster::Ready, 1).unwrap();
        assert_eq!(ready[0], 1);
        assert_eq!(decode::<ToMaster>(&ready).unwrap(), ToMaster::Ready);
        // A newer peer is spoken to as far as this side can.
        assert_eq!(encode(&ToMaster::Ready, 9).unwrap()[0], VERSION);
        let error = encode(&ToChild::Stack, 1).unwrap_err();
        assert!(error.is_version(), "{error}");
    }

    #[test]
    fn version_1_is_frozen() {
        // Bytes of messages as version 1 wrote them: an old worker must go on to understand.
        let drain = ToChild::Drain {
            limit_ms: 300,
            successor: true,
        };
        assert_eq!(encode(&drain, 1).unwrap(), [1, 2, 0xac, 2, 1]);
        let adopt = ToChild::Adopt { listener: 5 };
        assert_eq!(encode(&adopt, 1).unwrap(), [1, 3, 5]);
        let welcome = ToChild::Welcome(Welcome {
            heartbeat_interval_ms: 250,
            idle_grace_ms: 1,
            orphan_grace_ms: 2,
            drain_timeout_ms: 3,
            listeners: vec!["a".into()],
        });
        assert_eq!(
            encode(&welcome, 1).unwrap(),
            [1, 0, 0xfa, 1, 1, 2, 3, 1, 1, b'a']
        );
        let adopted = ToMaster::Adopted {
            listener: 5,
            accepted: 6,
        };
        assert_eq!(encode(&adopted, 1).unwrap(), [1, 3, 5, 6]);
        assert_eq!(encode(&ToMaster::Leaving, 1).unwrap(), [1, 2]);
    }

    #[test]
    fn another_version_is_told_from_rubbish() {
        let mut packet = encode(&ToMaster::Ready, VERSION).unwrap();
        packet[0] = VERSION + 1;
        assert!(decode::<ToMaster>(&packet).unwrap_err().is_version());
        assert_eq!(
            decode::<ToMaster>(&[]).unwrap_err().code(),
            ErrorCode::Malformed
        );
        assert_eq!(
            decode::<ToMaster>(&[VERSION, 200]).unwrap_err().code(),
            ErrorCode::Malformed
        );
        let mut long = encode(&ToMaster::Ready, VERSION).unwrap();
        long.push(0);
        assert_eq!(
            decode::<ToMaster>(&long).unwrap_err().code(),
            ErrorCode::Malformed
        );
    }

    #[test]
    fn a_message_that_no_packet_holds_is_refused() {
        let huge = ToMaster::BootFailed {
            reason: "x".repeat(PACKET_MAX),
        };
        assert_eq!(
            encode(&huge, VERSION).unwrap_err().code(),
            ErrorCode::TooLong
        );
    }

    #[test]
    fn no_bytes_make_the_decoder_panic() {
        // A worker is not trusted: whatever it sends, the master gets an error or a message.
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..20_000 {
            let mut packet = vec![VERSION];
            for _ in 0..(seed % 40) {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                packet.push((seed >> 56) as u8);
            }
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let _ = decode::<ToMaster>(&packet);
        }
    }
}
