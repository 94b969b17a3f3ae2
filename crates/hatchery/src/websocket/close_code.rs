//! Why a WebSocket ends (RFC 6455, section 7.4).

use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode as Known;

/// Why a WebSocket ends. Applications have 4000 to 4999 for their own.
pub type CloseCode = u16;

/// It has done what it was for.
pub const NORMAL: CloseCode = 1000;
/// This end goes away.
pub const GOING_AWAY: CloseCode = 1001;
/// The other end has broken the protocol.
pub const PROTOCOL_ERROR: CloseCode = 1002;
/// The other end's close frame had no code. Never sent.
pub const NO_STATUS: CloseCode = 1005;
/// The connection ended without a close frame. Never sent.
pub const ABNORMAL: CloseCode = 1006;
/// A text that is no UTF-8.
pub const INVALID_PAYLOAD: CloseCode = 1007;
/// Against the rules of the application.
pub const POLICY: CloseCode = 1008;
/// A message or a frame is longer than allowed.
pub const TOO_LARGE: CloseCode = 1009;
/// The handler has failed.
pub const INTERNAL_ERROR: CloseCode = 1011;
/// The worker is replaced: connect again.
pub const SERVICE_RESTART: CloseCode = 1012;
/// Too much to do: connect again later.
pub const TRY_AGAIN_LATER: CloseCode = 1013;

/// The same where it may stand in a frame, else [`NORMAL`].
pub(super) fn sendable(code: CloseCode) -> CloseCode {
    if Known::from(code).is_allowed() {
        code
    } else {
        NORMAL
    }
}
