//! The end of an instance: who it was decides what follows. A death is acted on when it is told,
//! at once, never by a missing heartbeat.

use crate::action::{Action, Reason, Report, State};
use crate::event::ExitStatus;
use crate::ids::{InstanceId, Role, Slot};
use crate::instance::Instance;
use crate::supervisor::Supervisor;

impl Supervisor {
    /// A process that could not be made.
    pub(crate) fn spawn_failed(&mut self, id: InstanceId, reason: String) {
        if let Some(instance) = self.instances.get_mut(&id) {
            instance.detail = Some(reason);
            self.exited(id, None);
        }
    }

    /// A process that is gone and reaped.
    pub(crate) fn exited(&mut self, id: InstanceId, status: Option<ExitStatus>) {
        let Some(instance) = self.instances.get_mut(&id) else {
            return;
        };
        instance.gone = true;
        let (role, unasked) = (instance.role, is_unasked(instance));
        self.tell_death(id, status);
        if unasked && let Some(status) = status {
            self.keep_status(id, status);
        }
        let failed_start = unasked && self.fail_start_of(id);
        match role {
            _ if failed_start || self.is_ending() => {}
            Role::Worker(slot) => self.worker_gone(slot, id, unasked),
            Role::Agent => self.agent_gone(id, unasked),
            Role::Spare => self.spare_gone(id, unasked),
        }
        self.forget_place(id);
        self.instances.remove(&id);
        self.changes += 1;
    }

    fn worker_gone(&mut self, slot: Slot, id: InstanceId, unasked: bool) {
        let Some(state) = self.slots.get_mut(&slot) else {
            return;
        };
        if state.incoming_id() == Some(id) {
            self.incoming_failed(slot, id);
        } else if state.current == Some(id) {
            state.current = None;
            state.leak = None;
            if !(unasked && self.fail_reload_of(id)) {
                self.count_crash(slot, id);
                self.fail_scale_of(slot, id);
                self.fail_roll_back(id);
            }
        } else {
            state.retired.retain(|retired| *retired != id);
            // It hung, or died as a suspect, after its stand-in had taken over.
            if unasked && slot.0 < self.wanted && !self.fail_reload_of(id) {
                self.count_crash(slot, id);
            }
        }
    }

    /// Takes an instance out of wherever it is, with no consequence.
    fn forget_place(&mut self, id: InstanceId) {
        if self.agent.current == Some(id) {
            self.agent.current = None;
        }
        for state in self.slots.values_mut() {
            if state.current == Some(id) {
                state.current = None;
            }
            if state.incoming_id() == Some(id) {
                state.incoming = None;
            }
            state.retired.retain(|retired| *retired != id);
        }
    }

    fn keep_status(&mut self, id: InstanceId, status: ExitStatus) {
        if let Some(instance) = self.instances.get_mut(&id) {
            instance.detail.get_or_insert_with(|| status.to_string());
        }
    }

    fn tell_death(&mut self, id: InstanceId, status: Option<ExitStatus>) {
        let Some(instance) = self.instances.get(&id) else {
            return;
        };
        let reason = reason_of(instance, status);
        let died = Report::Died {
            instance: id,
            role: instance.role,
            generation: instance.generation,
            reason,
            status,
            detail: instance.detail.clone(),
            uptime: self.now.since(instance.started_at),
        };
        self.move_to_exited(id);
        self.act(Action::Report(died));
    }

    /// Reports the last move without touching the state that the consequences are judged by.
    fn move_to_exited(&mut self, id: InstanceId) {
        let Some(instance) = self.instances.get(&id) else {
            return;
        };
        let report = Report::Moved {
            instance: id,
            role: instance.role,
            generation: instance.generation,
            from: instance.state,
            to: State::Exited,
            reason: instance.reason,
        };
        self.act(Action::Report(report));
    }
}

/// Whether nobody asked for this end: a crash, a boot failure, or a hang that we put an end to.
const fn is_unasked(instance: &Instance) -> bool {
    match instance.state {
        State::Starting | State::Ready | State::Suspect => true,
        State::Stopping => matches!(instance.reason, Some(Reason::Hang)),
        State::Draining | State::Exited => false,
    }
}

fn reason_of(instance: &Instance, status: Option<ExitStatus>) -> Reason {
    match (instance.reason, status) {
        (Some(reason), _) => reason,
        (None, _) if instance.ready_at.is_none() => Reason::Boot,
        (None, Some(ExitStatus::Code(0)) | None) => Reason::Clean,
        (None, Some(ExitStatus::Code(_))) => Reason::Exit,
        (None, Some(ExitStatus::Signal { .. })) => Reason::Signal,
    }
}
