//! `before_close`, in reverse order and bounded in time.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::Hooks;
use super::hooks::show;
use super::together::poll_caught;
use crate::Application;
use crate::complain::complain;

impl Hooks {
    /// `before_close` of those whose `did_load` was begun, one after the other: the agent's before
    /// the workers' (in `--single`), the last first. Failures are told and keep nobody.
    pub(crate) async fn close(&self, app: &Application) {
        // Where a start has failed, nobody else has said it.
        app.end();
        let limit = self.settings.close_timeout;
        let now = Instant::now();
        let deadline = tokio::time::Instant::from_std(now.checked_add(limit).unwrap_or(now));
        let mut order: Vec<_> = (0..self.list.len()).rev().collect();
        order.sort_by_key(|index| !self.list[*index].is_agents);
        let mut late: Option<(usize, usize)> = None;
        for index in order {
            let hook = &self.list[index];
            if !hook.has_begun.swap(false, Ordering::Relaxed) {
                continue;
            }
            if let Some((_, left_out)) = &mut late {
                *left_out += 1;
                continue;
            }
            let mut wait = self.recorded(index, "before_close", hook.boot.before_close(app));
            let ended = std::future::poll_fn(|cx| poll_caught(wait.as_mut(), cx));
            match tokio::time::timeout_at(deadline, ended).await {
                Ok(Ok(())) => {}
                Ok(Err(source)) => super::report(app, self.failed(index, "before_close", source)),
                Err(_) => late = Some((index, 0)),
            }
        }
        if let Some((index, left_out)) = late {
            let (title, limit) = (self.title(index, "before_close"), show(limit));
            let others = match left_out {
                0 => String::new(),
                others => format!("; not run because of it: {others}"),
            };
            complain(format_args!("{title} has not ended within {limit}{others}"));
        }
    }
}
