//! A plugin: notes who changed what. It brings its configuration, a singleton, a hook and an
//! extension of `Context`.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use hatchery::{Application, Boot, BootRole, BoxError, Context, Plugin, Unit};
use serde::Deserialize;

/// The plugin, as `src/lib.rs` names it.
#[derive(Debug)]
pub(crate) struct Audit;

impl Plugin for Audit {
    fn unit(self) -> Unit {
        Unit::plugin("audit", hatchery::package!())
            .config("default", include_str!("config.default.toml"))
            .section::<Settings>("audit")
            .boot(BootRole::Application, Hooks)
    }
}

/// The `[audit]` table.
#[derive(Clone, Debug, Deserialize)]
struct Settings {
    lines: usize,
}

struct Hooks;

impl Boot for Hooks {
    fn config_did_load(&self, app: &Application) -> Result<(), BoxError> {
        let Settings { lines } = app.section("audit")?;
        app.provide(AuditLog {
            lines_max: lines,
            lines: Mutex::default(),
        })?;
        Ok(())
    }
}

/// What was noted in this process.
#[derive(Debug)]
pub(crate) struct AuditLog {
    lines_max: usize,
    lines: Mutex<VecDeque<String>>,
}

impl AuditLog {
    /// Oldest first.
    pub(crate) fn lines(&self) -> Vec<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().cloned().collect()
    }

    fn note(&self, line: String) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push_back(line);
        let surplus = lines.len().saturating_sub(self.lines_max);
        lines.drain(..surplus);
    }
}

/// Brings `ctx.audit("…")`.
pub(crate) trait AuditExt {
    /// Notes it, with the request's id, in the log and for `/admin`.
    fn audit(&self, what: &str);
}

impl AuditExt for Context {
    fn audit(&self, what: &str) {
        self.logger().info(what);
        let line = format!("{} {what}", self.request_id());
        if let Ok(log) = self.app().singleton::<AuditLog>() {
            log.note(line);
        }
    }
}
