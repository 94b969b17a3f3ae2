//! What people ask for: one thing at a time, in order, each answered exactly once.

use serde::{Deserialize, Serialize};

use crate::action::Action;
use crate::event::Command;
use crate::ids::RequestId;
use crate::supervisor::{Life, Supervisor};

/// Requests that may wait at one time; more are refused.
const WAITING_MAX: usize = 256;

/// What waits for the present reload, scale or upgrade to end.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Pending {
    /// One reload answers all of these: it picks up whatever is on disk when it begins.
    Reload(Vec<RequestId>),
    /// `scale N`.
    Scale(RequestId, u32),
    /// `scale +N` or `-N`.
    ScaleBy(RequestId, i32),
    /// One upgrade answers all of these.
    Upgrade(Vec<RequestId>),
    /// A new configuration wants so many.
    Workers(u32),
}

impl Supervisor {
    /// Takes a command.
    pub(crate) fn command(&mut self, request: RequestId, command: Command) {
        let stop = matches!(command, Command::Stop { .. });
        if self.life == Life::Over || (self.is_ending() && !stop) {
            self.reply(request, Err("stopping".to_owned()));
            return;
        }
        if self.waiting() >= WAITING_MAX {
            self.reply(request, Err("too many commands wait already".to_owned()));
            return;
        }
        match command {
            Command::Stop { fast } => self.stop(request, fast),
            Command::Reload => self.queue_reload(request),
            Command::Upgrade => self.queue_upgrade(request),
            Command::Scale { workers } => self.queue(Pending::Scale(request, workers)),
            Command::ScaleBy { delta } => self.queue(Pending::ScaleBy(request, delta)),
        }
    }

    fn waiting(&self) -> usize {
        let queued: usize = self
            .pending
            .iter()
            .map(|pending| match pending {
                Pending::Reload(requests) | Pending::Upgrade(requests) => requests.len(),
                _ => 1,
            })
            .sum();
        queued + self.stop_requests.len()
    }

    fn queue(&mut self, pending: Pending) {
        self.pending.push_back(pending);
        self.changes += 1;
    }

    fn queue_reload(&mut self, request: RequestId) {
        let follow_up = self.pending.iter_mut().find_map(|pending| match pending {
            Pending::Reload(requests) => Some(requests),
            _ => None,
        });
        match follow_up {
            Some(requests) => requests.push(request),
            None => self.queue(Pending::Reload(vec![request])),
        }
    }

    fn queue_upgrade(&mut self, request: RequestId) {
        let follow_up = self.pending.iter_mut().find_map(|pending| match pending {
            Pending::Upgrade(requests) => Some(requests),
            _ => None,
        });
        match follow_up {
            Some(requests) => requests.push(request),
            None => self.queue(Pending::Upgrade(vec![request])),
        }
    }

    /// Begins what waits, when nothing is under way.
    pub(crate) fn run_commands(&mut self) {
        while self.reload.is_none() && self.scale.is_none() && self.upgrade.is_none() {
            let scales = !matches!(
                self.pending.front(),
                Some(Pending::Reload(_) | Pending::Upgrade(_))
            );
            if scales && self.is_refilling() {
                return; // those that a scale takes away may be all that serve
            }
            let Some(pending) = self.pending.pop_front() else {
                return;
            };
            match pending {
                Pending::Reload(requests) => self.start_reload(requests),
                Pending::Scale(request, workers) => self.scale_to(Some(request), workers),
                Pending::ScaleBy(request, delta) => {
                    let workers = self.wanted.saturating_add_signed(delta).max(1);
                    self.scale_to(Some(request), workers);
                }
                Pending::Upgrade(requests) => self.start_upgrade(requests, None),
                Pending::Workers(workers) => self.scale_to(None, workers),
            }
        }
    }

    /// Answers everything that is under way or waits, because the pool ends.
    pub(crate) fn refuse_all_commands(&mut self, why: &str) {
        self.drop_reload(why);
        self.drop_upgrade(why);
        if let Some(scale) = self.scale.take() {
            self.reply_to(scale.request, Err(why.to_owned()));
        }
        for pending in std::mem::take(&mut self.pending) {
            let requests = match pending {
                Pending::Reload(requests) | Pending::Upgrade(requests) => requests,
                Pending::Scale(request, _) | Pending::ScaleBy(request, _) => vec![request],
                Pending::Workers(_) => Vec::new(),
            };
            for request in requests {
                self.reply(request, Err(why.to_owned()));
            }
        }
    }

    /// The answer to a command; comes after the actions that make it true.
    pub(crate) fn reply(&mut self, request: RequestId, result: Result<String, String>) {
        self.changes += 1;
        self.replies.push(Action::Reply { request, result });
    }

    /// The same, when there may be nobody who asked.
    pub(crate) fn reply_to(&mut self, request: Option<RequestId>, result: Result<String, String>) {
        if let Some(request) = request {
            self.reply(request, result);
        }
    }
}
