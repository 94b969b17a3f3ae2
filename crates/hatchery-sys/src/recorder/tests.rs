//! What a child writes is read; what is rubbish does no harm.

use super::*;
use crate::memfd;
use crate::page::THREADS_MAX;

/// The master's mapping, and the child's.
fn both() -> (Recorder, Recorder) {
    let (reader, fd) = Recorder::create().unwrap();
    let writer = Recorder::map(fd).unwrap();
    (reader, writer)
}

fn paths(requests: &[RequestRecord]) -> Vec<&str> {
    requests.iter().map(|request| &*request.path).collect()
}

#[test]
fn what_is_in_flight_is_on_record_until_it_ends() {
    let (reader, writer) = both();
    assert_eq!(reader.in_flight(monotonic_ms()), []);
    let slow = writer.begin("GET", "/slow");
    let long = "x".repeat(1000);
    let other = writer.begin("PROPPATCH", &long);
    let now = monotonic_ms();
    writer.set_running(1, Some(&other));
    let seen = reader.in_flight(now + 5000);
    assert_eq!(paths(&seen), [&long[..104], "/slow"]);
    assert_eq!((&*seen[0].method, &*seen[1].method), ("PROPPATC", "GET"));
    assert!(seen[0].running && !seen[1].running);
    assert_eq!((seen[0].thread, seen[1].thread), (Some(1), None));
    assert!(seen.iter().all(|request| request.age_ms >= 4999));
    writer.end(&other);
    // The handler's thread is in nobody's code now, whatever it last said.
    assert_eq!(paths(&reader.in_flight(now)), ["/slow"]);
    writer.end(&slow);
    assert_eq!(reader.in_flight(now), []);
    // An entry that is used again shows nothing of its former request.
    let short = writer.begin("PUT", "/");
    assert_eq!(paths(&reader.in_flight(now)), ["/"]);
    writer.end(&short);
    assert_eq!(reader.latencies().iter().sum::<u64>(), 3);
}

#[test]
fn a_request_in_flight_is_never_overwritten() {
    let (reader, writer) = both();
    let mut tickets: Vec<_> = (0..ENTRIES)
        .map(|number| writer.begin("GET", &format!("/{number}")))
        .collect();
    let late = writer.begin("GET", "/late");
    writer.set_running(0, Some(&late));
    let seen = reader.in_flight(monotonic_ms());
    assert_eq!((seen.len(), reader.unrecorded()), (ENTRIES, 1));
    assert!(
        seen.iter()
            .all(|request| request.path != "/late" && !request.running)
    );
    writer.end(&late);
    let gone = tickets.swap_remove(17);
    writer.end(&gone);
    let next = writer.begin("GET", "/next");
    writer.set_running(0, Some(&next));
    writer.set_running(THREADS_MAX, Some(&next));
    let seen = reader.in_flight(monotonic_ms());
    assert_eq!((seen.len(), &*seen[0].path), (ENTRIES, "/next"));
    assert!(!paths(&seen).contains(&"/17"));
}

#[test]
fn threads_share_the_ring() {
    let (reader, writer) = both();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let writer = &writer;
            scope.spawn(move || {
                for _ in 0..2000 {
                    let path = format!("/{thread}").repeat(50);
                    let one = writer.begin("GET", &path);
                    let two = writer.begin("POST", &path);
                    writer.end(&one);
                    writer.end(&two);
                }
            });
        }
        for _ in 0..200 {
            for request in reader.in_flight(monotonic_ms()) {
                // Each is whole: one path, of one thread.
                assert_eq!(request.path, request.path[..2].repeat(50));
            }
        }
    });
    assert_eq!(reader.in_flight(monotonic_ms()), []);
    assert_eq!(reader.unrecorded(), 0);
    assert_eq!(reader.latencies().iter().sum::<u64>(), 16_000);
}

#[test]
fn the_last_panic_is_on_record() {
    let (reader, writer) = both();
    assert_eq!(reader.panic(), None);
    writer.record_panic("first", "src/a.rs:1:2", "main");
    let long = "é".repeat(500);
    let before = monotonic_ms();
    writer.record_panic(&format!("a\x1b[2Jb\n{long}"), "src/b.rs:3:4", "");
    let panic = reader.panic().unwrap();
    assert!(panic.message.starts_with("a\u{fffd}[2Jb\né"), "{panic:?}");
    // The cut letter is shown as one that is missing.
    assert!(panic.message.ends_with("é\u{fffd}") || panic.message.ends_with('é'));
    assert_eq!((&*panic.location, &*panic.thread), ("src/b.rs:3:4", ""));
    assert!(panic.time_ms >= before);
    assert_eq!(panic.count, 2);
}

