//! What a child does when its master is gone.

use std::os::unix::net::{UnixListener, UnixStream};

use hatchery_ipc::child::Kept;
use hatchery_ipc::control::{Orphan, Request, Verb};
use hatchery_sys::listen;

use super::*;

/// The contract: no process is left after this.
const LIMIT: Duration = Duration::from_secs(3);

fn orphan(run: &mut Run) -> Instant {
    run.control = None;
    Instant::now()
}

#[test]
fn an_orphan_finishes_what_it_has() {
    let mut run = worker("serve").start();
    assert_eq!(run.hear(), Some(ToMaster::Ready));
    let answer = run.request("/wait/100");
    until("the request is in flight", || run.page.in_flight() == 1);
    let start = orphan(&mut run);
    assert!(answer.read().ends_with("after the drain"));
    // By its own hand, with whatever it has started.
    assert_eq!(run.ended(), -9);
    assert!(start.elapsed() < LIMIT, "{:?}", start.elapsed());
}

#[test]
fn a_blocked_orphan_ends_too() {
    for plan in [worker("serve"), agent("block")] {
        let is_worker = plan.role == "worker";
        let mut run = plan.start();
        assert_eq!(run.hear(), Some(ToMaster::Ready));
        if is_worker {
            let _answer = run.request("/block");
            until("the request is in flight", || run.page.in_flight() == 1);
        }
        let start = orphan(&mut run);
        assert_eq!(run.ended(), -9);
        assert!(start.elapsed() < LIMIT, "{:?}", start.elapsed());
    }
}

#[test]
fn an_orphan_serves_on_for_its_grace() {
    let grace = Duration::from_millis(300);
    let mut run = Plan {
        orphan_grace: grace,
        ..worker("serve")
    }
    .start();
    assert_eq!(run.hear(), Some(ToMaster::Ready));
    let start = orphan(&mut run);
    let mut served = 0;
    while start.elapsed() < grace / 2 {
        assert!(run.get("/who").contains("200 OK"));
        served += 1;
    }
    assert!(served > 0);
    assert_eq!(run.ended(), -9);
    assert!(start.elapsed() >= grace);
    assert!(start.elapsed() < grace + LIMIT);
}

/// What an orphan brings to the next master.
struct Brought {
    orphan: Orphan,
    messages: OwnedFd,
    page: StatsPage,
    listeners: Vec<(Kept, OwnedFd)>,
}

/// Plays the next master: takes the first report.
fn succeed(listener: &UnixListener) -> Brought {
    let (stream, _): (UnixStream, _) = listener.accept().unwrap();
    let mut buffer = vec![0; PACKET_MAX];
    let packet = packet::receive(&stream, &mut buffer, false)
        .unwrap()
        .unwrap();
    let request = Request::parse(buffer[..packet.len].trim_ascii_end()).unwrap();
    let Verb::Orphan(orphan) = request.verb else {
        panic!("{request:?}");
    };
    let mut fds = packet.fds.into_iter();
    let (messages, page) = (fds.next().unwrap(), fds.next().unwrap());
    let mut listeners = Vec::new();
    loop {
        let packet = packet::receive(&messages, &mut buffer, true)
            .unwrap()
            .unwrap();
        let kept = decode(&buffer[..packet.len]).unwrap();
        let ToMaster::Kept {
            listeners: these,
            more,
        } = kept
        else {
            panic!("{kept:?}");
        };
        listeners.extend(these.into_iter().zip(packet.fds));
        if !more {
            break;
        }
    }
    Brought {
        orphan,
        messages,
        page: StatsPage::map(page).unwrap(),
        listeners,
    }
}

fn drain(messages: &OwnedFd, limit: Duration) {
    let message = ToChild::Drain {
        limit_ms: u64::try_from(limit.as_millis()).unwrap(),
        successor: true,
    };
    let message = encode(&message, VERSION).unwrap();
    packet::send(messages, &message, &[], true).unwrap();
}

