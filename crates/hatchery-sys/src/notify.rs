//! Telling a service manager how the service is (the protocol of systemd's `sd_notify`).
//!
//! One datagram is one message of lines `NAME=value`. The manager names its socket in
//! `NOTIFY_SOCKET`, a path or `@` and an abstract name; without that variable there is nobody to
//! tell. Messages are sent without waiting: a manager that does not read must not stop the service.

use std::ffi::OsString;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;

use rustix::io::retry_on_intr;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix,
    SocketFlags, SocketType,
};

use crate::clock;

/// Without waiting, and without a signal.
const FLAGS: SendFlags = SendFlags::NOSIGNAL.union(SendFlags::DONTWAIT);

/// The manager's socket. Each message stands alone, so a manager that was restarted gets the next.
#[derive(Debug)]
pub struct Notifier {
    socket: OwnedFd,
    address: SocketAddrUnix,
}

impl Notifier {
    /// Takes the value of `NOTIFY_SOCKET`; `None` when it is unset or empty.
    ///
    /// `InvalidInput` when it is neither an absolute path nor an abstract name, or too long (107
    /// bytes). Whether somebody is there shows at the first message.
    pub fn from_env(value: Option<OsString>) -> io::Result<Option<Self>> {
        let Some(value) = value.filter(|value| !value.is_empty()) else {
            return Ok(None);
        };
        let address = match value.as_bytes() {
            [b'@', name @ ..] => SocketAddrUnix::new_abstract_name(name),
            [b'/', ..] => SocketAddrUnix::new(value.as_bytes()),
            _ => return Err(invalid(&value)),
        };
        let address = address.map_err(|_| invalid(&value))?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
        Ok(Some(Self { socket, address }))
    }

    /// The service is up; also the end of reloading.
    pub fn ready(&self) -> io::Result<()> {
        self.raw("READY=1")
    }

    /// The service reloads its configuration; [`ready`](Self::ready) ends that.
    ///
    /// The time that goes with it is what `Type=notify-reload` wants.
    pub fn reloading(&self) -> io::Result<()> {
        self.raw(&format!(
            "RELOADING=1\nMONOTONIC_USEC={}",
            clock::monotonic_us()
        ))
    }

    /// The service has begun to stop.
    pub fn stopping(&self) -> io::Result<()> {
        self.raw("STOPPING=1")
    }

    /// One line for people, shown by the manager's status command; line breaks become spaces.
    pub fn status(&self, text: &str) -> io::Result<()> {
        self.raw(&format!("STATUS={}", text.replace(['\n', '\r', '\0'], " ")))
    }

    /// The service is alive; to be sent at less than the interval in `WATCHDOG_USEC`.
    pub fn watchdog(&self) -> io::Result<()> {
        self.raw("WATCHDOG=1")
    }

    /// The manager keeps a duplicate of `fd` under `name`, and gives it to the service's next
    /// process (`LISTEN_FDS`, `LISTEN_FDNAMES`).
    ///
    /// `name` has at most 255 printable characters and no `:`. A manager that may not keep any, or
    /// no more, closes it without a word; so it does with a file that it has already.
    pub fn store(&self, name: &str, fd: BorrowedFd<'_>) -> io::Result<()> {
        let mut space = [const { MaybeUninit::uninit() }; rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let fds = [fd];
        if !control.push(SendAncillaryMessage::ScmRights(&fds)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let lines = format!("FDSTORE=1\nFDNAME={name}");
        let parts = [IoSlice::new(lines.as_bytes())];
        retry_on_intr(|| {
            rustix::net::sendmsg_addr(&self.socket, &self.address, &parts, &mut control, FLAGS)
        })?;
        Ok(())
    }

    /// The manager closes what it keeps under `name`.
    pub fn unstore(&self, name: &str) -> io::Result<()> {
        self.raw(&format!("FDSTOREREMOVE=1\nFDNAME={name}"))
    }

    /// Sends these lines as they are.
    ///
    /// `WouldBlock` when the manager does not read, `NotFound` or `ConnectionRefused` when it is not
    /// there. None of that is a reason for the service to do anything else than it does.
    pub fn raw(&self, lines: &str) -> io::Result<()> {
        retry_on_intr(|| {
            rustix::net::sendto(&self.socket, lines.as_bytes(), FLAGS, &self.address)
        })?;
        Ok(())
    }
}

fn invalid(value: &std::ffi::OsStr) -> io::Error {
    let what = format!(
        "NOTIFY_SOCKET={} is not the address of a socket",
        value.display()
    );
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::os::fd::AsFd as _;
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    fn notifier(value: impl Into<OsString>) -> Notifier {
        Notifier::from_env(Some(value.into())).unwrap().unwrap()
    }

    fn next(manager: &UnixDatagram) -> String {
        let mut buffer = [0; 256];
        let length = manager.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn messages_arrive_as_the_protocol_wants() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notifier = notifier(&path);
        notifier.ready().unwrap();
        assert_eq!(next(&manager), "READY=1");
        notifier.stopping().unwrap();
        assert_eq!(next(&manager), "STOPPING=1");
        notifier.watchdog().unwrap();
        assert_eq!(next(&manager), "WATCHDOG=1");
        notifier.status("4 workers\nREADY=1").unwrap();
        assert_eq!(next(&manager), "STATUS=4 workers READY=1");
        notifier.raw("MAINPID=7\nX=1").unwrap();
        assert_eq!(next(&manager), "MAINPID=7\nX=1");

        let before = clock::monotonic_us();
        notifier.reloading().unwrap();
        let message = next(&manager);
        let time = message
            .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
            .unwrap();
        assert!((before..=clock::monotonic_us()).contains(&time.parse().unwrap()));
    }

    #[test]
    fn a_descriptor_is_left_under_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notifier = notifier(&path);
        let (reader, writer) = io::pipe().unwrap();
        notifier.store("a-pipe", reader.as_fd()).unwrap();
        drop(reader);
        let mut buffer = [0; 256];
        let packet = crate::packet::receive(&manager, &mut buffer, false);
        let packet = packet.unwrap().unwrap();
        assert_eq!(&buffer[..packet.len], b"FDSTORE=1\nFDNAME=a-pipe");
        let mut kept = io::PipeReader::from(packet.fds.into_iter().next().unwrap());
        drop(writer);
        assert_eq!(kept.read_to_end(&mut Vec::new()).unwrap(), 0);
        notifier.unstore("a-pipe").unwrap();
        assert_eq!(next(&manager), "FDSTOREREMOVE=1\nFDNAME=a-pipe");
    }

    #[test]
    fn abstract_names_work() {
        let name = format!("hatchery-sys-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        notifier(format!("@{name}")).ready().unwrap();
        assert_eq!(next(&manager), "READY=1");
    }

    #[test]
    fn a_manager_that_does_not_read_or_is_not_there_is_an_error_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let notifier = notifier(&path);
        assert_eq!(
            notifier.ready().unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
        let _manager = UnixDatagram::bind(&path).unwrap();
        let error = loop {
            if let Err(error) = notifier.ready() {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn without_a_manager_there_is_no_notifier() {
        assert!(Notifier::from_env(None).unwrap().is_none());
        assert!(Notifier::from_env(Some(OsString::new())).unwrap().is_none());
        let long = format!("/{}", "x".repeat(200));
        for wrong in ["relative", "vsock:2:1234", &long] {
            let error = Notifier::from_env(Some(wrong.into())).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        }
    }
}
