//! The checkers: what must hold after every single event.

use hatchery_supervisor::{
    Action, Alarm, Generation, InstanceId, Phase, Reason, Report, Role, Signal, Slot, State,
};

use super::{MINUTE_MS, Simulation, ms};

/// Processes of a slot that may exist at once: the current one, the incoming one, two retired, and
/// those that were killed and are not reaped yet.
const SLOT_PROCESSES_MAX: usize = 8;

/// Starts of one slot in a minute when nobody has asked for any.
const FORKS_MAX: usize = 16;

/// For so long a command may cause starts.
const PLANNED_MINUTES: u64 = 4;

/// Gone processes that are remembered, to tell a stray action.
const GONE_KEPT: usize = 16;

impl Simulation {
    pub(super) fn check_action(&mut self, action: &Action) {
        if self.finished {
            self.fail("an action after Finish");
        }
        match action {
            Action::Spawn {
                instance,
                role,
                generation,
            } => {
                self.check_spawn(*instance, *role, *generation);
                if self.forgotten.contains(generation) {
                    self.fail("a forgotten generation is started");
                }
            }
            Action::Assign { instance, slot } => {
                self.check_target(*instance);
                self.check_assign(*instance, *slot);
            }
            Action::ServerDidReady { instance } => {
                self.check_target(*instance);
                let Some(process) = self.processes.get_mut(instance) else {
                    return;
                };
                let again = std::mem::replace(&mut process.seen.told_ready, true);
                if again || !process.seen.ready {
                    self.fail("ServerDidReady again, or before readiness");
                }
            }
            Action::Drain {
                instance,
                successor,
                ..
            } => {
                self.check_target(*instance);
                self.check_drain(*instance, *successor);
            }
            Action::Signal { instance, signal } => {
                self.check_target(*instance);
                self.check_signal(*instance, *signal);
            }
            Action::Reply { request, .. } => {
                if !self.open_requests.remove(request) {
                    self.fail("a command was answered twice");
                }
            }
            Action::Forget { generation } => {
                let runs = |generation| {
                    self.processes
                        .values()
                        .any(|process| !process.seen.gone && process.generation == generation)
                };
                if *generation == self.promoted || runs(*generation) {
                    self.fail("a generation in use is forgotten");
                }
                self.forgotten.insert(*generation);
            }
            Action::Report(report) => self.check_report(report),
            Action::Finish { result } => {
                let reaped = self
                    .processes
                    .values()
                    .all(|process| process.seen.gone && process.seen.died);
                if !reaped {
                    self.fail("finished before every process was reaped and told");
                }
                if !self.open_requests.is_empty() {
                    self.fail("finished with a command unanswered");
                }
                if result.is_err() && !self.start_may_fail {
                    self.fail("finished with an error though nothing went wrong at the start");
                }
                if result.is_ok() && !self.stopping {
                    self.fail("finished unasked");
                }
            }
            Action::Pressure { level } => self.check_level(*level),
            Action::Check { .. } => {
                if self.upgrading || std::mem::replace(&mut self.checking, true) {
                    self.fail("a reload begins while another or an upgrade is under way");
                }
            }
            Action::Upgrade => {
                if std::mem::replace(&mut self.upgrading, true) || self.checking {
                    self.fail("an upgrade begins while another or a reload is under way");
                }
            }
            Action::Steer { .. } => {}
        }
    }

    fn check_target(&mut self, id: InstanceId) {
        if self
            .processes
            .get(&id)
            .is_none_or(|process| process.seen.gone)
        {
            self.fail(&format!("an action for {id}, which is gone"));
        }
    }

    fn check_spawn(&mut self, id: InstanceId, role: Role, generation: Generation) {
        if self.processes.contains_key(&id) {
            self.fail("an instance number was used twice");
        }
        let agents = |process: &&super::Process| process.role == Role::Agent && !process.seen.gone;
        if role == Role::Agent && self.processes.values().any(|process| agents(&process)) {
            self.fail("two agents");
        }
        if self.told_phase == Phase::Stopping {
            self.fail("a start while stopping");
        }
        self.check_forks(role);
        self.check_growth(role, generation);
        if role == Role::Spare {
            self.check_spare(generation);
        } else if role != Role::Agent && generation == self.promoted {
            self.check_probe();
            self.last_start = Some((self.now_ms, id));
        }
    }

