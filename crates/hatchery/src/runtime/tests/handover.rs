//! Live connections pass from one worker process to another, whatever becomes of either.

use std::io::{BufRead as _, BufReader};

use hatchery_ipc::handover::{Acknowledged, Connection, UNACKNOWLEDGED_MAX};

use super::*;

/// A client that keeps its connection and never opens another.
struct Kept(BufReader<TcpStream>);

impl Kept {
    fn connect(run: &Run) -> Self {
        let stream = TcpStream::connect(run.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(BufReader::new(stream))
    }

    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    /// Asks which process serves; also returns whether it is the connection's last answer.
    fn ask(&mut self) -> (u32, bool) {
        self.send("GET /pid HTTP/1.1\r\nHost: h\r\n\r\n");
        self.answer()
    }

    fn answer(&mut self) -> (u32, bool) {
        let (mut closes, mut length) = (false, 0);
        let mut line = String::new();
        loop {
            line.clear();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "it has ended");
            match line.trim_end().to_ascii_lowercase().split_once(": ") {
                Some(("connection", "close")) => closes = true,
                Some(("content-length", value)) => length = value.parse().unwrap(),
                None if line.trim_end().is_empty() => break,
                _ => {}
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        (String::from_utf8(body).unwrap().parse().unwrap(), closes)
    }

    /// Waits for the connection's end.
    fn is_closed(&mut self) -> bool {
        matches!(self.0.read(&mut [0; 1]), Ok(0))
    }
}

fn started(script: &'static str) -> Run {
    let run = worker(script).start();
    assert_eq!(run.hear(), Some(ToMaster::Ready));
    run
}

/// Some connections that have been served once.
fn kept(run: &Run, count: usize) -> Vec<Kept> {
    let connect = |_| {
        let mut client = Kept::connect(run);
        assert_eq!(client.ask(), (run.child.pid, false));
        client
    };
    (0..count).map(connect).collect()
}

/// Makes `heir` the successor of `old`, as the master does.
fn connect(old: &Run, heir: &Run) {
    let (give, take) = packet::pair().unwrap();
    heir.tell(&ToChild::Inherit, &[take.as_fd()]);
    old.tell(&ToChild::HandOver, &[give.as_fd()]);
}

#[test]
fn idle_connections_are_served_on_by_the_successor() {
    const COUNT: usize = 500;
    let (old, heir) = (started("serve"), started("serve"));
    let mut clients = kept(&old, COUNT);
    // One has sent nothing, one a part of a header, one more than a packet holds.
    let mut silent = Kept::connect(&old);
    clients[1].send("GET /pi");
    clients[2].send(format!("GET /pid HTTP/1.1\r\nLong: {}", "x".repeat(20_000)));
    until("all are there", || {
        old.page.connections() == COUNT as u64 + 1
    });
    connect(&old, &heir);
    old.drain(true);
    assert_eq!(old.ended(), 0);
    assert_eq!(old.page.handed_total(), COUNT as u64 + 1);
    assert_eq!(
        (old.page.returned_total(), old.page.fallen_back_total()),
        (0, 0)
    );
    assert_eq!(heir.page.inherited_total(), COUNT as u64 + 1);
    let heir_pid = heir.child.pid;
    clients[1].send("d HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_eq!(clients[1].answer(), (heir_pid, false));
    clients[2].send("\r\nHost: h\r\n\r\n");
    assert_eq!(clients[2].answer(), (heir_pid, false));
    for client in clients.iter_mut().chain([&mut silent]) {
        assert_eq!(client.ask(), (heir_pid, false));
    }
    assert_eq!(heir.page.connections(), COUNT as u64 + 1);
}

#[test]
fn the_threads_of_both_share_the_connections() {
    const COUNT: usize = 90;
    let (old, heir) = (started("threads"), started("threads"));
    let mut clients = kept(&old, COUNT);
    connect(&old, &heir);
    old.drain(true);
    assert_eq!(old.ended(), 0);
    assert_eq!(heir.page.inherited_total(), COUNT as u64);
    for client in &mut clients {
        assert_eq!(client.ask(), (heir.child.pid, false));
    }
}

#[test]
fn a_successor_that_drains_hands_on_what_it_inherits() {
    let (first, second, third) = (started("serve"), started("serve"), started("serve"));
    let mut clients = kept(&first, 50);
    let second_is_busy = second.request("/wait/1000");
    until("it is in flight", || second.page.in_flight() == 1);
    connect(&second, &third);
    second.drain(true);
    connect(&first, &second);
    first.drain(true);
    assert_eq!(first.ended(), 0);
    assert_eq!(second.page.inherited_total(), 50);
    for client in &mut clients {
        assert_eq!(client.ask(), (third.child.pid, false));
    }
    assert!(second_is_busy.read().ends_with("after the drain"));
    assert_eq!(second.ended(), 0);
}

/// Stops a successor, and waits until it is: a signal that is sent is not yet felt.
fn freeze(heir: &Run) {
    heir.signal(Signal::Stop);
    let stat = format!("/proc/{}/stat", heir.child.pid);
    until("it is stopped", || {
        let stat = std::fs::read_to_string(&stat).unwrap();
        stat.rsplit(')')
            .next()
            .unwrap()
            .trim_start()
            .starts_with('T')
    });
}

/// A successor that takes nothing: everything is served to its end where it was.
fn takes_nothing(heir: &Run, clients: Vec<Kept>, old: &Run) {
    let count = clients.len() as u64;
    // Those that became idle only then were not offered any more.
    until("they are taken back", || {
        old.page.returned_total() + old.page.fallen_back_total() == count
    });
    for mut client in clients {
        assert_eq!(client.ask(), (old.child.pid, true));
        assert!(client.is_closed(), "nobody else holds it open");
    }
    assert_eq!(old.ended(), 0);
    assert_eq!(
        (old.page.handed_total(), heir.page.inherited_total()),
        (0, 0)
    );
}

#[test]
fn a_successor_that_is_stopped_loses_nothing() {
    let (old, heir) = (started("patient"), started("serve"));
    let clients = kept(&old, 3 * UNACKNOWLEDGED_MAX);
    freeze(&heir);
    connect(&old, &heir);
    old.drain(true);
    takes_nothing(&heir, clients, &old);
    // It finds connections that are none of its business any more.
    heir.signal(Signal::Cont);
    assert!(heir.get("/who").contains("200 OK"));
    assert_eq!(heir.page.inherited_total(), 0);
    until("it has let go of them", || heir.page.connections() == 0);
}

#[test]
fn a_successor_that_is_blocked_loses_nothing() {
    let (old, heir) = (started("patient"), started("serve"));
    let clients = kept(&old, 20);
    let _never = heir.request("/block");
    until("it is blocked", || heir.page.in_flight() == 1);
    connect(&old, &heir);
    old.drain(true);
    takes_nothing(&heir, clients, &old);
}

#[test]
fn a_successor_that_is_killed_loses_nothing_that_it_has_not_acknowledged() {
    let (old, heir) = (started("patient"), started("serve"));
    let clients = kept(&old, 3 * UNACKNOWLEDGED_MAX);
    freeze(&heir);
    connect(&old, &heir);
    old.drain(true);
    heir.signal(Signal::Kill);
    takes_nothing(&heir, clients, &old);
}

#[test]
fn what_is_acknowledged_is_gone_and_the_rest_is_taken_back() {
    const COUNT: usize = 2 * UNACKNOWLEDGED_MAX;
    let old = started("patient");
    let mut clients = kept(&old, COUNT);
    let (give, take) = packet::pair().unwrap();
    old.tell(&ToChild::HandOver, &[give.as_fd()]);
    drop(give);
    old.drain(true);
    // The test is the successor. Without an acknowledgement no more than these come.
    let mut sockets = Vec::new();
    for _ in 0..UNACKNOWLEDGED_MAX {
        let mut buffer = [0; 1024];
        let packet = packet::receive(&take, &mut buffer, false).unwrap().unwrap();
        let connection = hatchery_ipc::handover::decode(&buffer[..packet.len]).unwrap();
        let Connection { number, ahead, .. } = connection;
        assert!(ahead.is_empty());
        sockets.push((number, packet.fds));
    }
    let more = packet::receive(&take, &mut [0; 1024], true).unwrap_err();
    assert_eq!(more.kind(), std::io::ErrorKind::WouldBlock);
    // In any order: the second and then the first.
    for place in [1, 0] {
        let number = sockets[place].0;
        let bytes = hatchery_ipc::handover::encode(&Acknowledged { number }).unwrap();
        packet::send(&take, &bytes, &[], true).unwrap();
    }
    drop(take);
    until("the rest is taken back", || {
        let stay = old.page.returned_total() + old.page.fallen_back_total();
        old.page.handed_total() == 2 && stay == COUNT as u64 - 2
    });
    // While one goes from its former driver to the next it counts twice for a moment.
    until("each counts once", || {
        old.page.connections() == COUNT as u64 - 2
    });
    let mut taken = 0;
    for client in &mut clients {
        client.send("GET /pid HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    for (_, fds) in sockets.drain(..2) {
        let mut stream = TcpStream::from(fds.into_iter().next().unwrap());
        stream.set_nonblocking(false).unwrap();
        let mut request = [0; 64];
        let length = stream.read(&mut request).unwrap();
        assert!(request[..length].starts_with(b"GET /pid"));
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n0")
            .unwrap();
    }
    for client in &mut clients {
        match client.answer() {
            (0, false) => taken += 1,
            (pid, closes) => assert_eq!((pid, closes), (old.child.pid, true)),
        }
    }
    assert_eq!(taken, 2);
    assert_eq!(old.ended(), 0);
}

#[test]
fn a_channel_without_another_end_is_as_good_as_none() {
    let old = started("patient");
    let mut clients = kept(&old, 10);
    let (give, take) = packet::pair().unwrap();
    drop(take);
    old.tell(&ToChild::HandOver, &[give.as_fd()]);
    drop(give);
    old.drain(true);
    until("nobody takes them", || {
        old.page.returned_total() + old.page.fallen_back_total() == 10
    });
    for client in &mut clients {
        let (pid, closes) = client.ask();
        assert_eq!(pid, old.child.pid);
        assert!(closes);
    }
    assert_eq!(old.ended(), 0);
}

#[test]
fn rubbish_from_a_predecessor_ends_the_channel_and_nothing_else() {
    let heir = started("serve");
    let packet = hatchery_ipc::handover::encode(&Connection {
        number: 1,
        ahead: Vec::new(),
        ahead_in_memfd: false,
    })
    .unwrap();
    // No descriptor, one that is no socket, and no packet at all.
    let null = std::fs::File::open("/dev/null").unwrap();
    for (bytes, fds) in [
        (packet.as_slice(), vec![]),
        (packet.as_slice(), vec![null.as_fd()]),
        (b"rubbish".as_slice(), vec![]),
    ] {
        let (give, take) = packet::pair().unwrap();
        heir.tell(&ToChild::Inherit, &[take.as_fd()]);
        drop(take);
        packet::send(&give, bytes, &fds, true).unwrap();
        let end = packet::receive(&give, &mut [0; 64], false);
        assert!(matches!(end, Ok(None)), "{end:?}");
    }
    assert!(heir.get("/who").contains("200 OK"));
}
