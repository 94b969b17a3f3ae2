//! What goes wrong, and what people ask for.

use std::time::Duration;

use hatchery_supervisor::{
    Accepted, Command, Event, ExitStatus, Generation, InstanceId, RequestId, Role,
};

use super::model::{Boot, Happening, Process, Pulse, Release};
use super::{FAULTS_MS, HOUR_MS, Simulation, ms};

impl Simulation {
    /// A fault every minute or so, then calm.
    pub(super) fn plan_hour(&mut self, from_ms: u64) {
        let mut at_ms = from_ms + self.dice.range(1_000, 60_000);
        while at_ms < from_ms + FAULTS_MS {
            self.future.at(at_ms, Happening::Fault);
            at_ms += self.dice.range(500, 120_000);
        }
        self.future.at(from_ms + FAULTS_MS, Happening::Calm);
        self.future.at(from_ms + HOUR_MS - 1, Happening::HourEnds);
    }

    pub(super) fn count(&mut self, fault: &'static str) {
        *self.outcome.faults.entry(fault).or_default() += 1;
        self.faults_this_hour += 1;
        self.start_may_fail |= self.starting;
    }

    /// Something happens outside the supervisor.
    pub(super) fn happen(&mut self, what: Happening) {
        match what {
            Happening::Ready(id) => self.becomes_ready(id),
            Happening::BootFailed(id) => {
                if self.processes.get(&id).is_some_and(|process| process.alive) {
                    self.mail.push_back(Event::BootFailed {
                        instance: id,
                        reason: "no database".to_owned(),
                    });
                }
            }
            Happening::Exit(id, status) => self.die(id, status),
            Happening::Hang(id) => self.hang(id, Pulse::Hangs),
            Happening::Recover(id) => self.recover(id),
            Happening::Leave(id) => self.leave(id),
            Happening::Checked(generation, result) => {
                self.mail.push_back(Event::Checked {
                    generation,
                    result: *result,
                });
            }
            Happening::Upgraded => self.upgraded(),
            Happening::Fault => self.fault(),
            Happening::Calm => self.calm(),
            Happening::HourEnds => self.check_whole(),
            Happening::DrainEnds(id, slept_ms) => self.check_drained(id, slept_ms),
        }
    }

    fn calm(&mut self) {
        self.faults_on = false;
        self.no_spawn_until_ms = 0;
        self.no_boot_until_ms = 0;
        self.crash_loop_until_ms = 0;
        self.shortage.until_ms = 0;
        self.shortage.no_room_until_ms = 0;
        for process in self.processes.values_mut() {
            process.deaf_until_ms = 0;
        }
    }

    fn becomes_ready(&mut self, id: InstanceId) {
        let loops = self.now_ms < self.crash_loop_until_ms && self.dice.chance(70);
        let after_ms = self.dice.range(20, 4_000);
        let Some(process) = self.processes.get_mut(&id) else {
            return;
        };
        if !process.alive || process.pulse != Pulse::Beats {
            return;
        }
        process.ready = true;
        process.beat_ms = self.now_ms;
        process.sampled_ms = self.now_ms;
        self.mail.push_back(Event::Ready { instance: id });
        if loops && process.role != Role::Agent {
            let at_ms = self.now_ms + after_ms;
            self.future
                .at(at_ms, Happening::Exit(id, ExitStatus::Code(3)));
            self.count("crash loop");
        }
    }

    pub(super) fn die(&mut self, id: InstanceId, status: ExitStatus) {
        let Some(process) = self.processes.get_mut(&id) else {
            return;
        };
        if std::mem::replace(&mut process.alive, false) {
            self.mail.push_back(Event::Exited {
                instance: id,
                status,
            });
        }
    }

    fn hang(&mut self, id: InstanceId, pulse: Pulse) {
        if let Some(process) = self.processes.get_mut(&id)
            && process.pulse == Pulse::Beats
        {
            process.pulse = pulse;
            process.beat_ms = self.now_ms;
        }
    }

    fn recover(&mut self, id: InstanceId) {
        let now_ms = self.now_ms;
        let Some(process) = self.processes.get_mut(&id) else {
            return;
        };
        if !process.alive || process.pulse != Pulse::Hangs {
            return;
        }
        process.pulse = Pulse::Beats;
        if process.draining && !process.ignores_drain {
            self.future
                .at(now_ms + 500, Happening::Exit(id, ExitStatus::Code(0)));
        }
    }

