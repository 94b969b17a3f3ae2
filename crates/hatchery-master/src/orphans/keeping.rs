//! Listeners that must outlive this master: the agent keeps them, and a service manager that can.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::BorrowedFd;

use hatchery_ipc::child::{FDS_MAX, Kept, ToChild};
use hatchery_supervisor::{InstanceId, Phase, Role, State};

use super::stored;
use crate::master::Master;

/// Most messages to the service manager in one turn of the loop. Its queue may be as short as 10,
/// and there are others that must find room in it.
const STORE_MAX: usize = 4;

/// Who has been given which state of the listeners.
#[derive(Debug, Default)]
pub(crate) struct Keeping {
    agent: Option<(InstanceId, u64)>,
    /// What the service manager has, by name.
    stored: BTreeSet<String>,
    /// The state of which it has all.
    stored_version: u64,
}

impl Keeping {
    /// `stored` is what the service manager has from a former master.
    pub(crate) fn new(stored: BTreeSet<String>) -> Self {
        Self {
            stored,
            ..Self::default()
        }
    }

    /// What the service manager has, for the next image. The agent is given all once more.
    pub(crate) fn save(&self) -> BTreeSet<String> {
        let Self {
            agent: _,
            stored,
            stored_version: _,
        } = self;
        stored.clone()
    }
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
        // What the manager waits to hear must not wait behind it.
        let is_up = !matches!(self.supervisor.phase(), Phase::Starting | Phase::Stopping);
        if self.keeping.stored_version != version && is_up && self.store_listeners() {
            self.keeping.stored_version = version;
        }
    }

    /// Leaves the listeners with the service manager, as they are now. Returns false when there is
    /// more to do.
    fn store_listeners(&mut self) -> bool {
        let Some(notifier) = &self.notifier else {
            return true;
        };
        let all = self.listeners.to_keep();
        let named = all
            .iter()
            .map(|(group, kept, fd)| (stored::name(*group, kept), *fd));
        let named: BTreeMap<String, BorrowedFd<'_>> = named.collect();
        let stored = &mut self.keeping.stored;
        // Old names first: a manager takes no file under two.
        let gone = stored.iter().filter(|name| !named.contains_key(*name));
        let gone: Vec<String> = gone.cloned().collect();
        for name in gone.into_iter().take(STORE_MAX) {
            if notifier.unstore(&name).is_err() {
                return false;
            }
            stored.remove(&name);
        }
        if stored.iter().any(|name| !named.contains_key(name)) {
            return false;
        }
        let missing = named.iter().filter(|(name, _)| !stored.contains(*name));
        let missing: Vec<_> = missing.take(STORE_MAX).collect();
        for (name, fd) in missing {
            if notifier.store(name, *fd).is_err() {
                return false;
            }
            stored.insert(name.clone());
        }
        stored.len() == named.len()
    }

    /// Nobody is to serve them again.
    pub(crate) fn unstore_listeners(&mut self) {
        let stored = std::mem::take(&mut self.keeping.stored);
        for name in stored {
            self.notify(|notifier| notifier.unstore(&name));
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
