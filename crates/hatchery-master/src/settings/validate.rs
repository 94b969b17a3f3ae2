//! Rules that no single key can check: limits that must stand in an order, zeros that make no
//! sense, features that come later.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use super::units::{DURATION_MAX, format_duration, format_size};
use super::{ADDRESSES_MAX, Cluster, Listen, Settings, Surge, WORKERS_MAX, Workers, listen};

/// The shortest interval that the master's loop is woken for.
const INTERVAL_MIN: Duration = Duration::from_millis(10);

/// A rule that the settings break.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key to change, dotted: `cluster.suspect_after`.
    pub key: &'static str,
    /// The key that it disagrees with, when the rule is about two.
    pub other: Option<&'static str>,
    /// What is wrong and what would be right, on one line, without the key.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}

impl Settings {
    /// All rules that these settings break; empty when they can be used.
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = Problems(Vec::new());
        problems.numbers(&self.cluster);
        problems.durations(&self.cluster);
        problems.orders(&self.cluster);
        problems.listen(&self.listen);
        problems.0
    }
}

struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, key: &'static str, message: impl Into<String>) {
        self.0.push(Problem {
            key,
            other: None,
            message: message.into(),
        });
    }

    fn numbers(&mut self, cluster: &Cluster) {
        let range = 1..=WORKERS_MAX;
        if let Workers::Count(count) = cluster.workers
            && !range.contains(&count)
        {
            self.add(
                "cluster.workers",
                format!("{count} is not from 1 to {WORKERS_MAX}"),
            );
        }
        match cluster.surge {
            Surge::Workers(count) if !range.contains(&count) => {
                self.add(
                    "cluster.surge",
                    format!("{count} is not from 1 to {WORKERS_MAX}"),
                );
            }
            Surge::Percent(percent) if !(1..=100).contains(&percent) => {
                self.add(
                    "cluster.surge",
                    format!("{percent}% is not from 1% to 100%"),
                );
            }
            _ => {}
        }
        if cluster.spares > WORKERS_MAX {
            let spares = cluster.spares;
            self.add(
                "cluster.spares",
                format!("{spares} is not from 0 to {WORKERS_MAX}"),
            );
        }
        if !(1..=1000).contains(&cluster.crash_budget_per_worker) {
            let budget = cluster.crash_budget_per_worker;
            self.add(
                "cluster.crash_budget_per_worker",
                format!("{budget} is not from 1 to 1000"),
            );
        }
    }

    fn durations(&mut self, cluster: &Cluster) {
        for (key, duration, least) in [
            (
                "cluster.heartbeat_interval",
                cluster.heartbeat_interval,
                INTERVAL_MIN,
            ),
            (
                "cluster.memory_interval",
                cluster.memory_interval,
                INTERVAL_MIN,
            ),
            ("cluster.suspect_after", cluster.suspect_after, INTERVAL_MIN),
            ("cluster.hang_timeout", cluster.hang_timeout, INTERVAL_MIN),
            ("cluster.ready_timeout", cluster.ready_timeout, INTERVAL_MIN),
            ("cluster.drain_timeout", cluster.drain_timeout, INTERVAL_MIN),
            (
                "cluster.backoff_initial",
                cluster.backoff_initial,
                INTERVAL_MIN,
            ),
            ("cluster.backoff_max", cluster.backoff_max, INTERVAL_MIN),
            ("cluster.healthy_after", cluster.healthy_after, INTERVAL_MIN),
            ("cluster.crash_window", cluster.crash_window, INTERVAL_MIN),
            (
                "cluster.probe_interval",
                cluster.probe_interval,
                INTERVAL_MIN,
            ),
            ("cluster.lifetime", cluster.lifetime, Duration::ZERO),
            (
                "cluster.lifetime_spacing",
                cluster.lifetime_spacing,
                Duration::ZERO,
            ),
            ("cluster.idle_grace", cluster.idle_grace, Duration::ZERO),
            ("cluster.min_ready", cluster.min_ready, Duration::ZERO),
            ("cluster.orphan_grace", cluster.orphan_grace, Duration::ZERO),
            ("cluster.memory_fresh", cluster.memory_fresh, Duration::ZERO),
            ("cluster.pressure_calm", cluster.pressure_calm, INTERVAL_MIN),
            ("cluster.abort_grace", cluster.abort_grace, Duration::ZERO),
        ] {
            if duration < least {
                let (value, least) = (format_duration(duration), format_duration(least));
                self.add(key, format!("{value} is too short, the least is {least}"));
            } else if duration > DURATION_MAX {
                self.add(key, "longer than 366 days");
            }
        }
    }

    /// `key` (with its value) must not be `wrong` (what it is) than `other`.
    fn order(
        &mut self,
        key: &'static str,
        value: &str,
        wrong: &str,
        other: &'static str,
        its: &str,
    ) {
        let (_, name) = other.split_once('.').unwrap_or(("", other));
        self.0.push(Problem {
            key,
            other: Some(other),
            message: format!("{value} must be {wrong} `{name}` ({its})"),
        });
    }

    fn orders(&mut self, cluster: &Cluster) {
        let written = format_duration;
        let (heartbeat, suspect) = (cluster.heartbeat_interval, cluster.suspect_after);
        if suspect < heartbeat.saturating_mul(2) {
            self.order(
                "cluster.suspect_after",
                &written(suspect),
                "at least twice",
                "cluster.heartbeat_interval",
                &written(heartbeat),
            );
        }
        for (less_key, less, key, more, may_equal) in [
            (
                "cluster.suspect_after",
                suspect,
                "cluster.hang_timeout",
                cluster.hang_timeout,
                false,
            ),
            (
                "cluster.backoff_initial",
                cluster.backoff_initial,
                "cluster.backoff_max",
                cluster.backoff_max,
                true,
            ),
            (
                "cluster.idle_grace",
                cluster.idle_grace,
                "cluster.drain_timeout",
                cluster.drain_timeout,
                true,
            ),
        ] {
            let good = if may_equal { less <= more } else { less < more };
            if !good {
                let relation = if may_equal { "at most" } else { "less than" };
                self.order(less_key, &written(less), relation, key, &written(more));
            }
        }
        let (soft, hard) = (cluster.memory_soft, cluster.memory_hard_bytes());
        if hard != 0 && hard <= soft {
            self.order(
                "cluster.memory_hard",
                &format_size(hard),
                "more than",
                "cluster.memory_soft",
                &format_size(soft),
            );
        }
    }

    fn listen(&mut self, listen: &Listen) {
        let addresses = &listen.addresses;
        if addresses.is_empty() {
            self.add("listen.addresses", "at least one address is needed");
        }
        if addresses.len() > ADDRESSES_MAX {
            self.add(
                "listen.addresses",
                format!("more than {ADDRESSES_MAX} addresses"),
            );
        }
        let mut seen = HashSet::new();
        for address in addresses {
            match listen::parse_address(address) {
                Err(message) => self.add("listen.addresses", message),
                // Port 0 stands for another port each time.
                Ok(normal) if !seen.insert(normal.clone()) && !normal.ends_with(":0") => {
                    self.add("listen.addresses", format!("`{address}` is there twice"));
                }
                Ok(_) => {}
            }
        }
        if !(1..=65535).contains(&listen.backlog) {
            self.add(
                "listen.backlog",
                format!("{} is not from 1 to 65535", listen.backlog),
            );
        }
    }
}
