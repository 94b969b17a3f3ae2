//! The seeded simulator: a model shell and model processes around the real supervisor, in simulated
//! time that jumps from event to event. Faults come in the first forty minutes of every hour; then
//! they stop, and the pool must become whole. The checkers of `checks.rs` are always on.

#![expect(
    clippy::struct_excessive_bools,
    reason = "what is true of the world or of a process, in any combination"
)]

mod checks;
mod faults;
mod memory;
mod model;
mod rng;
mod shell;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::{self, Write as _};
use std::time::Duration;

use hatchery_supervisor::{
    Event, Generation, InstanceId, Phase, Policy, RequestId, Role, Slot, Supervisor, Time,
};

use model::{Future, Process, Release, Shortage};
use rng::Dice;

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
/// Faults come until then in every hour.
const FAULTS_MS: u64 = 35 * MINUTE_MS;
/// Events at one and the same moment beyond which time is stuck.
const STUCK_MAX: u32 = 20_000;

/// What a run has found.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) seed: u64,
    pub(crate) hours: u64,
    pub(crate) restores: bool,
    /// FNV-1a over every event and action.
    pub(crate) trace_hash: u64,
    pub(crate) events: u64,
    pub(crate) forks: u64,
    /// Faults injected, and rules seen to act, by name.
    pub(crate) faults: BTreeMap<&'static str, u64>,
    pub(crate) seen: BTreeMap<String, u64>,
    /// Hours in which no fault was injected.
    pub(crate) quiet_hours: u64,
    pub(crate) violation: Option<String>,
}

impl Outcome {
    /// The command that replays this run.
    pub(crate) fn replay(&self) -> String {
        replay(self.seed, self.hours, self.restores)
    }
}

fn replay(seed: u64, hours: u64, restores: bool) -> String {
    let restores = if restores { " --restores" } else { "" };
    format!(
        "cargo run -p hatchery-supervisor --example simulate -- --seed {seed} --hours \
         {hours}{restores} --verbose"
    )
}

/// Tells how to replay a run that panics.
struct ReplayOnPanic(u64, u64, bool);

impl Drop for ReplayOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "the simulation panicked; replay: {}",
                replay(self.0, self.1, self.2)
            );
        }
    }
}

/// The world of one run.
pub(crate) struct Simulation {
    verbose: bool,
    dice: Dice,
    now_ms: u64,
    supervisor: Supervisor,
    policy: Policy,
    future: Future,
    /// What the shell has yet to tell the supervisor.
    mail: VecDeque<Event>,
    processes: BTreeMap<InstanceId, Process>,
    releases: BTreeMap<Generation, Release>,
    /// Workers started of each generation.
    started: BTreeMap<Generation, u32>,
    forgotten: BTreeSet<Generation>,
    promoted: Generation,
    next_request: u64,
    open_requests: BTreeSet<RequestId>,
    steered: Vec<Slot>,
    /// Slots whose missing worker is explained by an injected fault.
    explained: BTreeSet<u32>,
    known_wanted: u32,
    told_phase: Phase,
    faults_this_hour: u64,
    faults_on: bool,
    /// Trouble that lasts: spawns fail, boots fail, workers crash soon after they are ready.
    no_spawn_until_ms: u64,
    no_boot_until_ms: u64,
    crash_loop_until_ms: u64,
    asleep_until_ms: u64,
    slept_ms: u64,
    shortage: Shortage,
    /// Scales that are not answered yet.
    scaling: BTreeSet<RequestId>,
    promoted_ms: u64,
    /// Since when nobody serves and nobody starts, and how long the master had slept by then.
    idle_since: Option<(u64, u64)>,
    /// Before the present event: nobody serves, and a deadline has come.
    outage_due: bool,
    /// A `Check` or an `Upgrade` waits for its answer.
    checking: bool,
    upgrading: bool,
    /// When the state is written and read back, in runs that do so.
    restores: Option<Dice>,
    stopping: bool,
    fast: bool,
    starting: bool,
    start_may_fail: bool,
    finished: bool,
    next_sweep_ms: u64,
    timer_first: bool,
    sample_ms: u64,
    /// Starts in the last minute.
    forks: BTreeMap<Role, VecDeque<u64>>,
    /// The last worker started, and when.
    last_start: Option<(u64, InstanceId)>,
    /// The crash budget is spent, as told.
    probing: bool,
    /// When something was asked for, in the last minutes.
    planned: VecDeque<u64>,
    stuck: u32,
    outcome: Outcome,
}

