//! Which protocol a connection's first bytes begin.

/// What a client that knows that we speak HTTP/2 sends first (RFC 9113, section 3.4). The request
/// line in it is no valid HTTP/1.1 request, so its beginning decides.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Longest beginning that is needed to tell, in bytes.
pub(super) const DECIDED_BY: usize = PREFACE.len();

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// The protocol that `first` begins; `None` while it may still be either.
pub(super) fn protocol(first: &[u8]) -> Option<Protocol> {
    let known = first.len().min(DECIDED_BY);
    if first[..known] != PREFACE[..known] {
        Some(Protocol::Http1)
    } else if known == DECIDED_BY {
        Some(Protocol::Http2)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_that_differs_decides() {
        assert_eq!(protocol(b""), None);
        assert_eq!(protocol(b"P"), None);
        assert_eq!(protocol(b"POST / HTTP/1.1\r\n"), Some(Protocol::Http1));
        assert_eq!(protocol(b"GET"), Some(Protocol::Http1));
        assert_eq!(protocol(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r"), None);
        assert_eq!(protocol(PREFACE), Some(Protocol::Http2));
        assert_eq!(
            protocol(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nmore"),
            Some(Protocol::Http2)
        );
    }
}
