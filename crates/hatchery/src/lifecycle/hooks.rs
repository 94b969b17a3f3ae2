//! The hooks of one process, from the configuration to readiness.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value as Json;

use super::settings::BootSettings;
use super::timing::Timing;
use super::together::{Together, caught};
use super::{BootRole, ErasedBoot, unless_ended};
use crate::application::Role;
use crate::complain::complain;
use crate::config::Config;
use crate::loader::load_order::LoadOrder;
use crate::loader::registry::Item;
use crate::{Application, BoxError};

/// The hooks of one process, in load order.
pub(crate) struct Hooks {
    pub(super) list: Vec<Hook>,
    pub(super) settings: BootSettings,
    pub(super) timing: Timing,
}

/// The hooks of one unit: one type's.
pub(super) struct Hook {
    /// `plugin audit`, `application blog`.
    unit: String,
    /// `file:line` of the type, or of the place that brought it.
    place: String,
    /// In which of the two lives of `--single`.
    pub(super) is_agents: bool,
    pub(super) boot: Box<dyn ErasedBoot>,
    /// Its `did_load` was begun: its `before_close` has something to close.
    pub(super) has_begun: AtomicBool,
}

/// A hook that failed, with its reason as the source.
#[derive(Debug)]
pub(crate) struct HookError {
    /// `plugin audit: did_load of audit::Audit (src/lib.rs:12)`
    title: String,
    source: BoxError,
}

type Wait<'a, T> = std::pin::Pin<Box<dyn Future<Output = Result<T, BoxError>> + 'a>>;

impl Hooks {
    /// Takes the units' hooks out of them, and makes the registered ones.
    pub(crate) fn collect(
        order: &mut LoadOrder,
        role: Role,
        timing: &Timing,
    ) -> Result<Self, HookError> {
        let mut list = Vec::new();
        for loaded in order.units_mut() {
            let title = loaded.unit.title();
            let mut add = |boot_role, boot, place| {
                if runs(boot_role, role) {
                    list.push(Hook {
                        unit: title.clone(),
                        place,
                        is_agents: boot_role != BootRole::Application,
                        boot,
                        has_begun: AtomicBool::new(false),
                    });
                }
            };
            for brought in std::mem::take(&mut loaded.unit.boots) {
                let place = format!("{}:{}", brought.place.file(), brought.place.line());
                add(brought.role, brought.boot, place);
            }
            for item in &loaded.items {
                if let Item::Boot {
                    role: boot_role,
                    make,
                } = item.item
                    && runs(boot_role, role)
                {
                    let boot = caught(|| Ok(make())).map_err(|source| HookError {
                        title: format!("{title}: {} ({})", item.name, item.place()),
                        source,
                    })?;
                    add(boot_role, boot, item.place());
                }
            }
        }
        // In one process the agent comes before the workers, as it does in a pool.
        list.sort_by_key(|hook| !hook.is_agents);
        Ok(Self {
            list,
            settings: BootSettings::default(),
            timing: timing.clone(),
        })
    }

    /// `load_config` of all at the same time; what they return is laid over the files, in load order.
    pub(crate) async fn load_config(&mut self, config: &mut Config) -> Result<(), BoxError> {
        self.settings = config.section("boot")?;
        let limit = self.settings.config_timeout;
        let mut tables: Vec<Option<Result<Option<Json>, BoxError>>> = Vec::new();
        tables.resize_with(self.list.len(), || None);
        let waits = (0..self.list.len())
            .map(|index| {
                let hook = &self.list[index];
                let wait = hook.boot.load_config(config);
                (index, self.recorded(index, "load_config", wait))
            })
            .collect();
        let all = Together::new(waits, |index, table: Result<_, BoxError>| {
            let failed = table.is_err();
            tables[index] = Some(table);
            if failed { Err(index) } else { Ok(()) }
        });
        let ended = tokio::time::timeout(limit, all).await;
        if ended.is_err() {
            let late = (0..self.list.len()).filter(|index| tables[*index].is_none());
            let late: Vec<_> = late.map(|index| self.title(index, "load_config")).collect();
            let (late, limit) = (late.join(", "), show(limit));
            return Err(format!("{late} has not ended within {limit}").into());
        }
        for (index, table) in tables.into_iter().enumerate() {
            match table {
                Some(Err(source)) => return Err(self.failed(index, "load_config", source).into()),
                Some(Ok(Some(table))) => {
                    let title = self.title(index, "load_config");
                    config.lay(table, &title)?;
                }
                Some(Ok(None)) | None => {}
            }
        }
        Ok(())
    }

    /// `config_will_load`, one after the other.
    pub(crate) fn config_will_load(&mut self, config: &mut Config) -> Result<(), BoxError> {
        for (index, hook) in self.list.iter().enumerate() {
            let _step = self.step(index, "config_will_load");
            caught(|| hook.boot.config_will_load(config))
                .map_err(|source| self.failed(index, "config_will_load", source))?;
        }
        self.settings = config.section("boot")?;
        Ok(())
    }

