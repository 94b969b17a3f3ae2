//! Hot spares: booted workers without a slot, and the moment in which one is given a slot.

use std::io;

use hatchery_ipc::child::ToChild;
use hatchery_ipc::status::Spare;
use hatchery_supervisor::{InstanceId, Role, Signal, Slot};
use hatchery_sys::proc;

use crate::journal::Level;
use crate::master::Master;

impl Master {
    /// Gives a spare the listeners of a slot: from now on it is the slot's worker.
    pub(crate) fn assign(&mut self, id: InstanceId, slot: Slot) {
        if let Err(error) = self.try_assign(id, slot) {
            // It would hold a slot in which nobody serves.
            let text = format!("spare {id} cannot be given slot {}: {error}", slot.0);
            self.log(Level::Error, &text);
            self.signal(id, Signal::Kill);
        }
    }

    fn try_assign(&mut self, id: InstanceId, slot: Slot) -> io::Result<()> {
        let message = ToChild::Serve {
            slot: slot.0,
            listeners: self.listeners.addresses(),
        };
        let listeners = self.listeners.for_slot(slot.0)?;
        let Some(process) = self.processes.get_mut(&id) else {
            return Ok(());
        };
        process.role = Role::Worker(slot);
        process.tell(&message, &listeners)
    }

    /// The spares, for `status`.
    pub(crate) fn spares(&self) -> Vec<Spare> {
        self.supervisor
            .spares()
            .filter_map(|spare| {
                let pid = spare.pid?;
                let uptime = self.now.since(spare.started_at).as_millis();
                Some(Spare {
                    instance: spare.id.0,
                    pid,
                    state: spare.state.as_str().into(),
                    generation: spare.generation.0,
                    uptime_ms: u64::try_from(uptime).unwrap_or(u64::MAX),
                    rss_bytes: proc::rss_bytes(pid).unwrap_or(0),
                })
            })
            .collect()
    }
}