impl Simulation {
    /// Runs `hours` simulated hours under `seed`. With `restores` the state is written and read back
    /// at random moments, which nothing that follows may tell.
    pub(crate) fn run(seed: u64, hours: u64, restores: bool, verbose: bool) -> Outcome {
        let _replay = ReplayOnPanic(seed, hours, restores);
        let mut simulation = Self::new(seed, hours, verbose);
        simulation.outcome.restores = restores;
        simulation.restores = restores.then(|| Dice::new(!seed));
        for hour in 0..hours {
            simulation.plan_hour(hour * HOUR_MS);
        }
        simulation.begin_life();
        while simulation.now_ms < hours * HOUR_MS && simulation.outcome.violation.is_none() {
            simulation.step();
        }
        simulation.outcome
    }

    fn new(seed: u64, hours: u64, verbose: bool) -> Self {
        let mut dice = Dice::new(seed);
        let policy = policy(&mut dice, seed);
        Self {
            verbose,
            timer_first: dice.chance(50),
            sample_ms: if seed % 16 == 3 { 5_000 } else { 30_000 },
            supervisor: Supervisor::new(policy.clone(), seed),
            dice,
            policy,
            now_ms: 0,
            future: Future::default(),
            mail: VecDeque::new(),
            processes: BTreeMap::new(),
            releases: BTreeMap::new(),
            started: BTreeMap::new(),
            forgotten: BTreeSet::new(),
            promoted: Generation(1),
            next_request: 0,
            open_requests: BTreeSet::new(),
            steered: Vec::new(),
            explained: BTreeSet::new(),
            known_wanted: 0,
            told_phase: Phase::Starting,
            faults_this_hour: 0,
            faults_on: true,
            no_spawn_until_ms: 0,
            no_boot_until_ms: 0,
            crash_loop_until_ms: 0,
            asleep_until_ms: 0,
            slept_ms: 0,
            shortage: Shortage::default(),
            scaling: BTreeSet::new(),
            promoted_ms: 0,
            idle_since: None,
            outage_due: false,
            checking: false,
            upgrading: false,
            restores: None,
            stopping: false,
            fast: false,
            starting: true,
            start_may_fail: false,
            finished: false,
            next_sweep_ms: 0,
            forks: BTreeMap::new(),
            last_start: None,
            probing: false,
            planned: VecDeque::new(),
            stuck: 0,
            outcome: Outcome {
                seed,
                hours,
                restores: false,
                trace_hash: 0xcbf2_9ce4_8422_2325,
                events: 0,
                forks: 0,
                faults: BTreeMap::new(),
                seen: BTreeMap::new(),
                quiet_hours: 0,
                violation: None,
            },
        }
    }

    /// A new master, as after a stop or a failed start.
    fn begin_life(&mut self) {
        self.supervisor = Supervisor::new(self.policy.clone(), self.dice.range(0, u64::MAX - 1));
        self.mail.clear();
        self.future.keep_hours();
        self.processes.clear();
        self.releases.clear();
        self.started.clear();
        self.forgotten.clear();
        self.promoted = Generation(1);
        self.steered.clear();
        self.explained = (0..self.policy.workers).collect();
        self.shortage = Shortage::default();
        self.shortage.not_calm_ms = self.now_ms;
        self.scaling.clear();
        self.idle_since = None;
        self.checking = false;
        self.upgrading = false;
        self.stopping = false;
        self.fast = false;
        self.starting = true;
        self.start_may_fail = false;
        self.finished = false;
        self.forks.clear();
        self.last_start = None;
        self.probing = false;
        self.planned.clear();
        self.planned.push_back(self.now_ms);
        self.known_wanted = self.policy.workers;
        self.told_phase = Phase::Starting;
        self.next_sweep_ms = self.now_ms;
        self.tell(Event::Start);
    }

