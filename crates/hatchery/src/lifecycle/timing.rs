//! How long each step of a start took.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use crate::complain::complain;
use crate::run_file;

/// Records the steps of one process's start. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Timing(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    began: Instant,
    steps: Mutex<Vec<Step>>,
}

/// What is recorded of a step: times are milliseconds since the recording began.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Step {
    /// `plugin audit`, `application blog`; empty for what belongs to no unit.
    pub(crate) unit: String,
    /// `did_load`, `router`, `middleware`, …
    pub(crate) kind: &'static str,
    /// The type or function.
    pub(crate) name: String,
    /// `file:line`, where there is one.
    pub(crate) place: String,
    pub(crate) start_ms: f64,
    /// `None` while it goes on.
    pub(crate) end_ms: Option<f64>,
}

/// All of it, as it is written to the run directory.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Record {
    pub(crate) pid: u32,
    /// Since the recording began.
    pub(crate) elapsed_ms: f64,
    /// What the whole process has used so far.
    pub(crate) cpu_ms: f64,
    pub(crate) steps: Vec<Step>,
}

/// A step that goes on; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    timing: Timing,
    index: usize,
}

impl Timing {
    pub(crate) fn begin() -> Self {
        Self(Arc::new(Inner {
            began: Instant::now(),
            steps: Mutex::default(),
        }))
    }

    /// A step begins.
    pub(crate) fn step(&self, unit: &str, kind: &'static str, name: &str, place: &str) -> Running {
        let step = Step {
            unit: unit.to_owned(),
            kind,
            name: name.to_owned(),
            place: place.to_owned(),
            start_ms: self.now_ms(),
            end_ms: None,
        };
        let mut steps = self.steps();
        steps.push(step);
        Running {
            timing: self.clone(),
            index: steps.len() - 1,
        }
    }

    /// A step that does not wait.
    pub(crate) fn timed<T>(&self, unit: &str, kind: &'static str, work: impl FnOnce() -> T) -> T {
        let _running = self.step(unit, kind, "", "");
        work()
    }

    /// What is known by now.
    pub(crate) fn record(&self) -> Record {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        let cpu = Duration::try_from(cpu).unwrap_or_default();
        Record {
            pid: std::process::id(),
            elapsed_ms: self.now_ms(),
            cpu_ms: millis(cpu),
            steps: self.steps().clone(),
        }
    }

    /// Names the steps that took longer than `limit`.
    pub(crate) fn complain_of_slow_steps(&self, limit: Duration) {
        for step in self.slow_steps(limit) {
            complain(format_args!("{step}"));
        }
    }

    fn slow_steps(&self, limit: Duration) -> Vec<String> {
        let limit_ms = millis(limit);
        self.steps()
            .iter()
            .filter_map(|step| {
                let took_ms = step.end_ms? - step.start_ms;
                (took_ms >= limit_ms)
                    .then(|| format!("slow start: {} took {took_ms:.0} ms", step.title()))
            })
            .collect()
    }

    /// Writes all to `<name>_timing.json`. A start does not fail because of it.
    pub(crate) fn write(&self, run_dir: &Path, name: &str) {
        let file = format!("{name}_timing.json");
        let text = serde_json::to_vec_pretty(&self.record()).map_err(io::Error::from);
        if let Err(error) = text.and_then(|text| run_file::replace(run_dir, &file, &text)) {
            let path = run_dir.join(file);
            complain(format_args!("cannot write {}: {error}", path.display()));
        }
    }

    fn now_ms(&self) -> f64 {
        millis(self.0.began.elapsed())
    }

    fn steps(&self) -> std::sync::MutexGuard<'_, Vec<Step>> {
        self.0.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Step {
    /// `plugin audit: did_load of audit::Audit (src/lib.rs:12)`.
    pub(crate) fn title(&self) -> String {
        let mut title = self.kind.to_owned();
        if !self.unit.is_empty() {
            title = format!("{}: {title}", self.unit);
        }
        if !self.name.is_empty() {
            title = format!("{title} of {}", self.name);
        }
        if !self.place.is_empty() {
            title = format!("{title} ({})", self.place);
        }
        title
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let now_ms = self.timing.now_ms();
        if let Some(step) = self.timing.steps().get_mut(self.index) {
            step.end_ms = Some(now_ms);
        }
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_overlap_and_the_slow_ones_are_named() {
        let timing = Timing::begin();
        let outer = timing.step("plugin audit", "did_load", "audit::Audit", "src/lib.rs:3");
        timing.timed("", "router", || ());
        assert_eq!(timing.record().steps[0].end_ms, None);
        drop(outer);
        let record = timing.record();
        assert!(record.steps[1].start_ms >= record.steps[0].start_ms);
        assert!(record.steps[0].end_ms >= record.steps[1].end_ms);
        let slow = timing.slow_steps(Duration::ZERO);
        assert_eq!(slow.len(), 2);
        let expected = "slow start: plugin audit: did_load of audit::Audit (src/lib.rs:3) took ";
        assert!(slow[0].starts_with(expected), "{}", slow[0]);
        assert!(timing.slow_steps(Duration::from_hours(1)).is_empty());
    }

    #[test]
    fn the_file_is_whole_and_a_directory_that_is_missing_is_no_harm() {
        let dir = tempfile::tempdir().unwrap();
        let timing = Timing::begin();
        timing.timed("application blog", "router", || ());
        timing.write(dir.path(), "application");
        timing.write(&dir.path().join("missing"), "application");
        let names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
        assert_eq!(names.len(), 1);
        let text = std::fs::read(dir.path().join("application_timing.json")).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(json["steps"][0]["unit"], "application blog");
        assert!(json["cpu_ms"].as_f64().unwrap() > 0.0);
    }
}
