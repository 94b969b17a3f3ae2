//! The model shell: tells the supervisor what happens, and carries out what it asks for.

use hatchery_supervisor::{
    Action, Command, Event, ExitStatus, Generation, InstanceId, Report, Role, Signal, Time,
};

use super::model::{Boot, Happening, Process, Pulse, Release, Seen};
use super::{Simulation, ms};

/// Memory of a worker that does not leak.
const MODEST_BYTES: u64 = 100 << 20;

/// Events after which the state is written and read back, in runs that do so: of those that did
/// something, and of ten thousand that did nothing.
const RESTORES_PERCENT: u64 = 5;
const IDLE_RESTORES: u64 = 20;

impl Simulation {
    /// One event to the supervisor, and all that follows from it.
    pub(super) fn tell(&mut self, event: Event) {
        if self.finished {
            return; // the master is no more
        }
        self.outcome.events += 1;
        let routine = match &event {
            Event::Timer => true,
            Event::Heartbeat { instance, .. } | Event::Memory { instance, .. } => {
                self.trace_number(self.now_ms ^ (instance.0 << 48));
                true
            }
            other => {
                self.trace(other);
                false
            }
        };
        self.note_told(&event);
        let now = self.time();
        let due = |at: Time| at <= now;
        self.outage_due = self.supervisor.next_deadline().is_some_and(due) && self.is_outage();
        self.supervisor.handle(now, event);
        let mut acted = false;
        while let Some(action) = self.supervisor.poll_action() {
            acted = true;
            self.trace(&action);
            self.check_action(&action);
            self.carry_out(action);
        }
        let busy = acted || !routine;
        if busy {
            self.check_pool();
        }
        let restores = self.restores.as_mut().is_some_and(|dice| {
            if busy {
                dice.chance(RESTORES_PERCENT)
            } else {
                dice.range(0, 9_999) < IDLE_RESTORES
            }
        });
        if restores {
            self.write_and_read_back();
        }
    }

    /// The supervisor as a later image of the master would find it.
    pub(super) fn write_and_read_back(&mut self) {
        let written = serde_json::to_string(&self.supervisor);
        match written.and_then(|text| serde_json::from_str(&text)) {
            Ok(supervisor) => {
                let before = std::mem::replace(&mut self.supervisor, supervisor);
                if format!("{before:?}") != format!("{:?}", self.supervisor) {
                    self.fail("the state that was read back is another one");
                }
            }
            Err(error) => self.fail(&format!("the state cannot be read back: {error}")),
        }
    }

    fn note_told(&mut self, event: &Event) {
        let slept_ms = self.slept_ms;
        match event {
            Event::Ready { instance } => {
                if let Some(process) = self.processes.get_mut(instance) {
                    process.seen.said_ready = true;
                }
            }
            Event::Heartbeat { instance, at } => {
                if let Some(process) = self.processes.get_mut(instance)
                    && at.as_millis() > process.seen.beat_ms
                {
                    process.seen.beat_ms = at.as_millis();
                    process.seen.slept_ms = slept_ms;
                }
            }
            Event::Pressure { reading } => self.note_reading(*reading),
            Event::Memory { instance, bytes } => {
                if let Some(process) = self.processes.get_mut(instance) {
                    process.seen.bytes = *bytes;
                    process.seen.over_hard = *bytes > self.policy.memory_hard;
                }
            }
            Event::Upgraded { .. } => self.upgrading = false,
            Event::Checked { .. } => self.checking = false,
            Event::Command { request, command } => {
                self.open_requests.insert(*request);
                // Only now: the master may have slept since it was asked.
                self.planned.push_back(self.now_ms);
                if matches!(command, Command::Scale { .. } | Command::ScaleBy { .. }) {
                    self.scaling.insert(*request);
                }
            }
            Event::Leaving { instance } => {
                if let Some(process) = self.processes.get_mut(instance) {
                    process.seen.asked = true;
                    self.explained.extend(process.role.slot().map(|s| s.0));
                }
            }
            Event::Exited { instance, .. } | Event::SpawnFailed { instance, .. } => {
                if let Some(process) = self.processes.get_mut(instance) {
                    if process.seen.gone {
                        self.fail("the model reaped an instance twice");
                        return;
                    }
                    process.seen.gone = true;
                    if !process.seen.asked {
                        self.explained.extend(process.role.slot().map(|s| s.0));
                    }
                }
            }
            _ => {}
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Spawn {
                instance,
                role,
                generation,
            } => self.spawn(instance, role, generation),
            Action::Assign { instance, slot } => {
                if let Some(process) = self.processes.get_mut(&instance) {
                    process.role = Role::Worker(slot);
                }
            }
            Action::Reply { request, .. } => drop(self.scaling.remove(&request)),
            Action::ServerDidReady { .. } | Action::Forget { .. } | Action::Pressure { .. } => {}
            Action::Drain {
                instance, limit, ..
            } => self.drain(instance, ms(limit)),
            Action::Signal { instance, signal } => self.signal(instance, signal),
            Action::Steer { slots } => self.steered = slots,
            Action::Check { generation } => self.check_release(generation),
            Action::Upgrade => {
                let at_ms = self.now_ms + self.dice.range(20, 3_000);
                self.future.at(at_ms, Happening::Upgraded);
            }
            Action::Report(report) => self.note_report(&report),
            Action::Finish { .. } => self.finished = true,
        }
    }

