//! Listeners that must outlive this master: the agent keeps them, and a service manager that can.

use std::os::fd::BorrowedFd;

use hatchery_ipc::child::{FDS_MAX, Kept, ToChild};
use hatchery_supervisor::{InstanceId, Role, State};

use crate::master::Master;

/// Who has been given which state of the listeners.
#[derive(Debug, Default)]
pub(crate) struct Keeping {
    agent: Option<(InstanceId, u64)>,
}

impl Master {
    /// Gives the listeners to whoever is to keep them and does not have them yet. Cheap when there
    /// is nothing to do; what does not succeed is tried again in the next turn.
    pub(crate) fn keep_listeners(&mut self) {
        let version = self.listeners.version();
        let agent = self
            .supervisor
            .instances()
            .find(|instance| instance.role == Role::Agent && instance.state == State::Ready)
            .map(|instance| instance.id);
        if let Some(agent) = agent
            && self.keeping.agent != Some((agent, version))
            && self.give_listeners(agent)
        {
            self.keeping.agent = Some((agent, version));
        }
    }

    /// Returns false when it should be tried again.
    fn give_listeners(&self, agent: InstanceId) -> bool {
        let Some(process) = self.processes.get(&agent) else {
            return false;
        };
        if process.protocol < 2 {
            return true;
        }
        let all = self.listeners.to_keep();
        let mut rest = all.as_slice();
        loop {
            let (now, later) = rest.split_at(rest.len().min(FDS_MAX));
            let fds: Vec<BorrowedFd<'_>> = now.iter().map(|(_, _, fd)| *fd).collect();
            let listeners: Vec<Kept> = now.iter().map(|(_, kept, _)| kept.clone()).collect();
            let more = !later.is_empty();
            if process
                .tell(&ToChild::Keep { listeners, more }, &fds)
                .is_err()
            {
                return false;
            }
            if !more {
                return true;
            }
            rest = later;
        }
    }
}
