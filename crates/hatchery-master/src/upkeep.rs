//! What is done by the clock: heartbeats, memory, listeners that were shut down, the registry, the
//! service manager's watchdog.

use std::time::Duration;

use hatchery_supervisor::{Event, InstanceId, State, Time};
use hatchery_sys::notify::Notifier;
use hatchery_sys::proc;
use serde::{Deserialize, Serialize};

use crate::journal::Level;
use crate::master::Master;
use crate::registry;

/// Between two looks at the registry entry.
const REGISTRY_INTERVAL: Duration = Duration::from_secs(60);

/// Between two looks at the listeners' state.
const LISTENERS_INTERVAL: Duration = Duration::from_secs(1);

/// From the moment that no worker accepts any more until new connections are refused: workers use
/// it to empty their queues.
const REFUSE_DELAY: Duration = Duration::from_millis(50);

/// How long a busy worker may take to come to its queue, before what waits there is refused.
const REFUSE_LIMIT: Duration = Duration::from_secs(5);

/// PSS costs milliseconds for a large process, RSS microseconds: the expensive reading is taken
/// only from this share of the soft limit on.
const NEAR_LIMIT_PERCENT: u64 = 80;

/// When what is due next.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Upkeep {
    heartbeats_at: Time,
    memory_at: Time,
    listeners_at: Time,
    registry_at: Time,
    watchdog: Option<(Duration, Time)>,
    refuse_at: Option<Time>,
    /// When new connections are refused at the latest.
    refuse_until: Time,
}

impl Upkeep {
    pub(crate) fn new(now: Time) -> Self {
        let usec = std::env::var("WATCHDOG_USEC")
            .ok()
            .and_then(|text| text.parse().ok());
        // Half of what the service manager allows, as its documentation asks.
        let watchdog = usec.map(|usec: u64| (Duration::from_micros(usec / 2), now));
        Self {
            heartbeats_at: now,
            memory_at: now,
            listeners_at: now,
            registry_at: now + REGISTRY_INTERVAL,
            watchdog,
            refuse_at: None,
            refuse_until: now,
        }
    }

    pub(crate) fn next_deadline(&self) -> Time {
        let mut next = self
            .heartbeats_at
            .min(self.memory_at)
            .min(self.listeners_at);
        if let Some((_, at)) = self.watchdog {
            next = next.min(at);
        }
        if let Some(at) = self.refuse_at {
            next = next.min(at);
        }
        next.min(self.registry_at)
    }

    /// The application stops and nobody accepts any more.
    pub(crate) fn refuse_soon(&mut self, now: Time) {
        if self.refuse_at.is_none() {
            self.refuse_at = Some(now + REFUSE_DELAY);
            self.refuse_until = now + REFUSE_LIMIT;
        }
    }
}

impl Master {
    /// Does whatever is due.
    pub(crate) fn keep_up(&mut self) {
        let now = self.now;
        if now >= self.upkeep.heartbeats_at {
            self.upkeep.heartbeats_at = now + self.supervisor.policy().heartbeat_interval;
            self.read_heartbeats();
            // A child's signal is not lost, but a second look is cheap.
            self.bury_the_dead();
        }
        if now >= self.upkeep.memory_at {
            let current = self.releases.get(&self.supervisor.generation());
            let settings = current.map_or(&self.launch.settings, |release| &release.settings);
            self.upkeep.memory_at = now + settings.cluster.memory_interval;
            self.read_memory();
            self.read_pressure(false);
        }
        if now >= self.upkeep.listeners_at {
            self.upkeep.listeners_at = now + LISTENERS_INTERVAL;
            self.revive_listeners();
            self.oom.look(now);
        }
        self.inquire_on_all();
        if now >= self.upkeep.registry_at {
            self.upkeep.registry_at = now + REGISTRY_INTERVAL;
            if let Some(entry) = &self.registry {
                let _ = entry.refresh();
            }
        }
        if let Some((interval, at)) = self.upkeep.watchdog
            && now >= at
        {
            self.upkeep.watchdog = Some((interval, now + interval));
            self.notify(Notifier::watchdog);
        }
        if self.upkeep.refuse_at.is_some_and(|at| now >= at) {
            // A worker that is busy just now has not emptied its queue yet.
            if now < self.upkeep.refuse_until && self.listeners.anybody_waits() {
                self.upkeep.refuse_at = Some(now + REFUSE_DELAY);
            } else {
                self.upkeep.refuse_at = None;
                self.listeners.refuse();
            }
        }
        self.retry_adoptions();
        self.kill_late_orphans();
        for check in &mut self.checks {
            if now >= check.deadline {
                check.deadline = now + Duration::from_secs(5);
                check.time_out();
            }
        }
    }

    fn read_heartbeats(&mut self) {
        let now = self.now;
        let beats: Vec<(InstanceId, Time)> = self
            .processes
            .values_mut()
            .filter_map(|process| Some((process.id, process.last_beat(now)?)))
            .collect();
        for (instance, at) in beats {
            self.tell(Event::Heartbeat { instance, at });
        }
    }

    fn read_memory(&mut self) {
        let soft = self.supervisor.policy().memory_soft;
        let ready: Vec<(InstanceId, u32)> = self
            .processes
            .values()
            .filter(|process| self.state_of(process.id) == Some(State::Ready))
            .map(|process| (process.id, process.pid))
            .collect();
        for (instance, pid) in ready {
            let Ok(rss) = proc::rss_bytes(pid) else {
                continue;
            };
            if let Some(process) = self.processes.get_mut(&instance) {
                process.notes.rss_bytes = rss;
            }
            let near = soft > 0 && rss >= soft / 100 * NEAR_LIMIT_PERCENT;
            let bytes = if near {
                proc::pss_bytes(pid).unwrap_or(rss)
            } else {
                rss
            };
            self.tell(Event::Memory { instance, bytes });
        }
    }

    fn revive_listeners(&mut self) {
        if self.upkeep.refuse_at.is_some() || self.is_stopping() {
            return;
        }
        for address in self.listeners.revive() {
            self.log(
                Level::Error,
                &format!("{address} was shut down by a worker (shutdown() on an inherited listener ends it for all); it listens again"),
            );
        }
    }

    /// Makes this application findable by `list`.
    pub(crate) fn register(&mut self) {
        let socket = self.run_dir.control_socket();
        match registry::Entry::write(&self.launch.app, &socket) {
            Ok(entry) => self.registry = Some(entry),
            Err(error) => {
                self.log(
                    Level::Warn,
                    &format!("`list` will not find this application: {error}"),
                );
            }
        }
    }
}