    fn note_report(&mut self, report: &Report) {
        let name = match report {
            Report::Moved { to, .. } => format!("moved to {}", to.as_str()),
            Report::Died { reason, .. } => format!("died: {}", reason.as_str()),
            Report::Assigned { .. } => "spare took a slot".to_owned(),
            Report::Backoff { .. } => "back-off".to_owned(),
            Report::Phase { to, .. } => format!("phase {}", to.as_str()),
            Report::Promoted { generation } => {
                self.promoted = *generation;
                self.promoted_ms = self.now_ms;
                "promoted".to_owned()
            }
            Report::Pressure { to, .. } => format!("pressure {to}"),
            Report::NoRoom { .. } => "no room".to_owned(),
            Report::Slept { .. } => "slept".to_owned(),
            Report::Alarm(alarm) => {
                let text = format!("{alarm:?}");
                let name = text.split([' ', '{']).next().unwrap_or_default();
                format!("alarm {name}")
            }
        };
        *self.outcome.seen.entry(name).or_default() += 1;
    }

    fn spawn(&mut self, id: InstanceId, role: Role, generation: Generation) {
        self.outcome.forks += 1;
        let fails = self.now_ms < self.no_spawn_until_ms && self.dice.chance(60);
        let leaks = self.faults_on && role != Role::Agent && self.dice.chance(10);
        let stubborn = self.faults_on && self.dice.chance(8);
        let leak_kib_per_s = self.dice.range(100, 20_000);
        let fat = self.faults_on && self.releases.get(&generation) == Some(&Release::Fat);
        self.processes.insert(
            id,
            Process {
                role,
                generation,
                alive: !fails,
                pulse: Pulse::Beats,
                beat_ms: self.now_ms,
                ready: false,
                ignores_term: stubborn && self.dice.chance(50),
                ignores_drain: stubborn,
                draining: false,
                bytes: if fat { 900 << 20 } else { MODEST_BYTES },
                leak_per_s: if leaks { leak_kib_per_s << 10 } else { 0 },
                sampled_ms: self.now_ms,
                deaf_until_ms: 0,
                seen: Seen {
                    spawned_ms: self.now_ms,
                    ..Seen::default()
                },
            },
        );
        if leaks {
            self.count("leak");
        }
        if stubborn {
            self.count("ignores drain");
        }
        if fails {
            self.count("spawn fails");
            self.start_may_fail = true;
            self.mail.push_back(Event::SpawnFailed {
                instance: id,
                reason: "Resource temporarily unavailable".to_owned(),
            });
            return;
        }
        let pid = u32::try_from(1000 + id.0).unwrap_or(u32::MAX);
        self.mail.push_back(Event::Spawned { instance: id, pid });
        let boot = self.choose_boot(role, generation);
        self.boot(id, boot);
        self.haunt(id, role, generation);
    }