    /// Spares are a luxury: none while slots wait, while restarts are probes, or in a reload.
    fn check_spare(&mut self, generation: Generation) {
        let spares = self.supervisor.policy().spares as usize;
        let alive = |process: &&super::Process| process.role == Role::Spare && !process.seen.gone;
        if self.processes.values().filter(alive).count() >= 2 * spares {
            self.fail("more spares than twice those wanted");
        }
        if generation != self.promoted {
            self.fail("a spare of another generation than the current one");
        }
        let reloading =
            self.told_phase == Phase::Reloading && self.supervisor.phase() == Phase::Reloading;
        if reloading {
            self.fail("a spare is started in the middle of a reload");
        }
        if self.probing {
            self.fail("a spare is started while the crash budget is spent");
        }
    }

    /// A spare takes a slot when it can serve there at once, and nobody else does.
    fn check_assign(&mut self, id: InstanceId, slot: Slot) {
        let ready = |process: &super::Process| {
            process.seen.state == Some(State::Ready) && !process.seen.gone
        };
        let Some(process) = self.processes.get(&id) else {
            return;
        };
        let fit = process.role == Role::Spare && ready(process);
        let mut others = self.processes.values();
        let served = others.any(|other| other.slot() == Some(slot.0) && ready(other));
        let fit = fit && !process.seen.asked;
        // From now on the slot is served, and filled at once if that ends.
        self.shortage.stopped_first.remove(&slot.0);
        if let Some(process) = self.processes.get_mut(&id) {
            // While restarts are probes, it is one: it has to prove itself in the slot.
            process.seen.ready_ms = self.now_ms;
            self.last_start = Some((self.now_ms, id));
        }
        if !fit {
            self.fail(&format!("{id} is given a slot and is no ready spare"));
        }
        if served {
            self.fail(&format!("{id} is given slot {slot}, which is served"));
        }
    }

    /// Starts of one slot (or of the agent) in a minute. Back-off alone allows about eleven after a
    /// healthy run; what was asked for in the last minutes may add a few.
    fn check_forks(&mut self, role: Role) {
        let (now_ms, kept_ms) = (self.now_ms, PLANNED_MINUTES * MINUTE_MS);
        self.planned.retain(|at_ms| at_ms + kept_ms > now_ms);
        let bound = FORKS_MAX + 4 * self.planned.len();
        let forks = self.forks.entry(role).or_default();
        forks.push_back(now_ms);
        while forks
            .front()
            .is_some_and(|at_ms| at_ms + MINUTE_MS < now_ms)
        {
            forks.pop_front();
        }
        let count = forks.len();
        if count > bound {
            self.fail(&format!("{count} starts of {role} in a minute"));
        }
    }

    /// While the crash budget is spent: one probe each interval, or when the last has proved itself.
    fn check_probe(&mut self) {
        let Some((last_ms, last)) = self.last_start.filter(|_| self.probing) else {
            return;
        };
        let proved = self.processes.get(&last).is_some_and(|process| {
            process.seen.ready && self.now_ms >= process.seen.ready_ms + ms(self.policy.min_ready)
        });
        // A deadline that has come is acted on before the event that ends the outage.
        let interval = if self.outage_due || self.is_outage() {
            self.policy.outage_interval
        } else {
            self.policy.probe_interval
        };
        let spaced = self.now_ms >= last_ms + ms(interval);
        let asked_for = !self.planned.is_empty() || self.told_phase == Phase::Reloading;
        if !proved && !spaced && !asked_for {
            self.fail("two probes at once");
        }
    }

    /// A worker that serves is asked to go only when another serves in its slot, when the slot
    /// goes, or when it endangers the machine.
    fn check_drain(&mut self, id: InstanceId, successor: bool) {
        let Some(process) = self.processes.get(&id) else {
            return;
        };
        let Some(slot) = process.slot() else {
            return;
        };
        let stopping = self.supervisor.phase() == Phase::Stopping;
        let wanted = slot < self.supervisor.workers_wanted() && !stopping;
        if process.seen.removed {
            // Its slot was removed; a scale that waited may have opened it again at once.
            self.explained.insert(slot);
            return;
        }
        let over_hard = process.seen.over_hard;
        let another = self.processes.iter().any(|(other, process)| {
            *other != id && process.slot() == Some(slot) && process.serves()
        });
        if wanted && !successor {
            self.check_stop_first(id, slot);
            return;
        }
        if wanted && !over_hard && !another {
            self.fail(&format!("{id} is drained and nobody serves in slot {slot}"));
        }
    }

    /// The worker of the present generation in slot 0 goes for one that has proved itself.
    fn check_canary(&mut self, old: InstanceId) {
        let min_ready_ms = ms(self.policy.min_ready);
        let proved = self.processes.values().all(|process| {
            let canary = process.slot() == Some(0) && process.generation != self.promoted;
            !canary || !process.serves() || self.now_ms >= process.seen.ready_ms + min_ready_ms
        });
        if !proved {
            self.fail(&format!("{old} goes before the canary has proved itself"));
        }
    }