#[test]
fn panics_of_several_threads_do_not_mix() {
    let (reader, writer) = both();
    std::thread::scope(|scope| {
        for name in ["aaaa", "bbbb"] {
            let writer = &writer;
            scope.spawn(move || (0..1000).for_each(|_| writer.record_panic(name, name, name)));
        }
    });
    let panic = reader.panic().unwrap();
    assert_eq!(panic.count, 2000);
    assert_eq!(
        (&panic.location, &panic.thread),
        (&panic.message, &panic.message)
    );
}

#[test]
fn frames_are_placed_in_the_executable() {
    let (reader, writer) = both();
    assert_eq!(reader.stacks(), []);
    let image = &writer.layout.image;
    image.base.store(0x10_0000, Relaxed);
    image.text_start.store(0x10_1000, Relaxed);
    image.text_end.store(0x10_2000, Relaxed);
    for (index, signal, frames) in [(2, 0, 3), (CRASH, 11, 9999)] {
        let stack = &writer.layout.stacks[index];
        assert!(stack.sequence.begin());
        stack.signal.store(signal, Relaxed);
        stack.thread.set(b"worker");
        stack.guesses.store(0b10, Relaxed);
        stack.frames.store(frames, Relaxed);
        for (slot, address) in stack
            .addresses
            .iter()
            .zip([0x10_1000, 0x10_1000, 0x10_2000])
        {
            slot.store(address, Relaxed);
        }
        stack.sequence.end();
    }
    let stacks = reader.stacks();
    let [crash, asked] = &stacks[..] else {
        panic!("{stacks:?}");
    };
    assert_eq!((crash.kind, crash.index), (StackKind::Crash(11), None));
    // Whatever a child writes, there is an end.
    assert_eq!(crash.frames.len(), FRAMES_MAX);
    assert_eq!((asked.kind, asked.index), (StackKind::Asked, Some(2)));
    assert_eq!(asked.thread, "worker");
    // A return address is looked up in the call before it; the first frame's is none.
    let offsets = asked.frames.iter().map(|frame| frame.offset);
    assert!(offsets.eq([Some(0x1000), None, Some(0x1fff)]));
    let guesses = asked.frames.iter().map(|frame| frame.is_guess);
    assert!(guesses.eq([false, true, false]));
}

#[test]
fn rubbish_is_bounded() {
    let (reader, writer) = both();
    let layout = &*writer.layout;
    let _ = writer.begin("GET", "/");
    for entry in &layout.entries {
        entry.begun_ns.store(u64::MAX, Relaxed);
        entry.path_bytes.store(u64::MAX, Relaxed);
        entry.path.set(&[0xff; 104]);
    }
    for running in &layout.running.0 {
        running.store(u32::MAX, Relaxed);
    }
    layout.panic.sequence.begin();
    layout.panic.message.set(&[0; 9999]);
    let requests = reader.in_flight(0);
    assert_eq!(requests.len(), ENTRIES);
    assert_eq!(
        (requests[0].path.chars().count(), requests[0].age_ms),
        (104, 0)
    );
    // Its writer does not come to its end: what is there is taken.
    assert_eq!(reader.panic().unwrap().message.chars().count(), 512);
}

#[test]
fn only_a_recorder_is_one() {
    let kind = |fd| Recorder::map(fd).unwrap_err().kind();
    let fixed = memfd::with("test", &[0; 100]).unwrap();
    assert_eq!(kind(fixed), io::ErrorKind::InvalidData);
    let (_, page) = crate::page::StatsPage::create().unwrap();
    assert_eq!(kind(page), io::ErrorKind::InvalidData);
    let open = memfd::create("test").unwrap();
    rustix::fs::ftruncate(&open, 1 << 20).unwrap();
    assert_eq!(kind(open), io::ErrorKind::InvalidData);
    let (_unmarked, fd) = Mapping::<Layout>::create("test").unwrap();
    assert_eq!(kind(fd), io::ErrorKind::InvalidData);
    let (recorder, fd) = Recorder::create().unwrap();
    recorder.layout.header.version.store(2, Relaxed);
    let error = Recorder::map(fd).unwrap_err();
    assert!(error.to_string().contains("version 2, not 1"), "{error}");
}

#[test]
fn a_longer_recorder_of_the_same_version_will_do() {
    let fd = memfd::create("test").unwrap();
    rustix::fs::ftruncate(&fd, size_of::<Layout>() as u64 + 4096).unwrap();
    rustix::fs::fcntl_add_seals(&fd, rustix::fs::SealFlags::SHRINK).unwrap();
    let newer = Mapping::<Layout>::map(&fd).unwrap();
    newer.header.magic.store(MAGIC, Relaxed);
    newer.header.version.store(VERSION, Relaxed);
    Recorder::map(fd).unwrap();
}