#[test]
fn an_orphan_is_taken_over_by_the_next_master() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("next.sock");
    let mut run = Plan {
        orphan_grace: PATIENCE,
        next_master: Some(path.clone()),
        ..worker("serve")
    }
    .start();
    assert_eq!(run.hear(), Some(ToMaster::Ready));
    orphan(&mut run);
    let next = UnixListener::bind(&path).unwrap();
    let Brought {
        orphan,
        messages,
        page,
        listeners,
    } = succeed(&next);
    assert_eq!(
        (
            orphan.role.as_str(),
            orphan.slot,
            orphan.instance,
            orphan.generation
        ),
        ("worker", Some(0), 7, 2)
    );
    assert!(!orphan.draining);
    assert!(run.get("/who").contains("200 OK"));
    assert_eq!(page.requests_total(), run.page.requests_total());
    let (kept, socket) = &listeners[0];
    assert_eq!(
        (kept.address.clone(), kept.slot),
        (run.address.to_string(), 0)
    );
    assert_eq!(
        listen::local_address(socket).unwrap().to_string(),
        kept.address
    );

    // It dies, too, before it has said a word.
    drop(messages);
    let again = succeed(&next);
    let answer = run.request("/wait/100");
    until("the request is in flight", || run.page.in_flight() == 1);
    drain(&again.messages, PATIENCE);
    assert!(answer.read().ends_with("after the drain"));
    assert_eq!(run.ended(), -9);
}

#[test]
fn a_blocked_orphan_is_taken_over_and_its_drain_ends() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("next.sock");
    let next = UnixListener::bind(&path).unwrap();
    let mut run = Plan {
        orphan_grace: PATIENCE,
        next_master: Some(path),
        ..worker("serve")
    }
    .start();
    assert_eq!(run.hear(), Some(ToMaster::Ready));
    let _answer = run.request("/block");
    until("the request is in flight", || run.page.in_flight() == 1);
    orphan(&mut run);
    let brought = succeed(&next);
    drain(&brought.messages, Duration::from_millis(200));
    drop(brought);
    // While it drains it tells whoever comes; its time goes on.
    let brought = succeed(&next);
    assert!(brought.orphan.draining);
    drop((brought, next));
    assert_eq!(run.ended(), -9);
}

#[test]
fn the_agent_brings_what_it_keeps() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("next.sock");
    let next = UnixListener::bind(&path).unwrap();
    let mut run = Plan {
        orphan_grace: PATIENCE,
        next_master: Some(path),
        ..agent("serve")
    }
    .start();
    assert_eq!(run.hear(), Some(ToMaster::Ready));
    let kept = |slot| Kept {
        address: "127.0.0.1:1".into(),
        slot,
        place: Some(slot),
    };
    let socket = run.listener.try_clone().unwrap();
    for (slot, more) in [(0, true), (1, false)] {
        let listeners = vec![kept(slot)];
        run.tell(&ToChild::Keep { listeners, more }, &[socket.as_fd()]);
    }
    orphan(&mut run);
    let brought = succeed(&next);
    let names: Vec<_> = brought
        .listeners
        .into_iter()
        .map(|(kept, _)| kept)
        .collect();
    assert_eq!(names, [kept(0), kept(1)]);
    assert_eq!(
        (brought.orphan.role.as_str(), brought.orphan.slot),
        ("agent", None)
    );
    drain(&brought.messages, PATIENCE);
    assert_eq!(run.ended(), -9);
}

#[test]
fn who_is_not_ready_ends_with_the_master() {
    let mut run = Plan {
        orphan_grace: PATIENCE,
        ..worker("slow")
    }
    .start();
    until("it boots", || run.page.threads() == 0);
    let start = orphan(&mut run);
    assert_eq!(run.ended(), -9);
    assert!(start.elapsed() < LIMIT, "{:?}", start.elapsed());
}
