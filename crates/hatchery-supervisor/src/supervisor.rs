//! The state machine itself: what it holds, how an event goes through it, and what can be seen.
//!
//! The rules are *level-triggered*: an event changes what is known, then every rule looks at the
//! whole and does what is missing, until nothing changes any more. A rule therefore never depends
//! on having seen a certain event at a certain time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::action::{Action, Alarm, Phase, State};
use crate::agent::AgentState;
use crate::commands::Pending;
use crate::crash::{Backoff, Budget};
use crate::event::Event;
use crate::ids::{Generation, InstanceId, RequestId, Slot};
use crate::instance::Instance;
use crate::policy::Policy;
use crate::pressure::Pressure;
use crate::recycle::Recycle;
use crate::reload::Reload;
use crate::rng::Rng;
use crate::scale::{Scale, WORKERS_MAX};
use crate::slot::SlotState;
use crate::spare::Spares;
use crate::stop::Ending;
use crate::time::Time;
use crate::upgrade::Upgrade;

/// Rounds in which the rules settle after one event. A reload of 1024 slots that are all ready
/// would need one for each batch; what is left is done at the next tick.
const ROUNDS_MAX: u32 = 64;

/// Where the master is in its life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Life {
    New,
    Starting,
    Up,
    Ending(Ending),
    Over,
}

/// The state machine. See the [crate's documentation](crate) for how to drive it.
///
/// It is its own snapshot: serialised when every action has been polled, it goes on from there.
/// What an older image has not written gets the value that means *nothing yet*.
#[derive(Debug, Serialize, Deserialize)]
pub struct Supervisor {
    pub(crate) policy: Policy,
    pub(crate) rng: Rng,
    /// The time of the event being handled.
    pub(crate) now: Time,
    pub(crate) life: Life,
    pub(crate) phase: Phase,
    /// Workers wanted.
    pub(crate) wanted: u32,
    /// The promoted generation.
    pub(crate) generation: Generation,
    /// The highest number given so far.
    pub(crate) last_generation: Generation,
    /// Generations whose files the shell still holds.
    pub(crate) generations: BTreeSet<Generation>,
    pub(crate) instances: BTreeMap<InstanceId, Instance>,
    pub(crate) next_instance: u64,
    pub(crate) slots: BTreeMap<Slot, SlotState>,
    pub(crate) agent: AgentState,
    #[serde(default)]
    pub(crate) budget: Budget,
    #[serde(default)]
    pub(crate) spares: Spares,
    #[serde(default)]
    pub(crate) pressure: Pressure,
    pub(crate) recycle: Option<Recycle>,
    pub(crate) last_lifetime_recycle: Option<Time>,
    pub(crate) reload: Option<Reload>,
    pub(crate) scale: Option<Scale>,
    pub(crate) upgrade: Option<Upgrade>,
    #[serde(default)]
    pub(crate) pending: VecDeque<Pending>,
    #[serde(default)]
    pub(crate) stop_requests: Vec<RequestId>,
    /// Memory limits found too low for a generation, as the alarms that told so.
    #[serde(default)]
    pub(crate) limits_off: Vec<Alarm>,
    /// The slots told by the last `Steer`.
    #[serde(default)]
    pub(crate) steered: Vec<Slot>,

    /// What the shell has yet to do.
    #[serde(skip)]
    pub(crate) actions: VecDeque<Action>,
    /// Drains of this event: they follow the `Steer` that they depend on.
    #[serde(skip)]
    pub(crate) drains: Vec<Action>,
    /// Answers of this event: they follow what makes them true.
    #[serde(skip)]
    pub(crate) replies: Vec<Action>,
    #[serde(skip)]
    pub(crate) finish: Option<Action>,
    /// The next time at which some rule wants to look again.
    pub(crate) wake: Option<Time>,
    /// Counts changes, so that settling knows its end.
    #[serde(default)]
    pub(crate) changes: u64,
}

impl Supervisor {
    /// A supervisor of a pool that does not run yet. `seed` feeds the jitter; the same seed and the
    /// same events give the same actions. The first generation is `Generation(1)`; its binary and
    /// configuration are the shell's to hold from the start.
    pub fn new(policy: Policy, seed: u64) -> Self {
        let generation = Generation(1);
        Self {
            wanted: policy.workers.clamp(1, WORKERS_MAX),
            policy,
            rng: Rng::new(seed),
            now: Time::default(),
            life: Life::New,
            phase: Phase::Starting,
            generation,
            last_generation: generation,
            generations: BTreeSet::from([generation]),
            instances: BTreeMap::new(),
            next_instance: 1,
            slots: BTreeMap::new(),
            agent: AgentState {
                current: None,
                generation,
                backoff: Backoff::default(),
            },
            budget: Budget::default(),
            spares: Spares::default(),
            pressure: Pressure::default(),
            recycle: None,
            last_lifetime_recycle: None,
            reload: None,
            scale: None,
            upgrade: None,
            pending: VecDeque::new(),
            stop_requests: Vec::new(),
            limits_off: Vec::new(),
            steered: Vec::new(),
            actions: VecDeque::new(),
            drains: Vec::new(),
            replies: Vec::new(),
            finish: None,
            wake: None,
            changes: 0,
        }
    }

