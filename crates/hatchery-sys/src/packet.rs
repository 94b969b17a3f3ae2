//! Datagrams between the master and its children, with descriptors attached.
//!
//! `SOCK_SEQPACKET`: one send is one receive, in order, with the descriptors it carries, and the
//! end of the other side is seen as an end of file. No lengths, no partial messages.
//!
//! Kernel traps:
//! - an empty packet looks like the end of file to the receiver, so none is sent;
//! - a packet larger than the socket's send buffer is refused (`EMSGSIZE`; about 208 KiB by
//!   default): larger things go into a [memory file](crate::memfd);
//! - descriptors that do not fit (too little room, or the receiver is out of descriptors) are
//!   dropped silently except for a flag: here that is an error;
//! - descriptors of a packet that is never received live on in the queue, until its socket closes.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::retry_on_intr;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

/// The most descriptors in one packet. (The kernel's own limit is 253.)
pub const FDS_MAX: usize = 64;

const CONTROL_BYTES: usize = rustix::cmsg_space!(ScmRights(FDS_MAX));

/// A received packet; its bytes are in the caller's buffer.
#[derive(Debug)]
pub struct Packet {
    /// How many bytes of the buffer it filled; never 0.
    pub len: usize,
    /// The descriptors that came with it, close-on-exec, in the order they were sent.
    pub fds: Vec<OwnedFd>,
}

/// A connected pair of packet sockets, blocking and close-on-exec.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

/// Sends `bytes` and duplicates of `fds` as one packet; all or nothing.
///
/// With `nonblocking`, a full queue is `WouldBlock`; otherwise the call waits for room (unless the
/// socket itself is non-blocking). `BrokenPipe` or `ConnectionReset` when the other side is gone
/// (never a signal), `InvalidInput` for no bytes or more than [`FDS_MAX`] descriptors, and the
/// kernel's "message too long" for more than the send buffer holds.
pub fn send(
    fd: impl AsFd,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
    nonblocking: bool,
) -> io::Result<()> {
    if bytes.is_empty() {
        return Err(invalid_input(
            "an empty packet would look like the end of file",
        ));
    }
    if fds.len() > FDS_MAX {
        return Err(invalid_input("too many descriptors for one packet"));
    }
    let mut space = [const { MaybeUninit::uninit() }; CONTROL_BYTES];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(invalid_input("the descriptors do not fit into one packet"));
    }
    let mut flags = SendFlags::NOSIGNAL;
    flags.set(SendFlags::DONTWAIT, nonblocking);
    let parts = [IoSlice::new(bytes)];
    retry_on_intr(|| rustix::net::sendmsg(fd.as_fd(), &parts, &mut control, flags))?;
    Ok(())
}

/// Receives one packet into `buffer`; `None` is the end: the other side has closed.
///
/// With `nonblocking`, an empty queue is `WouldBlock`; otherwise the call waits (unless the socket
/// itself is non-blocking). A packet larger than `buffer`, or one whose descriptors did not all
/// arrive, is lost and reported as `InvalidData`; descriptors that did arrive are closed.
/// `InvalidInput` when `buffer` is empty.
pub fn receive(fd: impl AsFd, buffer: &mut [u8], nonblocking: bool) -> io::Result<Option<Packet>> {
    if buffer.is_empty() {
        return Err(invalid_input("no room to receive a packet in"));
    }
    let mut space = [const { MaybeUninit::uninit() }; CONTROL_BYTES];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut flags = RecvFlags::CMSG_CLOEXEC;
    flags.set(RecvFlags::DONTWAIT, nonblocking);
    let message = retry_on_intr(|| {
        let mut parts = [IoSliceMut::new(&mut *buffer)];
        rustix::net::recvmsg(fd.as_fd(), &mut parts, &mut control, flags)
    })?;
    let fds: Vec<OwnedFd> = control
        .drain()
        .filter_map(|part| match part {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds),
            _ => None,
        })
        .flatten()
        .collect();
    if message.flags.contains(ReturnFlags::TRUNC) {
        return Err(invalid_data("the packet is larger than the buffer"));
    }
    if message.flags.contains(ReturnFlags::CTRUNC) {
        return Err(invalid_data("not all descriptors of the packet arrived"));
    }
    if message.bytes > 0 {
        return Ok(Some(Packet {
            len: message.bytes,
            fds,
        }));
    }
    if !fds.is_empty() {
        return Err(invalid_data("a packet with descriptors but no bytes"));
    }
    Ok(None)
}