    fn leave(&mut self, id: InstanceId) {
        let takes_ms = self.dice.range(10, 5_000);
        let now_ms = self.now_ms;
        let Some(process) = self.processes.get(&id) else {
            return;
        };
        if process.alive && process.pulse == Pulse::Beats {
            self.mail.push_back(Event::Leaving { instance: id });
            self.future
                .at(now_ms + takes_ms, Happening::Exit(id, ExitStatus::Code(0)));
        }
    }

    /// How this process will start.
    pub(super) fn choose_boot(&mut self, role: Role, generation: Generation) -> Boot {
        let ordinal = self.started.entry(generation).or_default();
        if role != Role::Agent {
            *ordinal += 1;
        }
        let ordinal = *ordinal;
        let after_ms = self.dice.range(30, 3_000);
        let good = Boot::Ready {
            after_ms,
            twice: false,
        };
        if !self.faults_on {
            return good;
        }
        let bad_release = generation != self.promoted
            && match self.releases.get(&generation) {
                Some(Release::WorkerFails(n)) => role != Role::Agent && ordinal == *n,
                Some(Release::AgentFails) => role == Role::Agent,
                _ => false,
            };
        let trouble = self.now_ms < self.no_boot_until_ms && self.dice.chance(60);
        let throw = self.dice.range(0, 99);
        if !bad_release && !trouble && throw > 6 {
            return good;
        }
        match throw % 7 {
            0 => {
                self.count("never ready");
                Boot::Never
            }
            1 => {
                self.count("ready late");
                Boot::Ready {
                    after_ms: ms(self.policy.ready_timeout) + after_ms,
                    twice: false,
                }
            }
            2 | 3 if !bad_release && !trouble => {
                self.count("ready twice");
                Boot::Ready {
                    after_ms,
                    twice: true,
                }
            }
            _ => {
                self.count("boot fails");
                Boot::Exits {
                    after_ms,
                    tells: throw.is_multiple_of(2),
                }
            }
        }
    }

    /// The preflight of a reload, and what the release is like.
    pub(super) fn check_release(&mut self, generation: Generation) {
        let n = u32::try_from(self.dice.range(1, 6)).unwrap_or(1);
        let release = if self.faults_on {
            match self.dice.range(0, 15) {
                0 => Release::Refused,
                1 | 2 => Release::WorkerFails(n),
                3 => Release::WorkerCrashes(n),
                4 => Release::WorkerHangs(n),
                5 => Release::AgentFails,
                6 => Release::Fat,
                _ => Release::Good,
            }
        } else {
            Release::Good
        };
        self.releases.insert(generation, release);
        self.planned.push_back(self.now_ms);
        let result = if release == Release::Refused {
            Err("config.toml:3:7: unknown key".to_owned())
        } else {
            let mut policy = self.supervisor.policy().clone();
            if self.dice.chance(15) {
                policy.workers = u32::try_from(self.dice.range(1, 7)).unwrap_or(2);
            }
            if self.dice.chance(10) {
                policy.spares = u32::try_from(self.dice.range(0, 3)).unwrap_or(0);
            }
            Ok(Accepted {
                policy,
                upgrade: self.faults_on && self.dice.chance(25),
            })
        };
        if release != Release::Good {
            self.count(match release {
                Release::Refused => "release refused",
                Release::WorkerFails(_) => "release: a worker fails",
                Release::WorkerCrashes(_) => "release: a worker crashes",
                Release::WorkerHangs(_) => "release: a worker hangs",
                Release::AgentFails => "release: the agent fails",
                Release::Fat | Release::Good => "release: over the memory limit",
            });
        }
        let at_ms = self.now_ms + self.dice.range(50, 3_000);
        self.future
            .at(at_ms, Happening::Checked(generation, Box::new(result)));
    }

