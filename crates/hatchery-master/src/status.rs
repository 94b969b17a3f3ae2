//! The answer to `status`, from the supervisor's view, the stats pages and `/proc`.

use hatchery_ipc::status::{Agent, Master as MasterStatus, Status, Worker};
use hatchery_supervisor::{Instance, Role, Slot, State};
use hatchery_sys::page::StatsPage;
use hatchery_sys::proc;

use crate::journal::alarm_text;
use crate::master::Master;

impl Master {
    pub(crate) fn status(&self) -> Status {
        let uptime_ms =
            |since| u64::try_from(self.now.since(since).as_millis()).unwrap_or(u64::MAX);
        let mut agent = None;
        let mut workers = Vec::new();
        for instance in self.supervisor.instances() {
            let Some(pid) = instance.pid else { continue };
            match instance.role {
                Role::Agent => {
                    agent = Some(Agent {
                        pid,
                        state: instance.state.as_str().into(),
                        uptime_ms: uptime_ms(instance.started_at),
                        restarts: u64::from(self.supervisor.agent_restarts()),
                    });
                }
                Role::Spare => {}
                Role::Worker(slot) => workers.push(self.worker(instance, slot.0, pid)),
            }
        }
        workers.sort_by_key(|worker| (worker.slot, worker.instance));
        let pid = std::process::id();
        Status {
            app: self.launch.app.clone(),
            env: self.launch.env.clone(),
            version: self.launch.version.clone(),
            state: self.supervisor.phase().as_str().into(),
            generation: self.supervisor.generation().0,
            listen: self.listeners.addresses(),
            master: MasterStatus {
                pid,
                rss_bytes: proc::rss_bytes(pid).unwrap_or(0),
                uptime_ms: uptime_ms(self.started_at),
            },
            agent,
            workers,
            spares: self.spares(),
            workers_wanted: self.supervisor.workers_wanted(),
            alarms: self.alarms(),
            losses: self.reports.losses(),
            handovers: self.handover_totals(),
            orphans: self.orphans.status(),
            pressure: self.pressure(),
        }
    }

    /// What the supervisor raises, and why places are empty that should not be.
    fn alarms(&self) -> Vec<String> {
        let wanted = self.supervisor.workers_wanted();
        let missed = self
            .setbacks
            .iter()
            .filter(|(role, _)| role.slot().is_none_or(|slot| slot.0 < wanted))
            // A hung worker ends after its stand-in has taken its place.
            .filter(|(role, _)| !self.is_filled(**role))
            .map(|(role, why)| format!("{role} is not ready: {why}"));
        self.supervisor
            .alarms()
            .iter()
            .map(alarm_text)
            .chain(missed)
            .collect()
    }

    /// Whether somebody is ready in this place of the pool.
    fn is_filled(&self, role: Role) -> bool {
        let mut instances = self.supervisor.instances();
        instances.any(|instance| instance.role == role && instance.state == State::Ready)
    }

    fn worker(&self, instance: &Instance, slot: u32, pid: u32) -> Worker {
        let millis = |since| u64::try_from(self.now.since(since).as_millis()).unwrap_or(u64::MAX);
        let page = self
            .processes
            .get(&instance.id)
            .map(|process| &process.page);
        Worker {
            slot,
            instance: instance.id.0,
            pid,
            state: instance.state.as_str().into(),
            generation: instance.generation.0,
            uptime_ms: millis(instance.started_at),
            restarts: u64::from(self.supervisor.restarts(Slot(slot))),
            rss_bytes: proc::rss_bytes(pid).unwrap_or(0),
            in_flight: page.map_or(0, StatsPage::in_flight),
            connections: page.map_or(0, StatsPage::connections),
            requests_total: page.map_or(0, StatsPage::requests_total),
            heartbeat_age_ms: page.map_or(0, |page| self.heartbeat_age_ms(page)),
        }
    }

    /// Of the loop that is silent longest, as of now: the supervisor's own view is a sample old.
    fn heartbeat_age_ms(&self, page: &StatsPage) -> u64 {
        let oldest = page.ticks().into_iter().take(page.threads()).min();
        oldest.map_or(0, |tick_ms| self.now.as_millis().saturating_sub(tick_ms))
    }
}