    fn boot(&mut self, id: InstanceId, boot: Boot) {
        match boot {
            Boot::Ready { after_ms, twice } => {
                self.future.at(self.now_ms + after_ms, Happening::Ready(id));
                if twice {
                    self.future
                        .at(self.now_ms + after_ms + 5, Happening::Ready(id));
                }
            }
            Boot::Never => {}
            Boot::Exits { after_ms, tells } => {
                let at_ms = self.now_ms + after_ms;
                if tells {
                    self.future.at(at_ms, Happening::BootFailed(id));
                }
                self.future
                    .at(at_ms + 2, Happening::Exit(id, ExitStatus::Code(1)));
            }
        }
    }

    fn drain(&mut self, id: InstanceId, limit_ms: u64) {
        let takes_ms = self.dice.range(0, limit_ms * 3 / 4);
        // Beyond the limit: SIGKILL, a slow kernel, the tick that notices.
        let by_ms = self.now_ms + limit_ms + 3 * ms(self.policy.heartbeat_interval) + 40_000;
        self.future
            .at(by_ms, Happening::DrainEnds(id, self.slept_ms));
        let now_ms = self.now_ms;
        let Some(process) = self.processes.get_mut(&id) else {
            return;
        };
        process.seen.asked = true;
        process.draining = true;
        if process.seen.over_hard {
            self.explained
                .extend(process.role.slot().map(|slot| slot.0));
        }
        if process.pulse == Pulse::Beats && !process.ignores_drain {
            self.future
                .at(now_ms + takes_ms, Happening::Exit(id, ExitStatus::Code(0)));
        }
    }

    fn signal(&mut self, id: InstanceId, signal: Signal) {
        let now_ms = self.now_ms;
        let quick_ms = self.dice.range(1, 400);
        let slow_kill = self.faults_on && self.dice.chance(2);
        let Some(process) = self.processes.get_mut(&id) else {
            return;
        };
        process.seen.asked = true;
        if signal == Signal::Abort {
            self.explained
                .extend(process.role.slot().map(|slot| slot.0));
        }
        let stopped = process.pulse == Pulse::Stopped;
        let (after_ms, number) = match signal {
            Signal::Kill if slow_kill => (quick_ms * 30, 9),
            Signal::Kill => (quick_ms / 8, 9),
            Signal::Abort | Signal::Term if stopped || process.ignores_term => return,
            Signal::Abort => (quick_ms, 6),
            Signal::Term => (quick_ms, 15),
        };
        if slow_kill {
            self.count("slow kill");
        }
        let status = ExitStatus::Signal {
            signal: number,
            core_dumped: signal == Signal::Abort,
        };
        self.future
            .at(now_ms + after_ms, Happening::Exit(id, status));
    }

    /// The heartbeats and memory readings of one round.
    pub(super) fn sweep(&mut self) {
        let now_ms = self.now_ms;
        let mut told = Vec::new();
        let sample_ms = self.sample_ms;
        for (id, process) in &mut self.processes {
            if !process.alive || !process.ready || process.seen.gone {
                continue;
            }
            if process.pulse == Pulse::Beats {
                process.beat_ms = now_ms;
            }
            if now_ms >= process.deaf_until_ms {
                told.push(Event::Heartbeat {
                    instance: *id,
                    at: Time::from_millis(process.beat_ms),
                });
            }
            if now_ms >= process.sampled_ms + sample_ms {
                let seconds = (now_ms - process.sampled_ms) / 1000;
                process.bytes += process.leak_per_s * seconds;
                process.sampled_ms = now_ms;
                told.push(Event::Memory {
                    instance: *id,
                    bytes: process.bytes,
                });
            }
        }
        for event in told {
            self.tell(event);
        }
        self.read_memory();
    }
}
