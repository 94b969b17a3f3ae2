//! The ways in which an instance is asked, and in the end made, to go.
//!
//! Policy table, *kill*: drain message → `drain_timeout` 30 s → SIGKILL of the whole process group.
//! One that never became ready has no clients and gets SIGTERM, `abort_grace`, SIGKILL.

use std::time::Duration;

use crate::action::{Action, Reason, Signal, State};
use crate::ids::InstanceId;
use crate::supervisor::Supervisor;

/// SIGKILL is sent again this often while the process is not reaped.
const KILL_AGAIN: Duration = Duration::from_secs(5);

impl Supervisor {
    /// Asks a serving instance to finish what it has, within its `drain_timeout`.
    pub(crate) fn drain(&mut self, id: InstanceId, reason: Reason, successor: bool) {
        let Some(instance) = self.instances.get(&id) else {
            return;
        };
        let limit = self.policy_of(instance.generation).drain_timeout;
        self.drain_within(id, reason, successor, limit);
    }

    /// Asks a serving instance to finish what it has, within `limit`.
    pub(crate) fn drain_within(
        &mut self,
        id: InstanceId,
        reason: Reason,
        successor: bool,
        limit: Duration,
    ) {
        let limit_at = self.now + limit;
        let Some(instance) = self.instances.get_mut(&id) else {
            return;
        };
        if instance.gone || !matches!(instance.state, State::Ready | State::Suspect) {
            return;
        }
        instance.limit_at = Some(limit_at);
        self.move_to(id, State::Draining, Some(reason));
        self.drains.push(Action::Drain {
            instance: id,
            limit,
            successor,
        });
    }

    /// Sends an instance away by what its state allows: SIGTERM while it starts, else a drain.
    pub(crate) fn send_away(&mut self, id: InstanceId, reason: Reason, successor: bool) {
        match self.state_of(Some(id)) {
            State::Starting => self.end_by(id, Signal::Term, reason),
            State::Ready | State::Suspect => self.drain(id, reason, successor),
            State::Draining | State::Stopping | State::Exited => {}
        }
    }

    /// Ends a hung instance: SIGABRT so that it may tell where it is, SIGKILL after `abort_grace`.
    pub(crate) fn abort(&mut self, id: InstanceId) {
        self.end_by(id, Signal::Abort, Reason::Hang);
    }

    /// Ends an instance now.
    pub(crate) fn kill(&mut self, id: InstanceId, reason: Reason) {
        self.end_by(id, Signal::Kill, reason);
    }

    /// Ends an instance now, unless that was done; its reason stays the one it was retired for.
    pub(crate) fn kill_once(&mut self, id: InstanceId) {
        let Some(instance) = self.instances.get(&id) else {
            return;
        };
        if instance.state != State::Stopping {
            self.kill(id, instance.reason.unwrap_or(Reason::Hang));
        }
    }

    /// Sends a signal that ends the instance, to be followed by SIGKILL if it does not.
    pub(crate) fn end_by(&mut self, id: InstanceId, signal: Signal, reason: Reason) {
        let Some(instance) = self.instances.get(&id) else {
            return;
        };
        if instance.gone {
            return;
        }
        let pause = match signal {
            Signal::Kill => KILL_AGAIN,
            Signal::Term | Signal::Abort => self.policy_of(instance.generation).abort_grace,
        };
        let limit_at = self.now + pause;
        if let Some(instance) = self.instances.get_mut(&id) {
            instance.limit_at = Some(limit_at);
        }
        self.move_to(id, State::Stopping, Some(reason));
        self.act(Action::Signal {
            instance: id,
            signal,
        });
    }
}
