//! The successor's side: connections come and are served on.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;

use hatchery_ipc::handover::{Acknowledged, Connection, PACKET_MAX, decode, encode};
use hatchery_sys::memfd;
use hatchery_sys::packet::{self, Packet};
use rustix::net::Shutdown;

use crate::complain::complain;
use crate::serve::{Arrival, Arrivals, Detached, Socket};

/// Most connections that wait for a serving thread: those of many predecessors at a time.
const WAITING_MAX: usize = 4096;

/// Starts the thread that takes connections from the predecessor at the channel's other end.
pub(crate) fn start(channel: OwnedFd, arrivals: Arc<Arrivals>) -> io::Result<()> {
    let take = move || {
        let channel = Arc::new(channel);
        if let Err(error) = take_all(&channel, &arrivals) {
            complain(format_args!("takes over no more connections: {error}"));
        }
        // The predecessor sees the end at once, and takes back what is not acknowledged by now.
        let _ = rustix::net::shutdown(&*channel, Shutdown::Both);
    };
    thread::Builder::new()
        .name("hatchery-take".into())
        .spawn(take)
        .map(drop)
}

/// Takes connections until the predecessor is done.
fn take_all(channel: &Arc<OwnedFd>, arrivals: &Arrivals) -> io::Result<()> {
    let mut buffer = vec![0; PACKET_MAX];
    while let Some(packet) = packet::receive(&**channel, &mut buffer, false)? {
        let (number, connection) = unpack(&buffer[..packet.len], packet)?;
        if arrivals.len() >= WAITING_MAX {
            return Err(io::Error::other("too many wait"));
        }
        let channel = Arc::clone(channel);
        arrivals.push(Arrival::Inherited {
            connection,
            acknowledge: Box::new(move || acknowledge(&channel, number).is_ok()),
        });
    }
    Ok(())
}

fn unpack(bytes: &[u8], packet: Packet) -> io::Result<(u32, Detached)> {
    let Connection {
        number,
        ahead,
        ahead_in_memfd,
    } = decode(bytes).map_err(io::Error::other)?;
    let mut fds = packet.fds.into_iter();
    let missing = || io::Error::new(io::ErrorKind::InvalidData, "a descriptor is missing");
    let socket = Socket::new(fds.next().ok_or_else(missing)?)?;
    let ahead = if ahead_in_memfd {
        memfd::read(fds.next().ok_or_else(missing)?)?
    } else {
        ahead
    };
    Ok((number, Detached::new(socket, ahead.into())))
}

/// Fails when the predecessor has taken the connection back.
fn acknowledge(channel: &OwnedFd, number: u32) -> io::Result<()> {
    let bytes = encode(&Acknowledged { number }).map_err(io::Error::other)?;
    packet::send(channel, &bytes, &[], true)
}