    /// Jumps to the next moment at which something happens.
    fn step(&mut self) {
        let before_ms = self.now_ms;
        let awake_ms = if self.now_ms < self.asleep_until_ms {
            self.asleep_until_ms
        } else {
            let deadline = self.supervisor.next_deadline();
            deadline
                .map_or(self.next_sweep_ms, Time::as_millis)
                .min(self.next_sweep_ms)
        };
        let future_ms = self.future.next_ms().unwrap_or(u64::MAX);
        self.now_ms = awake_ms.min(future_ms).max(self.now_ms);
        self.stuck = if self.now_ms == before_ms {
            self.stuck + 1
        } else {
            0
        };
        if self.stuck > STUCK_MAX {
            self.fail("time stands still");
        }
        while let Some(what) = self.future.pop_due(self.now_ms) {
            self.happen(what);
        }
        if self.now_ms >= self.asleep_until_ms {
            self.wake_shell();
        }
        if self.finished {
            self.begin_life();
        }
    }

    /// What the shell does when it is woken.
    fn wake_shell(&mut self) {
        let timer = self
            .supervisor
            .next_deadline()
            .is_some_and(|at| at.as_millis() <= self.now_ms);
        if timer && self.timer_first {
            self.tell(Event::Timer);
        }
        while let Some(event) = self.mail.pop_front() {
            self.tell(event);
        }
        if self.next_sweep_ms <= self.now_ms {
            self.sweep();
            let interval = self.policy.heartbeat_interval;
            self.next_sweep_ms = self.now_ms + ms(interval);
        }
        if timer && !self.timer_first {
            self.tell(Event::Timer);
        }
        while let Some(event) = self.mail.pop_front() {
            self.tell(event);
        }
    }

    fn time(&self) -> Time {
        Time::from_millis(self.now_ms)
    }

    /// Adds to the trace.
    fn trace(&mut self, what: &impl fmt::Debug) {
        let mut hash = Fnv(self.outcome.trace_hash);
        let _ = write!(hash, "{} {what:?}", self.now_ms);
        self.outcome.trace_hash = hash.0;
        if self.verbose {
            println!("{} {what:?}", self.time());
        }
    }

    fn trace_number(&mut self, number: u64) {
        let mixed = (self.outcome.trace_hash ^ number).wrapping_mul(0x0000_0100_0000_01b3);
        self.outcome.trace_hash = mixed;
    }

    /// Notes the first violation; the run ends there.
    fn fail(&mut self, why: &str) {
        if self.outcome.violation.is_none() {
            let line = format!("at {}: {why}", self.time());
            if self.verbose {
                println!("VIOLATION {line}");
            }
            self.outcome.violation = Some(line);
        }
    }
}

struct Fnv(u64);

impl fmt::Write for Fnv {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        for byte in s.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Ok(())
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A policy by seed. Most runs use slow heartbeats: the rules are the same and the hours go by
/// faster; every 128th uses the defaults.
fn policy(dice: &mut Dice, seed: u64) -> Policy {
    let workers = u32::try_from(dice.range(1, 6)).unwrap_or(4);
    let spares = dice.pick(&[0, 0, 1, 2]).unwrap_or(0);
    if seed.is_multiple_of(128) {
        return Policy {
            workers,
            spares,
            ..Policy::default()
        };
    }
    let beat = Duration::from_secs(dice.range(6, 16));
    Policy {
        workers,
        spares,
        heartbeat_interval: beat,
        suspect_after: beat * 4,
        hang_timeout: beat * 10,
        lifetime: Duration::from_mins(dice.range(8, 70)),
        surge_percent: u32::try_from(dice.range(10, 100)).unwrap_or(25),
        ..Policy::default()
    }
}