    /// The end of a re-exec: the new image goes on from what the former one wrote, or the former
    /// one goes on.
    fn upgraded(&mut self) {
        if self.dice.chance(30) {
            self.count("upgrade fails");
            self.mail.push_back(Event::Upgraded {
                result: Err("the state cannot be read".to_owned()),
            });
            return;
        }
        self.write_and_read_back();
        self.mail.push_back(Event::Upgraded {
            result: Ok("the master runs 2.0".to_owned()),
        });
    }

    /// A release's n-th worker that crashes or hangs once it serves.
    pub(super) fn haunt(&mut self, id: InstanceId, role: Role, generation: Generation) {
        let ordinal = self.started.get(&generation).copied().unwrap_or(0);
        if role == Role::Agent || generation == self.promoted || !self.faults_on {
            return;
        }
        let at_ms = self.now_ms + self.dice.range(3_000, 9_000);
        match self.releases.get(&generation) {
            Some(Release::WorkerCrashes(n)) if *n == ordinal => {
                self.future
                    .at(at_ms, Happening::Exit(id, ExitStatus::Code(101)));
            }
            Some(Release::WorkerHangs(n)) if *n == ordinal => {
                self.future.at(at_ms, Happening::Hang(id));
            }
            _ => {}
        }
    }

    fn victim(&mut self, wanted: impl Fn(&Process) -> bool) -> Option<InstanceId> {
        let alive: Vec<InstanceId> = self
            .processes
            .iter()
            .filter(|(_, process)| process.alive && wanted(process))
            .map(|(id, _)| *id)
            .collect();
        self.dice.pick(&alive)
    }

    fn ask(&mut self, command: Command) {
        self.next_request += 1;
        let request = RequestId(self.next_request);
        self.mail.push_back(Event::Command { request, command });
    }

    fn fault(&mut self) {
        self.faults_on = true;
        match self.dice.range(0, 99) {
            0..30 => self.fault_of_a_process(),
            30..46 => self.fault_that_lasts(),
            46..60 => self.fault_of_the_master(),
            _ => self.command(),
        }
    }

    fn fault_of_a_process(&mut self) {
        let victim = if self.dice.chance(15) {
            self.victim(|process| process.role == Role::Agent)
        } else {
            self.victim(|_| true)
        };
        let Some(id) = victim else {
            return;
        };
        let status = match self.dice.range(0, 4) {
            0 => ExitStatus::Code(0),
            1 => ExitStatus::Code(101),
            2 => ExitStatus::Signal {
                signal: 11,
                core_dumped: true,
            },
            _ => ExitStatus::Signal {
                signal: 9,
                core_dumped: false,
            },
        };
        match self.dice.range(0, 7) {
            0 | 1 => {
                self.count("exit");
                self.die(id, status);
            }
            2 => {
                self.count("hang");
                self.hang(id, Pulse::Hangs);
            }
            3 => {
                self.count("stutter");
                let longest_ms = ms(self.policy.hang_timeout) * 5 / 4;
                let for_ms = self.dice.range(100, longest_ms);
                self.hang(id, Pulse::Hangs);
                self.future.at(self.now_ms + for_ms, Happening::Recover(id));
            }
            4 => {
                self.count("SIGSTOP");
                self.hang(id, Pulse::Stopped);
            }
            5 => {
                self.count("leaves");
                self.future.at(self.now_ms, Happening::Leave(id));
            }
            6 => {
                self.count("OOM kill");
                self.die(
                    id,
                    ExitStatus::Signal {
                        signal: 9,
                        core_dumped: false,
                    },
                );
            }
            _ => {
                self.count("leap in memory");
                let bytes = self.dice.range(500, 900) << 20;
                if let Some(process) = self.processes.get_mut(&id) {
                    process.bytes = bytes;
                }
            }
        }
    }

