//! Master and child: one message a packet, descriptors attached to it.
//!
//! A packet is a version byte and a postcard body. Unknown message kinds of a newer version are
//! refused as malformed, so new kinds need a new version.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{Error, ErrorCode};

/// The version that this build speaks.
pub const VERSION: u8 = 1;

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
}

/// Encodes one message as a packet.
pub fn encode<M: Serialize>(message: &M) -> Result<Vec<u8>, Error> {
    let packet = postcard::to_extend(message, vec![VERSION])
        .map_err(|error| Error::new(ErrorCode::Malformed, error))?;
    if packet.len() > PACKET_MAX {
        return Err(Error::new(
            ErrorCode::TooLong,
            format_args!("{} bytes", packet.len()),
        ));
    }
    Ok(packet)
}

/// Decodes one packet.
pub fn decode<M: DeserializeOwned>(packet: &[u8]) -> Result<M, Error> {
    let (&version, body) = packet
        .split_first()
        .ok_or_else(|| Error::new(ErrorCode::Malformed, "empty packet"))?;
    if version != VERSION {
        let detail = format!("the peer speaks {version}, this side {VERSION}");
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
        assert_eq!(decode::<ToChild>(&encode(&drain).unwrap()).unwrap(), drain);
        let failed = ToMaster::BootFailed {
            reason: "no database".into(),
        };
        assert_eq!(
            decode::<ToMaster>(&encode(&failed).unwrap()).unwrap(),
            failed
        );
    }

    #[test]
    fn another_version_is_told_from_rubbish() {
        let mut packet = encode(&ToMaster::Ready).unwrap();
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
        let mut long = encode(&ToMaster::Ready).unwrap();
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
        assert_eq!(encode(&huge).unwrap_err().code(), ErrorCode::TooLong);
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
