//! Listeners on the loopback interface and in temporary directories. Tests that come back to a port
//! have an address of their own, where no other test is given that port meanwhile.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hatchery_sys::listen::{self, Address, Options, Queue};
use rustix::net::sockopt;

const SHARED: Options = Options {
    backlog: 64,
    reuse_port: false,
    unix_mode: 0o600,
};
const SLOT: Options = Options {
    backlog: 512,
    reuse_port: true,
    unix_mode: 0o600,
};

fn tcp(address: &str) -> Address {
    address.parse().unwrap()
}

fn socket_address(fd: &OwnedFd) -> SocketAddr {
    match listen::local_address(fd).unwrap() {
        Address::Tcp(address) => address,
        other @ Address::Unix(_) => panic!("{other}"),
    }
}

/// A group of `count` sockets on one free port.
fn group(host: &str, count: usize) -> (SocketAddr, Vec<OwnedFd>) {
    let first = listen::bind(&tcp(&format!("{host}:0")), &SLOT).unwrap();
    let address = socket_address(&first);
    let rest = (1..count).map(|_| listen::bind(&Address::Tcp(address), &SLOT).unwrap());
    let sockets = std::iter::once(first).chain(rest).collect();
    (address, sockets)
}

/// Connects `count` times, keeping all open, and tells how many wait at each socket.
fn spread(address: SocketAddr, sockets: &[OwnedFd], count: u32) -> Vec<u32> {
    let waiting = || sockets.iter().map(|fd| listen::queue(fd).unwrap().waiting);
    let already: u32 = waiting().sum();
    let clients: Vec<_> = (0..count)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    // A connection is in the queue a moment after connect() returns.
    wait_until(|| waiting().sum::<u32>() == already + count);
    let waiting = waiting().collect();
    for socket in sockets {
        let listener = TcpListener::from(socket.try_clone().unwrap());
        while listener.accept().is_ok() {}
    }
    drop(clients);
    waiting
}

fn wait_until(mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "waited too long");
        std::thread::yield_now();
    }
}

fn kind<T>(result: io::Result<T>) -> io::ErrorKind {
    result.map(|_| ()).unwrap_err().kind()
}

#[test]
fn a_listener_is_set_up_and_its_connections_inherit_that() {
    for host in ["127.0.0.1:0", "[::1]:0"] {
        let fd = listen::bind(&tcp(host), &Options::default()).unwrap();
        let address = socket_address(&fd);
        assert_ne!(address.port(), 0);
        assert_eq!(listen::local_address(&fd).unwrap(), Address::Tcp(address));
        assert!(
            rustix::io::fcntl_getfd(&fd)
                .unwrap()
                .contains(rustix::io::FdFlags::CLOEXEC)
        );
        assert!(
            rustix::fs::fcntl_getfl(&fd)
                .unwrap()
                .contains(rustix::fs::OFlags::NONBLOCK)
        );
        assert!(
            sockopt::socket_reuseaddr(&fd).unwrap() && !sockopt::socket_reuseport(&fd).unwrap()
        );
        assert!(!address.is_ipv6() || sockopt::ipv6_v6only(&fd).unwrap());

        let client = TcpStream::connect(address).unwrap();
        wait_until(|| listen::queue(&fd).unwrap().waiting == 1);
        let (accepted, _) = TcpListener::from(fd).accept().unwrap();
        assert!(accepted.nodelay().unwrap());
        assert!(sockopt::socket_keepalive(&accepted).unwrap());
        assert_eq!(
            sockopt::tcp_keepidle(&accepted).unwrap(),
            Duration::from_mins(1)
        );
        assert_eq!(
            sockopt::tcp_keepintvl(&accepted).unwrap(),
            Duration::from_secs(10)
        );
        assert_eq!(sockopt::tcp_keepcnt(&accepted).unwrap(), 3);
        assert_eq!(sockopt::tcp_user_timeout(&accepted).unwrap(), 120_000);
        drop(client);
    }
}

