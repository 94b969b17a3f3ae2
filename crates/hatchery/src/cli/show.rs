//! What `status` and `list` print for people.

use std::fmt::Write as _;
use std::time::Duration;

use hatchery_ipc::status::{Losses, Pressure, Status};
use hatchery_master::registry::Running;

/// Columns as wide as their widest cell.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(head: &[&str]) -> Self {
        Self {
            rows: vec![head.iter().map(ToString::to_string).collect()],
        }
    }

    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    pub(super) fn render(&self) -> String {
        let columns = self.rows.first().map_or(0, Vec::len);
        let width = |column: usize| {
            self.rows
                .iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<_> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let cells: Vec<_> = row
                .iter()
                .zip(&widths)
                .map(|(cell, width)| format!("{cell:<width$}"))
                .collect();
            text.push_str(cells.join("  ").trim_end());
            text.push('\n');
        }
        text
    }
}

/// Processes of a former master, one line each.
fn orphans(text: &mut String, status: &Status) {
    for orphan in &status.orphans {
        let slot = orphan.slot.map(|slot| format!(" {slot}"));
        let _ = writeln!(
            text,
            "{}{} of the former master, pid {}, {}",
            orphan.role,
            slot.unwrap_or_default(),
            orphan.pid,
            orphan.state,
        );
    }
}

/// The state of one application.
pub(super) fn status(status: &Status) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{} {} ({}): {}, generation {}, on {}",
        status.app,
        status.version,
        status.env,
        status.state,
        status.generation,
        status.listen.join(", "),
    );
    let _ = writeln!(
        text,
        "master pid {}, up {}, {}",
        status.master.pid,
        duration(status.master.uptime_ms),
        size(status.master.rss_bytes),
    );
    match &status.agent {
        Some(agent) => {
            let _ = writeln!(
                text,
                "agent pid {}, {}, up {}, {} restarts",
                agent.pid,
                agent.state,
                duration(agent.uptime_ms),
                agent.restarts,
            );
        }
        None => text.push_str("agent: none\n"),
    }
    let ready = status
        .workers
        .iter()
        .filter(|worker| worker.state == "ready")
        .count();
    let _ = writeln!(
        text,
        "workers: {ready} ready of {} wanted\n",
        status.workers_wanted
    );
    let mut table = Table::new(&[
        "slot",
        "instance",
        "pid",
        "state",
        "gen",
        "up",
        "restarts",
        "memory",
        "in flight",
        "connections",
        "requests",
        "heartbeat",
    ]);
    for worker in &status.workers {
        table.row([
            worker.slot.to_string(),
            worker.instance.to_string(),
            worker.pid.to_string(),
            worker.state.clone(),
            worker.generation.to_string(),
            duration(worker.uptime_ms),
            worker.restarts.to_string(),
            size(worker.rss_bytes),
            worker.in_flight.to_string(),
            worker.connections.to_string(),
            worker.requests_total.to_string(),
            format!("{} ms ago", worker.heartbeat_age_ms),
        ]);
    }
    text.push_str(&table.render());
    orphans(&mut text, status);
    for spare in &status.spares {
        let _ = writeln!(
            text,
            "spare {}, pid {}, {}, up {}, {}",
            spare.instance,
            spare.pid,
            spare.state,
            duration(spare.uptime_ms),
            size(spare.rss_bytes),
        );
    }
    text.push_str(&pressure(&status.pressure));
    if !status.losses.by_cause.is_empty() {
        text.push('\n');
        text.push_str(&losses(&status.losses));
    }
    for alarm in &status.alarms {
        let _ = writeln!(text, "\nalarm: {alarm}");
    }
    text
}

/// A line on memory pressure, while there is some or when it has cost something.
fn pressure(pressure: &Pressure) -> String {
    let refused = match pressure.refused {
        0 => String::new(),
        count => format!("; {count} requests refused since the start"),
    };
    match (pressure.level, pressure.refused) {
        (0, 0) => String::new(),
        (0, _) => format!("\nmemory pressure: none{refused}\n"),
        (level, _) => format!(
            "\nmemory pressure: level {level} of 4, {}{refused}\n",
            pressure.reason
        ),
    }
}

/// What ends of processes have cost clients.
fn losses(losses: &Losses) -> String {
    let causes: Vec<_> = losses
        .by_cause
        .iter()
        .map(|(cause, cut)| format!("{cause} {}/{}", cut.requests, cut.connections))
        .collect();
    format!(
        "lost since the start: {} requests in {} connections ({}); `exits` tells more\n",
        losses.requests,
        losses.connections,
        causes.join(", "),
    )
}

/// All applications of a user, a line each.
pub(super) fn list(running: &[Running]) -> String {
    if running.is_empty() {
        return "nothing runs\n".into();
    }
    let mut table = Table::new(&[
        "app",
        "pid",
        "state",
        "workers",
        "gen",
        "up",
        "listen",
        "run directory",
    ]);
    for app in running {
        let place = app
            .socket
            .parent()
            .unwrap_or(&app.socket)
            .display()
            .to_string();
        let none = || {
            [
                "no answer".into(),
                String::new(),
                String::new(),
                String::new(),
                String::new(),
            ]
        };
        let [state, workers, generation, uptime, listen] =
            app.status.as_ref().map_or_else(|_| none(), summary);
        table.row([
            app.app.clone(),
            app.pid.to_string(),
            state,
            workers,
            generation,
            uptime,
            listen,
            place,
        ]);
    }
    table.render()
}

/// State, workers, generation, uptime and addresses.
fn summary(status: &Status) -> [String; 5] {
    let ready = status
        .workers
        .iter()
        .filter(|worker| worker.state == "ready")
        .count();
    [
        status.state.clone(),
        format!("{ready}/{}", status.workers_wanted),
        status.generation.to_string(),
        duration(status.master.uptime_ms),
        status.listen.join(" "),
    ]
}

/// To the two largest units, so that columns stay narrow.
pub(super) fn duration(ms: u64) -> String {
    let whole = if ms < 10_000 {
        Duration::from_millis(ms)
    } else {
        Duration::from_secs(ms / 1000)
    };
    let text = humantime::format_duration(whole).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

pub(super) fn size(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_uptimes_stay_short() {
        assert_eq!(duration(1_234), "1s 234ms");
        assert_eq!(duration(61_500), "1m 1s");
        assert_eq!(duration(90_061_000), "1day 1h");
    }

    #[test]
    fn pressure_is_told_while_it_matters() {
        let line = |level, refused| {
            let reason = "memory 95 % used: refuse what is above half".to_owned();
            pressure(&Pressure {
                level,
                reason,
                refused,
            })
        };
        assert_eq!(line(0, 0), "");
        assert_eq!(
            line(0, 7),
            "\nmemory pressure: none; 7 requests refused since the start\n"
        );
        assert_eq!(
            line(4, 0),
            "\nmemory pressure: level 4 of 4, memory 95 % used: refuse what is above half\n"
        );
    }

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["a", "bb"]);
        table.row(["long cell".into(), "x".into()]);
        assert_eq!(table.render(), "a          bb\nlong cell  x\n");
    }
}