    fn silence_ms(&self, id: InstanceId) -> u64 {
        self.processes.get(&id).map_or(0, |process| {
            let slept_ms = self.slept_ms - process.seen.slept_ms;
            self.now_ms
                .saturating_sub(process.seen.beat_ms)
                .saturating_sub(slept_ms)
        })
    }

    fn check_signal(&mut self, id: InstanceId, signal: Signal) {
        let Some(process) = self.processes.get(&id) else {
            return;
        };
        let healthy = process.serves() && !self.stopping && !self.starting;
        match signal {
            Signal::Abort if self.silence_ms(id) < ms(self.policy.hang_timeout) => {
                self.fail(&format!("{id} is aborted before the hang limit"));
            }
            Signal::Kill if healthy && self.silence_ms(id) >= ms(self.policy.suspect_after) => {
                // One suspect too many in its slot.
                self.explained.extend(process.slot());
            }
            Signal::Kill if healthy => {
                self.fail(&format!("{id} serves and is killed"));
            }
            Signal::Term if process.seen.ready => {
                self.fail(&format!(
                    "{id} was ready and gets SIGTERM instead of a drain"
                ));
            }
            _ => {}
        }
    }

    fn check_report(&mut self, report: &Report) {
        if let Report::Moved { instance, to, .. } = report
            && let Some(process) = self.processes.get_mut(instance)
        {
            process.seen.state = Some(*to);
        }
        match report {
            Report::Phase { from, to } => {
                if *from != self.told_phase {
                    self.fail("a phase was not told");
                }
                self.told_phase = *to;
            }
            Report::Alarm(Alarm::CrashBudget { .. }) => {
                self.probing = true;
                self.last_start = None;
            }
            Report::Alarm(Alarm::CrashBudgetOver) => self.probing = false,
            Report::Died { instance, .. } => {
                let Some(process) = self.processes.get_mut(instance) else {
                    return self.fail("an unknown instance died");
                };
                let again = std::mem::replace(&mut process.seen.died, true);
                if again || !process.seen.gone {
                    self.fail("a death was told twice or too early");
                }
            }
            Report::Moved {
                instance,
                from: State::Starting,
                to: State::Ready,
                ..
            } => {
                let (now_ms, slept_ms) = (self.now_ms, self.slept_ms);
                let Some(process) = self.processes.get_mut(instance) else {
                    return self.fail("an unknown instance is ready");
                };
                process.seen.ready = true;
                process.seen.ready_ms = now_ms;
                process.seen.beat_ms = process.seen.beat_ms.max(now_ms);
                process.seen.slept_ms = slept_ms;
                if !process.seen.said_ready {
                    self.fail("taken for ready without its word");
                }
            }
            Report::Moved {
                instance,
                to: State::Draining,
                reason: Some(Reason::Lifetime),
                ..
            } => self.check_lifetime(*instance),
            Report::Moved {
                instance,
                role: Role::Worker(Slot(0)),
                generation,
                to: State::Draining,
                reason: Some(Reason::Reload),
                ..
            } if *generation == self.promoted => self.check_canary(*instance),
            Report::Moved {
                instance,
                to: State::Draining,
                reason: Some(Reason::Scale),
                ..
            } => {
                if let Some(process) = self.processes.get_mut(instance) {
                    process.seen.removed = true;
                }
            }
            Report::Moved {
                instance,
                to: State::Suspect,
                ..
            } if self.silence_ms(*instance) < ms(self.policy.suspect_after) => {
                self.fail(&format!("{instance} is suspected too early"));
            }
            _ => {}
        }
    }

    /// After every event and its actions.
    pub(super) fn check_pool(&mut self) {
        if self.starting && self.supervisor.phase() != Phase::Starting {
            // Past a good start nothing but a stop ends the master.
            self.starting = false;
            self.start_may_fail &= self.supervisor.phase() == Phase::Stopping;
        }
        if self.supervisor.is_upgrading() && self.supervisor.phase() == Phase::Reloading {
            self.fail("a reload goes on during an upgrade");
        }
        let wanted = self.supervisor.workers_wanted();
        self.check_short_pool(wanted);
        self.explained.extend(self.known_wanted..wanted);
        self.known_wanted = wanted;
        self.check_steer();
        let mut serving = vec![false; wanted as usize];
        let mut crowd = vec![0; wanted as usize];
        for process in self.processes.values().filter(|process| !process.seen.gone) {
            if let Some(slot) = process.slot().filter(|slot| *slot < wanted) {
                serving[slot as usize] |= process.serves();
                crowd[slot as usize] += 1;
            }
        }
        let up = !self.starting && self.supervisor.phase() != Phase::Stopping;
        for slot in 0..wanted {
            if serving[slot as usize] {
                self.explained.remove(&slot);
            } else if up && !self.explained.contains(&slot) {
                self.fail(&format!(
                    "slot {slot} has no worker and no fault explains it"
                ));
            }
        }
        if crowd.iter().any(|count| *count > SLOT_PROCESSES_MAX) {
            self.fail(&format!("too many processes in a slot: {crowd:?}"));
        }
        self.check_death_explains_floor();
        self.check_spares_used();
        if self.processes.len() > 2 * GONE_KEPT {
            let first = self.processes.keys().nth(GONE_KEPT).copied();
            self.processes
                .retain(|id, process| !process.seen.gone || Some(*id) >= first);
        }
    }

