//! Stop: workers, then the agent, then the master.
//!
//! Workers drain in parallel, so that the stop takes no longer than the slowest of them; the agent
//! stays until they are gone because they may need it. A fast stop kills at once.

use serde::{Deserialize, Serialize};

use crate::action::{Action, Reason, State};
use crate::ids::{InstanceId, RequestId, Role};
use crate::supervisor::{Life, Supervisor};

/// Why the master's work ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Ending {
    /// Somebody asked for it.
    Stop,
    /// The first start failed.
    Failed(String),
}

impl Supervisor {
    /// A `stop` command, the first or a further one.
    pub(crate) fn stop(&mut self, request: RequestId, fast: bool) {
        self.stop_requests.push(request);
        self.changes += 1;
        if !self.is_ending() {
            self.life = Life::Ending(Ending::Stop);
            self.refuse_all_commands("stopping");
            self.recycle = None;
            self.empty_slots();
            self.dismiss_spares(Reason::Stop);
        }
        if fast {
            let alive: Vec<InstanceId> = self.instances.keys().copied().collect();
            for id in alive {
                self.kill_for_stop(id);
            }
        }
    }

    fn empty_slots(&mut self) {
        let slots: Vec<_> = self.slots.keys().copied().collect();
        for slot in slots {
            self.empty_slot(slot, Reason::Stop);
        }
    }

    fn kill_for_stop(&mut self, id: InstanceId) {
        let reason = self.instances.get(&id).and_then(|instance| instance.reason);
        self.kill(id, reason.unwrap_or(Reason::Stop));
    }

    /// Ends the agent when the workers are gone, and the master when all are.
    pub(crate) fn step_ending(&mut self) {
        let Life::Ending(ending) = &self.life else {
            return;
        };
        if self.instances.is_empty() {
            let result = match ending {
                Ending::Stop => Ok(()),
                Ending::Failed(reason) => Err(reason.clone()),
            };
            for request in std::mem::take(&mut self.stop_requests) {
                self.reply(request, Ok("stopped".to_owned()));
            }
            self.life = Life::Over;
            self.finish = Some(Action::Finish { result });
            self.changes += 1;
            return;
        }
        let workers = self.instances.values().any(|i| i.role != Role::Agent);
        if let Some(agent) = self.agent.current
            && !workers
            && self.state_of(Some(agent)) != State::Exited
        {
            self.send_away(agent, Reason::Stop, false);
        }
    }
}
