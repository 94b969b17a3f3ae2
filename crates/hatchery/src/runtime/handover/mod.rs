//! Live connections on their way from a draining worker to its successor.
//!
//! The master gives each of the two one end of a SEQPACKET channel
//! ([`hatchery_ipc::handover`] has the packets). Whose a connection is is never in doubt, whichever
//! of the two dies, stops or blocks:
//!
//! - [`give`]: the old worker keeps its own descriptor until the acknowledgement has come. If it
//!   waits in vain it shuts the channel down, reads the acknowledgements that are still in its
//!   queue, and serves on what was not acknowledged.
//! - [`take`]: a serving thread of the successor acknowledges when it can begin, before it reads a
//!   byte. After the channel's end that fails, and it leaves the connection alone.
//!
//! The kernel decides under one lock whether an acknowledgement was queued before the channel was
//! shut down or fails after it.

pub(super) mod give;
pub(super) mod take;