    /// `config_did_load`, one after the other.
    pub(crate) fn config_did_load(&self, app: &Application) -> Result<(), BoxError> {
        for (index, hook) in self.list.iter().enumerate() {
            let _step = self.step(index, "config_did_load");
            caught(|| hook.boot.config_did_load(app))
                .map_err(|source| self.failed(index, "config_did_load", source))?;
        }
        Ok(())
    }

    /// `did_load` of all at the same time, then `will_ready`; with `--single` first the agent's, then
    /// the workers'. When one fails, or the process is told to end, those that were begun are closed.
    pub(crate) async fn start(&self, app: &Application) -> Result<(), BoxError> {
        let started = unless_ended(app.shutdown(), self.start_all(app)).await;
        if started.is_err() {
            self.close(app).await;
        }
        started
    }

    async fn start_all(&self, app: &Application) -> Result<(), HookError> {
        for is_agents in [true, false] {
            let all = || (0..self.list.len()).filter(|i| self.list[*i].is_agents == is_agents);
            let waits = all().map(|index| {
                let hook = &self.list[index];
                let wait: Wait<'_, ()> = Box::pin(async move {
                    hook.has_begun.store(true, Ordering::Relaxed);
                    hook.boot.did_load(app).await
                });
                (index, self.watched(index, "did_load", wait))
            });
            Together::new(waits.collect(), |index, result| {
                result.map_err(|source| self.failed(index, "did_load", source))
            })
            .await?;
            let waits = all().map(|index| {
                let wait = self.list[index].boot.will_ready(app);
                (index, self.watched(index, "will_ready", wait))
            });
            Together::new(waits.collect(), |index, result| {
                result.map_err(|source| self.failed(index, "will_ready", source))
            })
            .await?;
        }
        Ok(())
    }

    /// `did_ready` of all at the same time. The process is ready whatever they say.
    pub(crate) async fn did_ready(&self, app: &Application) {
        let waits = (0..self.list.len()).map(|index| {
            let wait = self.list[index].boot.did_ready(app);
            (index, self.watched(index, "did_ready", wait))
        });
        self.tell_of_failures(app, "did_ready", waits.collect())
            .await;
    }

    /// `server_did_ready` of all at the same time.
    pub(crate) async fn server_did_ready(&self, app: &Application) {
        let waits = (0..self.list.len()).map(|index| {
            let wait = self.list[index].boot.server_did_ready(app);
            (index, self.watched(index, "server_did_ready", wait))
        });
        self.tell_of_failures(app, "server_did_ready", waits.collect())
            .await;
    }

    async fn tell_of_failures(
        &self,
        app: &Application,
        kind: &'static str,
        waits: Vec<(usize, Wait<'_, ()>)>,
    ) {
        let told = Together::new(waits, |index, result| -> Result<(), HookError> {
            if let Err(source) = result {
                super::report(app, self.failed(index, kind, source));
            }
            Ok(())
        });
        let _ = told.await;
    }

    /// Records when it begins and ends.
    pub(super) fn recorded<'a, T: 'a>(
        &'a self,
        index: usize,
        kind: &'static str,
        wait: Wait<'a, T>,
    ) -> Wait<'a, T> {
        Box::pin(async move {
            let _step = self.step(index, kind);
            wait.await
        })
    }

    /// The same, and names it when it takes long.
    fn watched<'a>(&'a self, index: usize, kind: &'static str, wait: Wait<'a, ()>) -> Wait<'a, ()> {
        let limit = self.settings.ready_timeout;
        self.recorded(
            index,
            kind,
            Box::pin(async move {
                let mut wait = wait;
                if let Ok(ended) = tokio::time::timeout(limit, &mut wait).await {
                    return ended;
                }
                let (title, limit) = (self.title(index, kind), show(limit));
                complain(format_args!("{title} still runs after {limit}"));
                wait.await
            }),
        )
    }

    fn step(&self, index: usize, kind: &'static str) -> super::timing::Running {
        let hook = &self.list[index];
        let name = hook.boot.type_name();
        self.timing.step(&hook.unit, kind, name, &hook.place)
    }

    /// `plugin audit: did_load of audit::Audit (src/lib.rs:12)`.
    pub(super) fn title(&self, index: usize, kind: &str) -> String {
        let Hook {
            unit, place, boot, ..
        } = &self.list[index];
        format!("{unit}: {kind} of {} ({place})", boot.type_name())
    }

    pub(super) fn failed(&self, index: usize, kind: &str, source: BoxError) -> HookError {
        HookError {
            title: self.title(index, kind),
            source,
        }
    }

    /// How long steps may take before they are named.
    pub(crate) fn slow_step(&self) -> Duration {
        self.settings.slow_step
    }
}

/// Whether hooks for `boot` run in a process of `role`.
fn runs(boot: BootRole, role: Role) -> bool {
    match role {
        Role::Agent => boot != BootRole::Application,
        Role::Worker | Role::Check => boot != BootRole::Agent,
        Role::Single => true,
    }
}

/// A duration as the configuration has it.
pub(super) fn show(duration: Duration) -> String {
    hatchery_master::settings::units::format_duration(duration)
}

impl fmt::Display for HookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title)
    }
}

impl std::error::Error for HookError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.source)
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let titles = (0..self.list.len()).map(|index| self.title(index, "hooks"));
        f.debug_list().entries(titles).finish()
    }
}