#[test]
fn an_address_in_use_is_told_with_its_name() {
    let fd = listen::bind(&tcp("127.9.0.1:0"), &SHARED).unwrap();
    let address = Address::Tcp(socket_address(&fd));
    for options in [SHARED, SLOT] {
        let error = listen::bind(&address, &options).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&address.to_string()), "{error}");
    }
    assert!(listen::in_use(&address).unwrap());
    drop(fd);
    assert!(!listen::in_use(&address).unwrap());
    listen::bind(&address, &SHARED).unwrap();
    let foreign = listen::bind(&tcp("192.0.2.1:0"), &SHARED);
    assert_eq!(kind(foreign), io::ErrorKind::AddrNotAvailable);
}

#[test]
fn a_group_is_seen_though_anybody_could_join_it() {
    let (address, sockets) = group("127.9.0.2", 2);
    assert!(listen::in_use(&Address::Tcp(address)).unwrap());
    // The look has changed nothing.
    assert_eq!(spread(address, &sockets, 20).iter().sum::<u32>(), 20);
    drop(sockets);
    assert!(!listen::in_use(&Address::Tcp(address)).unwrap());
}

#[test]
fn an_address_is_free_again_though_its_connections_linger() {
    let fd = listen::bind(&tcp("127.9.0.3:0"), &SHARED).unwrap();
    let address = socket_address(&fd);
    let client = TcpStream::connect(address).unwrap();
    wait_until(|| listen::queue(&fd).unwrap().waiting == 1);
    let listener = TcpListener::from(fd);
    let (accepted, _) = listener.accept().unwrap();
    // The side that closes first keeps the address for a minute.
    drop(accepted);
    assert_eq!((&client).read(&mut [0]).unwrap(), 0);
    drop((client, listener));
    listen::bind(&Address::Tcp(address), &SHARED).unwrap();
}

#[test]
fn the_queue_tells_what_waits() {
    let fd = listen::bind(&tcp("127.0.0.1:0"), &SHARED).unwrap();
    let empty = Queue {
        waiting: 0,
        limit: 64,
        listening: true,
    };
    assert_eq!(listen::queue(&fd).unwrap(), empty);
    let clients: Vec<_> = (0..5)
        .map(|_| TcpStream::connect(socket_address(&fd)).unwrap())
        .collect();
    wait_until(|| listen::queue(&fd).unwrap().waiting == 5);
    let listener = TcpListener::from(fd.try_clone().unwrap());
    listener.accept().unwrap();
    assert_eq!(listen::queue(&fd).unwrap().waiting, 4);
    drop(clients);
}

#[test]
fn a_shut_down_listener_is_seen_and_can_be_revived() {
    // The port must be asked for by number, or it is given up at the shutdown.
    let free = socket_address(&listen::bind(&tcp("127.9.0.4:0"), &SHARED).unwrap());
    let fd = listen::bind(&Address::Tcp(free), &SHARED).unwrap();
    let other_holder = fd.try_clone().unwrap();
    listen::shutdown(&other_holder).unwrap();
    let down = Queue {
        waiting: 0,
        limit: 0,
        listening: false,
    };
    assert_eq!(listen::queue(&fd).unwrap(), down);
    assert_eq!(
        kind(TcpStream::connect(free)),
        io::ErrorKind::ConnectionRefused
    );
    listen::relisten(&fd, 32).unwrap();
    let again = Queue {
        waiting: 0,
        limit: 32,
        listening: true,
    };
    assert_eq!(listen::queue(&fd).unwrap(), again);
    assert_eq!(socket_address(&fd), free);
    TcpStream::connect(free).unwrap();
}

#[test]
fn a_member_of_a_group_can_be_revived_too() {
    let (address, sockets) = group("127.9.0.5", 3);
    listen::shutdown(&sockets[1]).unwrap();
    listen::relisten(&sockets[1], 512).unwrap();
    // It comes last now: index 2 is what was index 1.
    listen::steer(&sockets[0], &[2]).unwrap();
    assert_eq!(spread(address, &sockets, 20), [0, 20, 0]);
}

