//! The agent as a process of its own.

use axum::BoxError;

use super::*;

/// The hooks of the tests' agents.
pub(super) fn build(script: &str, child: &Child) -> Result<Hook, BoxError> {
    assert_eq!(child.slot, None);
    let moments = child.moments.clone();
    match script {
        "fail" => Err("no lock".into()),
        "refuse" => Ok(Box::pin(async { Err("the port is taken".into()) })),
        "short" => Ok(Box::pin(async { Ok(()) })),
        "broken" => Ok(Box::pin(async move {
            moments.server_did_ready.comes().await;
            Err("the lease is lost".into())
        })),
        "block" => Ok(Box::pin(async {
            // Not in its first turn: that belongs to the boot.
            tokio::task::yield_now().await;
            std::thread::sleep(Duration::from_hours(1));
            Ok(())
        })),
        "stubborn" => Ok(Box::pin(std::future::pending())),
        _ => Ok(Box::pin(async move {
            moments.shutdown.comes().await;
            println!("tidied up");
            Ok(())
        })),
    }
}

#[test]
fn the_agent_stays_and_tells_its_hook_of_the_end() {
    let run = agent("tidy").start();
    assert_eq!(run.hear(), Some(ToMaster::Ready));
    let tick = run.page.ticks()[0];
    until("it ticks", || run.page.ticks()[0] > tick);
    run.drain(false);
    assert_eq!(run.ended(), 0);
    assert!(run.output().contains("tidied up"));
}

#[test]
fn a_hook_that_ends_leaves_the_agent_there() {
    let run = agent("short").start();
    assert_eq!(run.hear(), Some(ToMaster::Ready));
    let tick = run.page.ticks()[0];
    until("it ticks", || run.page.ticks()[0] > tick + 50);
    run.signal(Signal::Term);
    assert_eq!(run.hear(), Some(ToMaster::Leaving));
    assert_eq!(run.ended(), 0);
}

#[test]
fn a_hook_that_fails_in_its_first_turn_is_a_failed_boot() {
    let run = agent("refuse").start();
    let reason = "the port is taken".into();
    assert_eq!(run.hear(), Some(ToMaster::BootFailed { reason }));
    assert_eq!(run.ended(), 1);
}

#[test]
fn a_hook_that_fails_ends_the_agent() {
    let run = agent("broken").start();
    assert_eq!(run.hear(), Some(ToMaster::Ready));
    run.tell(&ToChild::ServerDidReady, &[]);
    assert_eq!(run.ended(), 1);
    assert!(
        run.output()
            .contains("the agent's hook failed: the lease is lost")
    );
}

#[test]
fn a_hook_that_does_not_end_has_its_time() {
    let run = agent("stubborn").start();
    assert_eq!(run.hear(), Some(ToMaster::Ready));
    run.tell(
        &ToChild::Drain {
            limit_ms: 50,
            successor: false,
        },
        &[],
    );
    assert_eq!(run.ended(), 0);
    assert!(run.output().contains("did not end in time"));
}