    /// No slot waits for a process of its own beside a spare that could have it.
    fn check_spares_used(&mut self) {
        let supervisor = &self.supervisor;
        let spare = supervisor
            .spares()
            .find(|spare| spare.state == State::Ready && spare.generation == self.promoted);
        let idle = |slot: Slot| {
            let ready = |current: &hatchery_supervisor::Instance| current.state == State::Ready;
            !supervisor.current(slot).is_some_and(ready) && supervisor.incoming(slot).is_none()
        };
        let mut wanted = (0..supervisor.workers_wanted()).map(Slot);
        if let Some(spare) = spare
            && supervisor.phase() == Phase::Degraded
            && let Some(slot) = wanted.find(|slot| idle(*slot))
        {
            let line = format!("slot {slot} waits beside spare {}", spare.id);
            self.fail(&line);
        }
    }

    fn check_death_explains_floor(&mut self) {
        let lost: Vec<InstanceId> = self
            .processes
            .iter()
            .filter(|(_, process)| process.seen.gone != process.seen.died)
            .map(|(id, _)| *id)
            .collect();
        if !lost.is_empty() {
            self.fail(&format!("deaths that were not told: {lost:?}"));
        }
    }

    fn check_steer(&mut self) {
        let slots_in = |wanted: State| -> Vec<Slot> {
            self.supervisor
                .slots()
                .filter(|slot| {
                    let current = self.supervisor.current(*slot);
                    current.is_some_and(|current| current.state == wanted)
                })
                .collect()
        };
        let mut expected = slots_in(State::Ready);
        if expected.is_empty() {
            expected = slots_in(State::Suspect);
        }
        if expected != self.steered {
            let steered = &self.steered;
            let line = format!("steered to {steered:?}, but {expected:?} serve");
            self.fail(&line);
        }
    }

    pub(super) fn check_drained(&mut self, id: InstanceId, slept_ms: u64) {
        let here = self
            .processes
            .get(&id)
            .is_some_and(|process| !process.seen.gone);
        if here && self.slept_ms == slept_ms && self.now_ms >= self.asleep_until_ms {
            self.fail(&format!("the drain of {id} does not end"));
        }
    }

    /// Liveness: faults stopped a good while ago.
    pub(super) fn check_whole(&mut self) {
        if std::mem::take(&mut self.faults_this_hour) == 0 {
            self.outcome.quiet_hours += 1;
        }
        let supervisor = &self.supervisor;
        let wanted = supervisor.workers_wanted();
        let slots_ready = supervisor.ready_workers() == wanted;
        let agent_ready = supervisor
            .agent()
            .is_some_and(|agent| agent.state == State::Ready);
        let processes = supervisor.instances().count();
        let budget = supervisor
            .alarms()
            .iter()
            .any(|alarm| matches!(alarm, Alarm::CrashBudget { .. }));
        let phase = supervisor.phase();
        let calm = supervisor.pressure() == (0, "");
        let whole = phase == Phase::Ready && slots_ready && agent_ready && !budget && calm;
        // One may be under way because of age, another still draining.
        let spares = supervisor.policy().spares as usize;
        let spares_ready = supervisor
            .spares()
            .filter(|s| s.state == State::Ready && s.generation == self.promoted)
            .count();
        if !whole || spares_ready != spares || processes > wanted as usize + spares + 3 {
            let ready = supervisor.ready_workers();
            self.fail(&format!(
                "not whole after the faults: phase {phase:?}, {ready} of {wanted} workers, agent \
                 {agent_ready}, {spares_ready} of {spares} spares, {processes} processes, budget \
                 alarm {budget}, calm {calm}"
            ));
        }
        if !self.open_requests.is_empty() {
            let open = format!("commands unanswered: {:?}", self.open_requests);
            self.fail(&open);
        }
    }
}