fn invalid_input(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

fn invalid_data(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::FdFlags;
    use std::os::unix::fs::MetadataExt as _;

    fn inode(fd: impl AsFd) -> u64 {
        let file = std::fs::File::from(fd.as_fd().try_clone_to_owned().unwrap());
        file.metadata().unwrap().ino()
    }

    #[test]
    fn one_send_is_one_receive_and_the_end_is_none() {
        let (near, far) = pair().unwrap();
        send(&near, b"one", &[], false).unwrap();
        send(&near, b"second", &[], true).unwrap();
        let mut buffer = [0; 64];
        let first = receive(&far, &mut buffer, false).unwrap().unwrap();
        assert_eq!(&buffer[..first.len], b"one");
        let second = receive(&far, &mut buffer, true).unwrap().unwrap();
        assert_eq!(&buffer[..second.len], b"second");
        let empty = receive(&far, &mut buffer, true).unwrap_err();
        assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
        drop(near);
        assert!(receive(&far, &mut buffer, false).unwrap().is_none());
        let gone = send(&far, b"x", &[], false).unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn descriptors_arrive_in_order_and_close_on_exec() {
        let (near, far) = pair().unwrap();
        let files: Vec<_> = (0..FDS_MAX)
            .map(|_| tempfile::tempfile().unwrap())
            .collect();
        let fds: Vec<_> = files.iter().map(AsFd::as_fd).collect();
        send(&near, b"x", &fds, false).unwrap();
        let packet = receive(&far, &mut [0; 8], false).unwrap().unwrap();
        assert_eq!(packet.fds.len(), FDS_MAX);
        for (sent, received) in files.iter().zip(&packet.fds) {
            assert_eq!(inode(sent), inode(received));
            assert!(
                rustix::io::fcntl_getfd(received)
                    .unwrap()
                    .contains(FdFlags::CLOEXEC)
            );
        }
        let too_many: Vec<_> = (0..=FDS_MAX).map(|_| files[0].as_fd()).collect();
        let error = send(&near, b"x", &too_many, false).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn a_truncated_packet_is_an_error_and_closes_its_descriptors() {
        let (near, far) = pair().unwrap();
        let (reader, writer) = std::io::pipe().unwrap();
        send(&near, b"too long", &[writer.as_fd()], false).unwrap();
        drop(writer);
        let error = receive(&far, &mut [0; 3], false).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        // Had the received write end leaked, this would wait for ever.
        assert_eq!(std::io::read_to_string(reader).unwrap(), "");
    }

    #[test]
    fn more_descriptors_than_we_take_are_an_error_and_are_closed() {
        let (near, far) = pair().unwrap();
        let (reader, writer) = std::io::pipe().unwrap();
        let fds = vec![writer.as_fd(); FDS_MAX + 36];
        let mut space = [const { MaybeUninit::uninit() }; 1024];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
        let parts = [IoSlice::new(b"x")];
        rustix::net::sendmsg(&near, &parts, &mut control, SendFlags::NOSIGNAL).unwrap();
        drop(writer);
        let error = receive(&far, &mut [0; 8], false).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert_eq!(std::io::read_to_string(reader).unwrap(), "");
    }

    #[test]
    fn a_full_queue_and_an_oversized_packet_are_told_apart() {
        let (near, _far) = pair().unwrap();
        let error = loop {
            if let Err(error) = send(&near, &[0; 4096], &[], true) {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        let (near, _far) = pair().unwrap();
        let error = send(&near, &vec![0; 4 << 20], &[], true).unwrap_err();
        assert_ne!(error.kind(), io::ErrorKind::WouldBlock);
        assert_eq!(
            send(&near, b"", &[], true).unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
    }
}
