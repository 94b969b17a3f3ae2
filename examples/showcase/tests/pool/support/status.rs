//! `status --json` as the contract has it, over the control socket.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Status {
    pub(crate) app: String,
    pub(crate) env: String,
    pub(crate) version: String,
    pub(crate) state: String,
    pub(crate) generation: u64,
    pub(crate) listen: Vec<String>,
    pub(crate) master: Master,
    pub(crate) agent: Option<Agent>,
    pub(crate) workers: Vec<Worker>,
    pub(crate) workers_wanted: u32,
    pub(crate) alarms: Vec<String>,
    pub(crate) losses: Losses,
    pub(crate) handovers: Handovers,
    pub(crate) spares: Vec<Spare>,
    /// Of a former master.
    pub(crate) orphans: Vec<Orphan>,
    pub(crate) pressure: Pressure,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Spare {
    pub(crate) instance: u64,
    pub(crate) pid: u32,
    pub(crate) state: String,
    pub(crate) generation: u64,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Handovers {
    pub(crate) handed: u64,
    pub(crate) refused: u64,
    pub(crate) fallen_back: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Orphan {
    pub(crate) pid: u32,
    pub(crate) role: String,
    pub(crate) slot: Option<u32>,
    pub(crate) state: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Losses {
    pub(crate) requests: u64,
    pub(crate) connections: u64,
    pub(crate) by_cause: BTreeMap<String, Cut>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Cut {
    pub(crate) requests: u64,
    pub(crate) connections: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Master {
    pub(crate) pid: u32,
    pub(crate) rss_bytes: u64,
    pub(crate) uptime_ms: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Agent {
    pub(crate) pid: u32,
    pub(crate) state: String,
    pub(crate) uptime_ms: u64,
    pub(crate) restarts: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Worker {
    pub(crate) slot: u32,
    pub(crate) instance: u64,
    pub(crate) pid: u32,
    pub(crate) state: String,
    pub(crate) generation: u64,
    pub(crate) uptime_ms: u64,
    pub(crate) restarts: u64,
    pub(crate) rss_bytes: u64,
    pub(crate) in_flight: u64,
    pub(crate) connections: u64,
    pub(crate) requests_total: u64,
    pub(crate) heartbeat_age_ms: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Pressure {
    pub(crate) level: u8,
    pub(crate) reason: String,
    pub(crate) refused: u64,
}

impl Status {
    /// The workers that serve.
    pub(crate) fn ready(&self) -> impl Iterator<Item = &Worker> {
        self.workers.iter().filter(|worker| worker.state == "ready")
    }

    /// The one worker that serves in a slot.
    pub(crate) fn worker(&self, slot: u32) -> Option<&Worker> {
        self.ready().find(|worker| worker.slot == slot)
    }

    /// Whether the pool is as it should be and nothing is under way: `workers` slots, each with
    /// one ready worker and no other process, and a ready agent.
    pub(crate) fn is_whole(&self, workers: u32) -> bool {
        let slots: BTreeSet<u32> = self.ready().map(|worker| worker.slot).collect();
        self.state == "ready"
            && self.workers_wanted == workers
            && self.workers.len() == workers as usize
            && slots == (0..workers).collect()
            && self
                .agent
                .as_ref()
                .is_some_and(|agent| agent.state == "ready")
    }

    /// The pids of the workers that exist.
    pub(crate) fn pids(&self) -> BTreeSet<u32> {
        self.workers.iter().map(|worker| worker.pid).collect()
    }

    /// The numbers of the workers that exist.
    pub(crate) fn instances(&self) -> BTreeSet<u64> {
        self.workers.iter().map(|worker| worker.instance).collect()
    }
}

/// A connection to the control socket, for many questions.
pub(crate) struct Control(BufReader<UnixStream>);

#[derive(Deserialize)]
struct Answer {
    done: bool,
    ok: bool,
    message: Option<String>,
    status: Option<Status>,
}

impl Control {
    pub(crate) fn connect(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.set_write_timeout(Some(Duration::from_secs(20)))?;
        Ok(Self(BufReader::new(stream)))
    }

    pub(crate) fn status(&mut self) -> io::Result<Status> {
        let answer = self.ask(r#"{"v":1,"verb":"status"}"#)?;
        answer
            .status
            .ok_or_else(|| io::Error::other(answer.message.unwrap_or_default()))
    }

    fn ask(&mut self, line: &str) -> io::Result<Answer> {
        self.0.get_mut().write_all(format!("{line}\n").as_bytes())?;
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let answer: Answer = serde_json::from_str(&line)?;
            if answer.done {
                assert!(answer.ok, "status was refused: {line}");
                return Ok(answer);
            }
        }
    }
}
