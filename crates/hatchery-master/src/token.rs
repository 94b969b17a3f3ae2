//! What an epoll event is about, packed into the 64 bits that the kernel keeps for us.

use hatchery_supervisor::InstanceId;

use crate::listeners::ListenerId;

/// Which source of events is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// The signalfd.
    Signals,
    /// The control socket's listener.
    Control,
    /// A client of the control socket, by its key.
    Client(u64),
    /// A child's message socket.
    Messages(InstanceId),
    /// A child's stdout.
    Stdout(InstanceId),
    /// A child's stderr.
    Stderr(InstanceId),
    /// A listener without a worker of its own.
    Listener(ListenerId),
    /// A pipe of some check.
    Check,
    /// The message socket of a former master's child, by its key.
    Orphan(u64),
    /// Its end.
    OrphanGone(u64),
    /// Memory has become short.
    Pressure,
}

const KIND_SHIFT: u32 = 56;
const VALUE_MASK: u64 = (1 << KIND_SHIFT) - 1;

impl Token {
    pub(crate) fn to_u64(self) -> u64 {
        let (kind, value) = match self {
            Self::Signals => (0, 0),
            Self::Control => (1, 0),
            Self::Client(key) => (2, key),
            Self::Messages(InstanceId(id)) => (3, id),
            Self::Stdout(InstanceId(id)) => (4, id),
            Self::Stderr(InstanceId(id)) => (5, id),
            Self::Listener(id) => (6, u64::from(id.to_u32())),
            Self::Check => (7, 0),
            Self::Orphan(key) => (8, key),
            Self::OrphanGone(key) => (9, key),
            Self::Pressure => (12, 0),
        };
        kind << KIND_SHIFT | (value & VALUE_MASK)
    }

    /// The inverse; `None` for a number that is no token.
    pub(crate) fn from_u64(number: u64) -> Option<Self> {
        let value = number & VALUE_MASK;
        Some(match number >> KIND_SHIFT {
            0 => Self::Signals,
            1 => Self::Control,
            2 => Self::Client(value),
            3 => Self::Messages(InstanceId(value)),
            4 => Self::Stdout(InstanceId(value)),
            5 => Self::Stderr(InstanceId(value)),
            6 => Self::Listener(ListenerId::from_u32(u32::try_from(value).ok()?)),
            7 => Self::Check,
            8 => Self::Orphan(value),
            9 => Self::OrphanGone(value),
            12 => Self::Pressure,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_the_kernel() {
        let listener = ListenerId { group: 2, slot: 77 };
        for token in [
            Token::Signals,
            Token::Control,
            Token::Client(63),
            Token::Messages(InstanceId(1)),
            Token::Stdout(InstanceId(2)),
            Token::Stderr(InstanceId(VALUE_MASK)),
            Token::Listener(listener),
            Token::Check,
            Token::Orphan(3),
            Token::OrphanGone(4),
            Token::Pressure,
        ] {
            assert_eq!(Token::from_u64(token.to_u64()), Some(token));
        }
        assert_eq!(Token::from_u64(u64::MAX), None);
    }
}
