//! Old worker and successor: live connections.
//!
//! The master makes a SEQPACKET socket pair and gives one end to each
//! ([`ToChild::HandOver`](crate::child::ToChild::HandOver),
//! [`ToChild::Inherit`](crate::child::ToChild::Inherit)). The old worker sends one packet a
//! connection, its socket beside it; the successor answers each with an acknowledgement *before* it
//! reads a byte of the connection. Until that has come the old worker keeps its own descriptor, so
//! that a successor which dies or stands still costs no connection: what was not acknowledged is
//! served on by the old worker. A successor whose acknowledgement cannot be sent any more drops the
//! connection untouched, because the old worker has taken it back.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{Error, ErrorCode};

/// The version that this build speaks.
pub const VERSION: u8 = 1;

/// Most bytes of a connection that ride in its packet; more come as a sealed memfd beside the
/// socket.
pub const AHEAD_MAX: usize = 16 * 1024;

/// Longest packet, in bytes.
pub const PACKET_MAX: usize = AHEAD_MAX + 64;

/// Most connections that wait for their acknowledgement at a time.
pub const UNACKNOWLEDGED_MAX: usize = 64;

/// A connection on its way. Its socket is the first descriptor beside it; when `ahead_in_memfd`,
/// the second is a memfd with the bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// The sender's number for it.
    pub number: u32,
    /// Bytes that were read and not served.
    pub ahead: Vec<u8>,
    /// The bytes are in a memfd instead.
    pub ahead_in_memfd: bool,
}

/// The successor has it: from now on it alone reads and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// The connection's number.
    pub number: u32,
}

/// Encodes one packet.
///
/// # Errors
///
/// [`ErrorCode::TooLong`] when no packet holds it.
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
///
/// # Errors
///
/// [`ErrorCode::Version`] or [`ErrorCode::Malformed`].
pub fn decode<M: DeserializeOwned>(packet: &[u8]) -> Result<M, Error> {
    match packet.split_first() {
        Some((&VERSION, body)) => match postcard::take_from_bytes(body) {
            Ok((message, [])) => Ok(message),
            Ok(_) => Err(Error::new(ErrorCode::Malformed, "bytes too many")),
            Err(error) => Err(Error::new(ErrorCode::Malformed, error)),
        },
        Some((version, _)) => Err(Error::new(
            ErrorCode::Version,
            format_args!("the peer speaks {version}, this side {VERSION}"),
        )),
        None => Err(Error::new(ErrorCode::Malformed, "empty packet")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_survive_the_trip() {
        let connection = Connection {
            number: 7,
            ahead: vec![b'x'; AHEAD_MAX],
            ahead_in_memfd: false,
        };
        let packet = encode(&connection).unwrap();
        assert_eq!(decode::<Connection>(&packet).unwrap(), connection);
        let mut other = packet;
        other[0] = VERSION + 1;
        assert!(decode::<Connection>(&other).unwrap_err().is_version());
        assert!(decode::<Acknowledged>(&[]).is_err());
    }

    #[test]
    fn what_no_packet_holds_is_refused() {
        let connection = Connection {
            number: u32::MAX,
            ahead: vec![0; PACKET_MAX],
            ahead_in_memfd: false,
        };
        assert_eq!(encode(&connection).unwrap_err().code(), ErrorCode::TooLong);
    }
}
