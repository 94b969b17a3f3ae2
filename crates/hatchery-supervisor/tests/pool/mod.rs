//! A pool for the rule tests: the supervisor, a hand-driven clock, and shortcuts for the shell's
//! side. Instances that are not spoken of stay alive and beat their heart.

#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeSet;
use std::time::Duration;

use hatchery_supervisor::{
    Accepted, Action, Command, Event, ExitStatus, Generation, InstanceId, Policy, Reason, Report,
    RequestId, Signal, Slot, State, Supervisor, Time,
};

pub(crate) const AGENT: InstanceId = InstanceId(1);
pub(crate) const KILLED: ExitStatus = ExitStatus::Signal {
    signal: 9,
    core_dumped: false,
};
pub(crate) const MIB: u64 = 1 << 20;

/// See the module.
pub(crate) struct Pool {
    pub(crate) supervisor: Supervisor,
    pub(crate) now: Time,
    /// Actions that no test has looked at yet.
    pub(crate) actions: Vec<Action>,
    /// Instances whose heart does not beat.
    pub(crate) silent: BTreeSet<InstanceId>,
    /// New instances become ready after this long, unless the test does it by hand.
    pub(crate) boots_in: Option<Duration>,
    requests: u64,
}

impl Pool {
    /// Not started yet.
    pub(crate) fn new(policy: Policy) -> Self {
        Self {
            supervisor: Supervisor::new(policy, 1),
            now: Time::from_millis(1_000),
            actions: Vec::new(),
            silent: BTreeSet::new(),
            boots_in: None,
            requests: 0,
        }
    }

    /// Up: agent #1, workers #2, #3, … in slots 0, 1, …
    pub(crate) fn up(policy: Policy) -> Self {
        let mut pool = Self::new(policy);
        pool.boots_in = Some(Duration::from_millis(100));
        pool.tell(Event::Start);
        pool.run(Duration::from_millis(500));
        pool.boots_in = None;
        pool.actions.clear();
        pool
    }

    /// Up with the defaults, but for the number of workers; no lifetime.
    pub(crate) fn of(workers: u32) -> Self {
        Self::up(quiet(workers))
    }

    pub(crate) fn tell(&mut self, event: Event) {
        self.supervisor.handle(self.now, event);
        while let Some(action) = self.supervisor.poll_action() {
            self.actions.push(action);
        }
    }

    /// Lets time pass in ticks of at most a heartbeat.
    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            let next = self
                .supervisor
                .next_deadline()
                .map_or(end, |at| at.min(end));
            self.now = next.max(self.now + Duration::from_millis(1));
            self.beat();
            self.tell(Event::Timer);
            self.boot();
        }
    }

    fn beat(&mut self) {
        let beating: Vec<InstanceId> = self
            .supervisor
            .instances()
            .filter(|instance| instance.ready_at.is_some() && !self.silent.contains(&instance.id))
            .map(|instance| instance.id)
            .collect();
        for instance in beating {
            let at = self.now;
            self.tell(Event::Heartbeat { instance, at });
        }
    }

    fn boot(&mut self) {
        let Some(boots_in) = self.boots_in else {
            return;
        };
        let booted: Vec<InstanceId> = self
            .supervisor
            .instances()
            .filter(|instance| instance.state == State::Starting)
            .filter(|instance| self.now >= instance.started_at + boots_in)
            .map(|instance| instance.id)
            .collect();
        for instance in booted {
            self.tell(Event::Ready { instance });
        }
    }

    /// Takes the actions so far.
    pub(crate) fn take(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// The instances started since the last look, with their slots (`None`: the agent).
    pub(crate) fn spawned(&mut self) -> Vec<(InstanceId, Option<u32>, Generation)> {
        self.take()
            .into_iter()
            .filter_map(|action| match action {
                Action::Spawn {
                    instance,
                    role,
                    generation,
                } => Some((instance, role.slot().map(|slot| slot.0), generation)),
                _ => None,
            })
            .collect()
    }

    /// The only instance started since the last look.
    pub(crate) fn one_spawned(&mut self) -> InstanceId {
        let spawned = self.spawned();
        assert_eq!(spawned.len(), 1, "one start expected: {spawned:?}");
        spawned[0].0
    }

    pub(crate) fn ready(&mut self, instance: InstanceId) {
        self.tell(Event::Ready { instance });
    }

    pub(crate) fn exit(&mut self, instance: InstanceId, status: ExitStatus) {
        self.tell(Event::Exited { instance, status });
    }

    pub(crate) fn crash(&mut self, instance: InstanceId) {
        self.exit(instance, ExitStatus::Code(101));
    }

    pub(crate) fn memory(&mut self, instance: InstanceId, bytes: u64) {
        self.tell(Event::Memory { instance, bytes });
    }

    pub(crate) fn ask(&mut self, command: Command) -> RequestId {
        self.requests += 1;
        let request = RequestId(self.requests);
        self.tell(Event::Command { request, command });
        request
    }

    pub(crate) fn checked(&mut self, generation: u64, policy: Policy) {
        self.tell(Event::Checked {
            generation: Generation(generation),
            result: Ok(Accepted {
                policy,
                upgrade: false,
            }),
        });
    }

    /// The worker in this slot.
    pub(crate) fn current(&self, slot: u32) -> InstanceId {
        let Some(current) = self.supervisor.current(Slot(slot)) else {
            panic!("slot {slot} has no worker");
        };
        current.id
    }

    pub(crate) fn state(&self, id: InstanceId) -> State {
        self.supervisor
            .instance(id)
            .map_or(State::Exited, |instance| instance.state)
    }

    /// The answers so far to this request; leaves the actions in place.
    pub(crate) fn answers(&self, request: RequestId) -> Vec<Result<String, String>> {
        self.actions
            .iter()
            .filter_map(|action| match action {
                Action::Reply {
                    request: to,
                    result,
                } if *to == request => Some(result.clone()),
                _ => None,
            })
            .collect()
    }
}

/// The defaults with that many workers, and none of the rules that act by themselves.
pub(crate) fn quiet(workers: u32) -> Policy {
    Policy {
        workers,
        lifetime: Duration::ZERO,
        ..Policy::default()
    }
}

pub(crate) fn drained(actions: &[Action]) -> Vec<InstanceId> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Drain { instance, .. } => Some(*instance),
            _ => None,
        })
        .collect()
}

pub(crate) fn signals(actions: &[Action]) -> Vec<(InstanceId, Signal)> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Signal { instance, signal } => Some((*instance, *signal)),
            _ => None,
        })
        .collect()
}

pub(crate) fn steers(actions: &[Action]) -> Vec<Vec<u32>> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Steer { slots } => Some(slots.iter().map(|slot| slot.0).collect()),
            _ => None,
        })
        .collect()
}

pub(crate) fn told(actions: &[Action]) -> Vec<InstanceId> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::ServerDidReady { instance } => Some(*instance),
            _ => None,
        })
        .collect()
}

pub(crate) fn deaths(actions: &[Action]) -> Vec<(InstanceId, Reason)> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Report(Report::Died {
                instance, reason, ..
            }) => Some((*instance, *reason)),
            _ => None,
        })
        .collect()
}

pub(crate) fn finish(actions: &[Action]) -> Option<Result<(), String>> {
    actions.iter().find_map(|action| match action {
        Action::Finish { result } => Some(result.clone()),
        _ => None,
    })
}