#[test]
fn connections_are_steered_to_the_named_slots_only() {
    for host in ["127.0.0.1", "[::1]"] {
        let (address, sockets) = group(host, 4);
        let all = spread(address, &sockets, 200);
        assert!(all.iter().all(|count| *count > 0), "{host} {all:?}");

        listen::steer(&sockets[0], &[1, 3]).unwrap();
        let some = spread(address, &sockets, 200);
        assert_eq!((some[0], some[2]), (0, 0), "{host} {some:?}");
        // 100 each with a standard deviation of 7.
        assert!(some[1] > 50 && some[3] > 50, "{host} {some:?}");

        // Through another member, and to one.
        listen::steer(&sockets[3], &[2]).unwrap();
        assert_eq!(spread(address, &sockets, 40), [0, 0, 40, 0]);
        // All again.
        listen::steer(&sockets[2], &[0, 1, 2, 3]).unwrap();
        let all = spread(address, &sockets, 400);
        assert!(all.iter().all(|count| *count > 50), "{host} {all:?}");
    }
}

#[test]
fn without_a_program_the_kernel_chooses_among_all() {
    let (address, sockets) = group("127.0.0.1", 3);
    listen::steer(&sockets[0], &[1]).unwrap();
    listen::unsteer(&sockets[2]).unwrap();
    let all = spread(address, &sockets, 300);
    assert!(all.iter().all(|count| *count > 50), "{all:?}");
    listen::unsteer(&sockets[0]).unwrap();
}

#[test]
fn a_group_is_told_from_a_single_socket() {
    let (_, sockets) = group("127.0.0.1", 1);
    assert!(listen::is_grouped(&sockets[0]).unwrap());
    let single = listen::bind(&tcp("127.0.0.1:0"), &SHARED).unwrap();
    assert!(!listen::is_grouped(&single).unwrap());
}

#[test]
fn a_program_of_the_largest_kind_is_taken() {
    let (_, sockets) = group("127.0.0.1", 1);
    let odd: Vec<u32> = (0..512).map(|slot| slot * 2 + 1).collect();
    listen::steer(&sockets[0], &odd).unwrap();
}

#[test]
fn what_waits_at_a_slot_that_is_left_out_is_not_lost() {
    let (address, sockets) = group("127.0.0.1", 2);
    listen::steer(&sockets[0], &[1]).unwrap();
    let mut client = TcpStream::connect(address).unwrap();
    wait_until(|| listen::queue(&sockets[1]).unwrap().waiting == 1);
    listen::steer(&sockets[0], &[0]).unwrap();
    let listener = TcpListener::from(sockets[1].try_clone().unwrap());
    let (mut accepted, _) = listener.accept().unwrap();
    client.write_all(b"x").unwrap();
    accepted.set_nonblocking(false).unwrap();
    accepted.read_exact(&mut [0]).unwrap();
}

#[test]
fn only_groups_can_be_steered() {
    let fd = listen::bind(&tcp("127.0.0.1:0"), &SHARED).unwrap();
    assert!(listen::steer(&fd, &[0]).is_err());
    let (_, sockets) = group("127.0.0.1", 1);
    assert_eq!(
        kind(listen::steer(&sockets[0], &[])),
        io::ErrorKind::InvalidInput
    );
}

#[test]
fn a_unix_listener_has_its_file_its_rights_and_its_name() {
    let dir = tempfile::tempdir().unwrap();
    for (name, mode) in [("one.sock", 0o600), ("two.sock", 0o666)] {
        let path = dir.path().join(name);
        let address = Address::Unix(path.clone());
        let fd = listen::bind(
            &address,
            &Options {
                unix_mode: mode,
                ..SHARED
            },
        )
        .unwrap();
        let metadata = std::fs::metadata(&path).unwrap();
        assert!(metadata.file_type().is_socket());
        assert_eq!(metadata.permissions().mode() & 0o777, mode);
        assert_eq!(listen::local_address(&fd).unwrap(), address);
        let queue = Queue {
            waiting: 0,
            limit: 0,
            listening: true,
        };
        assert_eq!(listen::queue(&fd).unwrap(), queue);
        let _client = UnixStream::connect(&path).unwrap();
        UnixListener::from(fd).accept().unwrap();
    }
    assert_eq!(names(dir.path()), ["one.sock", "two.sock"]);
}

