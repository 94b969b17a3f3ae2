//! The agent: there is one, its death is nobody's business but the master's.

use rustix::process::Signal;

use crate::support::{Load, Plan, Process, SOON, alone, showcase, wait_until};

#[test]
fn a_stopped_agent_is_replaced_and_traffic_does_not_notice() {
    let _alone = alone();
    let pool = showcase()
        .set("cluster.suspect_after", "500ms")
        .set("cluster.hang_timeout", "1500ms")
        .set("cluster.abort_grace", "200ms")
        .start();
    let before = pool.status();
    let load = Load::start(&pool.target(), Plan::BOTH);
    let agent = Process::of(before.agent.as_ref().unwrap().pid).unwrap();
    agent.signal(Signal::STOP);
    wait_until("it is gone", SOON, || !agent.is_alive());
    let status = pool.wait_whole(SOON);
    assert_ne!(status.agent.unwrap().pid, agent.pid);
    load.serve_more(50);
    load.finish().assert_flawless();
}

#[test]
fn a_killed_agent_comes_back_and_traffic_does_not_notice() {
    let _alone = alone();
    let pool = showcase().start();
    let before = pool.status();
    let load = Load::start(&pool.target(), Plan::BOTH);
    let mut last = before.agent.clone().unwrap().pid;
    for round in 1..=3 {
        let process = Process::of(last).unwrap();
        process.signal(Signal::KILL);
        wait_until("it is dead", SOON, || !process.is_alive());
        let status = pool.wait_status("the agent is back", SOON, |status| {
            status.agent.as_ref().is_some_and(|agent| agent.pid != last) && status.is_whole(4)
        });
        let agent = status.agent.unwrap();
        assert_eq!(agent.restarts, round);
        last = agent.pid;
        load.serve_more(30);
    }
    load.finish().assert_flawless();
    let after = pool.status();
    assert_eq!(
        after.instances(),
        before.instances(),
        "no worker is touched"
    );
}
