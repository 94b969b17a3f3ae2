//! Upgrade: the master follows the executable on disk, by a re-exec in place.
//!
//! The supervisor only decides when: with no reload and no scale under way, or as the last step of
//! a reload whose release asks for it. The whole [`Supervisor`] goes over to the new image as it
//! is, this upgrade among it, and the new image tells how it went. A failure changes nothing.

use serde::{Deserialize, Serialize};

use crate::action::Action;
use crate::ids::RequestId;
use crate::supervisor::Supervisor;

/// The upgrade under way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Upgrade {
    requests: Vec<RequestId>,
    /// What the reload that it ends has done, which succeeds however this goes.
    reloaded: Option<String>,
}

impl Supervisor {
    /// Begins one; `reloaded` is the answer so far when it is the end of a reload.
    pub(crate) fn start_upgrade(&mut self, requests: Vec<RequestId>, reloaded: Option<String>) {
        self.upgrade = Some(Upgrade { requests, reloaded });
        self.act(Action::Upgrade);
    }

    /// How it went: told by the new image, or by the former one, which goes on.
    pub(crate) fn upgraded(&mut self, result: &Result<String, String>) {
        let Some(upgrade) = self.upgrade.take() else {
            return;
        };
        self.changes += 1;
        let answer = match (upgrade.reloaded, result) {
            (Some(line), Ok(text)) => Ok(format!("{line}; {text}")),
            (Some(line), Err(why)) => Ok(format!(
                "{line}; the master stays on its former binary: {why}"
            )),
            (None, result) => result.clone(),
        };
        for request in upgrade.requests {
            self.reply(request, answer.clone());
        }
    }

    /// Ends it because the pool ends; what the shell says of it later means nothing. A reload
    /// before it has succeeded.
    pub(crate) fn drop_upgrade(&mut self, why: &str) {
        if self.upgrade.is_some() {
            self.upgraded(&Err(why.to_owned()));
        }
    }
}