fn names(dir: &Path) -> Vec<String> {
    let list = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = list
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_stale_file_is_replaced_and_a_listener_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.sock");
    let address = Address::Unix(path.clone());
    assert!(!listen::in_use(&address).unwrap());
    let first = listen::bind(&address, &SHARED).unwrap();
    assert!(listen::in_use(&address).unwrap());
    let error = listen::bind(&address, &SHARED).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    UnixStream::connect(&path).unwrap();

    drop(first);
    assert!(path.exists() && !listen::in_use(&address).unwrap());
    let _second = listen::bind(&address, &SHARED).unwrap();
    UnixStream::connect(&path).unwrap();
    assert_eq!(names(dir.path()), ["app.sock"]);
}

#[test]
fn a_listener_with_a_full_queue_is_in_use_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.sock");
    let address = Address::Unix(path.clone());
    let _fd = listen::bind(
        &address,
        &Options {
            backlog: 0,
            ..SHARED
        },
    )
    .unwrap();
    let mut looks = 0;
    // Each look waits in the queue until the listener would accept it.
    while looks < 5 {
        assert!(listen::in_use(&address).unwrap());
        looks += 1;
    }
    assert_eq!(
        kind(listen::bind(&address, &SHARED)),
        io::ErrorKind::AddrInUse
    );
}

#[test]
fn what_is_not_ours_to_replace_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, "precious").unwrap();
    let address = Address::Unix(path.clone());
    let error = listen::bind(&address, &SHARED).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    assert!(error.to_string().contains("not a socket"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");

    let path = dir.path().join("datagram");
    let _other = UnixDatagram::bind(&path).unwrap();
    assert_eq!(
        kind(listen::bind(&Address::Unix(path), &SHARED)),
        io::ErrorKind::AddrInUse
    );

    let missing = Address::Unix(dir.path().join("missing/app.sock"));
    assert_eq!(
        kind(listen::bind(&missing, &SHARED)),
        io::ErrorKind::NotFound
    );
    assert_eq!(names(dir.path()), ["datagram", "file"]);
}

#[test]
fn paths_longer_than_the_kernel_takes_work() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("d".repeat(200)).join("e".repeat(200));
    std::fs::create_dir_all(&deep).unwrap();
    let path = deep.join("app.sock");
    let address = Address::Unix(path.clone());
    let first = listen::bind(&address, &SHARED).unwrap();
    assert_eq!(
        kind(listen::bind(&address, &SHARED)),
        io::ErrorKind::AddrInUse
    );
    assert_eq!(
        kind(listen::local_address(&first)),
        io::ErrorKind::Unsupported
    );
    listen::connect_unix(&path).unwrap();
    drop(first);
    assert_eq!(
        kind(listen::connect_unix(&path)),
        io::ErrorKind::ConnectionRefused
    );
    let _second = listen::bind(&address, &SHARED).unwrap();
    assert_eq!(names(&deep), ["app.sock"]);
    // A file name that no detour can make short enough to connect to.
    let address = Address::Unix(deep.join("n".repeat(150)));
    assert_eq!(
        kind(listen::bind(&address, &SHARED)),
        io::ErrorKind::InvalidFilename
    );
    assert_eq!(names(&deep), ["app.sock"]);
}

#[test]
fn each_path_that_the_kernel_takes_works_though_the_temporary_one_is_longer() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().as_os_str().len() + 1;
    for length in 70..=107 {
        let path: PathBuf = dir.path().join("s".repeat(length - base));
        let address = Address::Unix(path.clone());
        let fd = listen::bind(&address, &SHARED).unwrap();
        match listen::local_address(&fd) {
            Ok(told) => assert_eq!(told, address),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::Unsupported),
        }
        assert!(listen::in_use(&address).unwrap());
    }
}

#[test]
fn sockets_without_a_name_have_no_address() {
    let (near, _far) = UnixStream::pair().unwrap();
    assert_eq!(
        kind(listen::local_address(near.as_fd())),
        io::ErrorKind::Unsupported
    );
}