    /// Numbers instances from above this one, which another master has given. For the time before
    /// [`Event::Start`]; smaller numbers than the present ones change nothing.
    pub fn number_above(&mut self, last: InstanceId) {
        self.next_instance = self.next_instance.max(last.0.saturating_add(1));
    }

    /// Takes what happened. `now` must not run backwards (if it does, the last time counts).
    ///
    /// Deadlines that have come are acted on before the event is, so that no rule works with a
    /// timer that should have fired; only facts about the past (a heartbeat seen, a process gone or
    /// leaving) are noted before them. Events about instances that are gone are ignored.
    pub fn handle(&mut self, now: Time, event: Event) {
        let now = now.max(self.now);
        if !matches!(self.life, Life::New | Life::Over) {
            self.notice_sleep(now);
        }
        self.now = now;
        self.note_facts(&event);
        if self.is_routine(&event) {
            return;
        }
        if self.wake.is_some_and(|wake| wake <= now) {
            self.run_deadlines();
            self.settle();
        }
        self.apply(event);
        self.settle();
    }

    /// What is to be done next. The shell polls until there is nothing left after each event.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to call [`handle`](Self::handle) at the latest, with [`Event::Timer`] if nothing else
    /// happens. Never more than `heartbeat_interval` ahead while the master works: a longer silence
    /// is how it notices that it slept itself. `None` before the start and after the finish.
    pub fn next_deadline(&self) -> Option<Time> {
        if matches!(self.life, Life::New | Life::Over) {
            return None;
        }
        let tick = self.now + self.tick();
        Some(self.wake.map_or(tick, |wake| wake.min(tick)))
    }

    fn note_facts(&mut self, event: &Event) {
        match event {
            Event::Heartbeat { instance, at } => self.note_heartbeat(*instance, *at),
            Event::Spawned { instance, pid } => {
                if let Some(instance) = self.instances.get_mut(instance) {
                    instance.pid = Some(*pid);
                }
            }
            Event::Memory { instance, bytes } => {
                if let Some(instance) = self.instances.get_mut(instance) {
                    instance.memory_bytes = *bytes;
                }
            }
            Event::Exited { instance, .. } | Event::SpawnFailed { instance, .. } => {
                if let Some(instance) = self.instances.get_mut(instance) {
                    instance.gone = true;
                }
            }
            Event::Leaving { instance } => {
                if let Some(instance) = self.instances.get_mut(instance) {
                    instance.leaves = true;
                }
            }
            _ => {}
        }
    }

    /// Most events are ticks, heartbeats and readings that change nothing.
    fn is_routine(&self, event: &Event) -> bool {
        let due = self.wake.is_some_and(|wake| wake <= self.now);
        !due && match event {
            Event::Timer | Event::Spawned { .. } => true,
            Event::Heartbeat { instance, .. } => self.state_of(Some(*instance)) != State::Suspect,
            Event::Memory { instance, bytes } => self.is_modest(*instance, *bytes),
            _ => false,
        }
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Start => self.start(),
            Event::Timer | Event::Spawned { .. } => {}
            Event::SpawnFailed { instance, reason } => self.spawn_failed(instance, reason),
            Event::Ready { instance } => self.ready(instance),
            Event::BootFailed { instance, reason } => self.boot_failed(instance, reason),
            Event::Leaving { instance } => self.leaving(instance),
            Event::Heartbeat { instance, at } => self.recover(instance, at),
            Event::Memory { instance, bytes } => self.memory(instance, bytes),
            Event::Pressure { reading } => self.read_pressure(&reading),
            Event::Exited { instance, status } => self.exited(instance, Some(status)),
            Event::Checked { generation, result } => self.checked(generation, result),
            Event::Upgraded { result } => self.upgraded(&result),
            Event::Command { request, command } => self.command(request, command),
        }
    }

    /// Applies all rules until nothing changes.
    fn settle(&mut self) {
        for round in 1.. {
            let before = self.changes;
            self.wake = None;
            self.apply_rules();
            if self.changes == before {
                break;
            }
            if round == ROUNDS_MAX {
                self.wake_at(self.now + Duration::from_millis(1));
                break;
            }
        }
        self.wake_for_instances();
        self.steer();
        self.actions.extend(self.drains.drain(..));
        self.update_phase();
        self.actions.extend(self.replies.drain(..));
        self.actions.extend(self.finish.take());
    }

    fn apply_rules(&mut self) {
        match self.life {
            Life::New | Life::Over => {}
            Life::Starting => {
                self.take_over();
                self.step_start();
            }
            Life::Up => {
                self.step_pressure();
                self.run_commands();
                self.take_over();
                self.step_reload();
                self.fill();
                self.roll_back();
                self.step_recycle();
                self.step_agent();
                self.step_spares();
                self.step_scale();
                self.bound_retired();
                self.end_probing();
                self.drop_empty_slots();
                self.tell_ready();
                self.forget_generations();
            }
            Life::Ending(_) => {
                self.step_ending();
                self.forget_generations();
            }
        }
    }

    /// Queues an action.
    pub(crate) fn act(&mut self, action: Action) {
        self.changes += 1;
        self.actions.push_back(action);
    }

    pub(crate) const fn is_ending(&self) -> bool {
        matches!(self.life, Life::Ending(_) | Life::Over)
    }
}