    fn fault_that_lasts(&mut self) {
        let until_ms = self.now_ms + self.dice.range(1_000, 240_000);
        match self.dice.range(0, 5) {
            4 => {
                self.count("memory is short");
                self.shortage.until_ms = until_ms;
                self.shortage.severity = self.dice.range(150, 1_000);
            }
            5 => {
                self.count("no room");
                self.shortage.no_room_until_ms = until_ms;
                self.shortage.room_bytes = self.dice.range(0, 200) << 20;
            }
            0 => {
                self.count("no spawns for a while");
                self.no_spawn_until_ms = until_ms;
            }
            1 => {
                self.count("no boots for a while");
                self.no_boot_until_ms = until_ms;
            }
            2 => {
                self.count("crash loop for a while");
                self.crash_loop_until_ms = until_ms;
                let workers: Vec<InstanceId> = self.processes.keys().copied().collect();
                for id in workers {
                    if self.dice.chance(40) {
                        self.die(id, ExitStatus::Code(3));
                    }
                }
            }
            _ => {
                self.count("heartbeats lost");
                let longest_ms = ms(self.policy.hang_timeout) * 5 / 4;
                let until_ms = self.now_ms + self.dice.range(100, longest_ms);
                if let Some(id) = self.victim(|process| process.ready)
                    && let Some(process) = self.processes.get_mut(&id)
                {
                    process.deaf_until_ms = until_ms;
                }
            }
        }
    }

    fn fault_of_the_master(&mut self) {
        if self.now_ms < self.asleep_until_ms {
            return;
        }
        match self.dice.range(0, 2) {
            0 => {
                self.count("the clock runs back");
                let now_ms = self.now_ms;
                self.now_ms = now_ms.saturating_sub(5_000);
                self.tell(Event::Timer);
                self.now_ms = now_ms;
            }
            1 => {
                self.count("stray events");
                let gone = self
                    .processes
                    .iter()
                    .find(|(_, process)| process.seen.gone)
                    .map_or(InstanceId(1 << 40), |(id, _)| *id);
                self.tell(Event::Ready { instance: gone });
                self.tell(Event::BootFailed {
                    instance: gone,
                    reason: "late".to_owned(),
                });
                self.tell(Event::Memory {
                    instance: gone,
                    bytes: u64::MAX,
                });
                self.tell(Event::Checked {
                    generation: Generation(1 << 40),
                    result: Err("nobody asked".to_owned()),
                });
                if !self.upgrading {
                    self.tell(Event::Upgraded {
                        result: Ok("nobody asked".to_owned()),
                    });
                }
                self.tell(Event::Exited {
                    instance: InstanceId(1 << 40),
                    status: ExitStatus::Code(0),
                });
            }
            _ => {
                self.count("the master sleeps");
                let gap_ms = self.dice.range(200, 300_000);
                let policy = &self.policy;
                let noticed = (policy.heartbeat_interval * 2).max(policy.suspect_after / 2);
                self.asleep_until_ms = self.now_ms + gap_ms;
                if Duration::from_millis(gap_ms) > noticed {
                    self.slept_ms += gap_ms;
                }
            }
        }
    }

    fn command(&mut self) {
        match self.dice.range(0, 20) {
            0..7 => {
                self.count("reload");
                self.ask(Command::Reload);
                if self.dice.chance(25) {
                    self.count("reload during reload");
                    self.ask(Command::Reload);
                    self.ask(Command::Reload);
                }
            }
            7..12 => {
                self.count("scale");
                let workers = u32::try_from(self.dice.range(1, 8)).unwrap_or(4);
                self.ask(Command::Scale { workers });
            }
            12..15 => {
                self.count("scale by");
                let delta = i32::try_from(self.dice.range(0, 4)).unwrap_or(0) - 2;
                self.ask(Command::ScaleBy { delta });
            }
            15 => {
                self.count("scale out of range");
                let workers = if self.dice.chance(50) { 0 } else { 5_000 };
                self.ask(Command::Scale { workers });
            }
            16 => {
                self.count("reload with scale");
                self.ask(Command::Scale { workers: 5 });
                self.ask(Command::Reload);
                self.ask(Command::ScaleBy { delta: -1 });
            }
            17 => {
                self.count("upgrade");
                self.ask(Command::Upgrade);
                if self.dice.chance(30) {
                    self.ask(Command::Upgrade);
                    self.ask(Command::Reload);
                }
            }
            18 => {
                self.count("stop");
                let fast = self.dice.chance(40);
                self.stopping = true;
                self.fast |= fast;
                self.ask(Command::Stop { fast });
                if self.dice.chance(30) {
                    self.fast = true;
                    self.ask(Command::Stop { fast: true });
                    self.ask(Command::Reload);
                }
            }
            _ => self.fault_of_a_process(),
        }
    }
}
