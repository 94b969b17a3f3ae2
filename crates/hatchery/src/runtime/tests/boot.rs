//! What a child makes of its environment, and boots that fail.

use super::*;

#[test]
fn a_boot_error_is_told_in_one_line() {
    let run = worker("fail").start();
    let reason = "no database; at all".to_owned();
    assert_eq!(run.hear(), Some(ToMaster::BootFailed { reason }));
    assert_eq!(run.ended(), 1);
    assert!(run.output().contains("cannot start: no database; at all\n"));
}

#[test]
fn a_panic_while_booting_is_a_boot_error() {
    let run = worker("panic").start();
    let reason = "panicked: no idea".to_owned();
    assert_eq!(run.hear(), Some(ToMaster::BootFailed { reason }));
    assert_eq!(run.ended(), 1);
    let run = agent("fail").start();
    let reason = "no lock".to_owned();
    assert_eq!(run.hear(), Some(ToMaster::BootFailed { reason }));
    assert_eq!(run.ended(), 1);
}

#[test]
fn a_drain_that_comes_before_the_boot_ends_holds() {
    let run = worker("serve").start();
    run.drain(true);
    assert_eq!(run.hear(), Some(ToMaster::Ready));
    assert_eq!(run.ended(), 0);
}

#[test]
fn a_socket_of_another_kind_is_named() {
    let (stream, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    let run = Plan {
        control: Some(stream.into()),
        ..worker("serve")
    }
    .start();
    assert_eq!(run.ended(), 3);
    let output = run.output();
    let expected = "HATCHERY_CONTROL_FD=4 is not the control socket: \
                    a socket of another type than SEQPACKET";
    assert!(output.contains(expected), "{output}");
}

#[test]
fn what_is_missing_is_named() {
    let error = Child::from_variables(|_| None).unwrap_err();
    let expected = "this is no child of a master: HATCHERY_CONTROL_FD is not set";
    assert_eq!(error.to_string(), expected);
    let other = |name: &str| match name {
        names::LISTEN_FDS | names::LISTEN_PID => Some("1".into()),
        _ => None,
    };
    let error = Child::from_variables(other).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("LISTEN_PID=1 is another process"),
        "{error}"
    );
}
