//! Looking at the pool all the time while something happens to it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::status::{Control, Status};

const POLL: Duration = Duration::from_millis(5);

/// A thread that asks for the status again and again.
#[derive(Debug)]
pub struct Watch {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Seen>>,
}

/// What it saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// How often it looked.
    pub looks: u64,
    /// Fewest ready workers at one time.
    pub ready_min: Option<usize>,
    /// Most ready workers at one time.
    pub ready_max: usize,
    /// Most processes in one slot at one time.
    pub per_slot_max: usize,
    /// Every state the pool was in.
    pub states: BTreeSet<String>,
    /// Every state that some worker was in.
    pub worker_states: BTreeSet<String>,
    /// Every worker that there was.
    pub instances: BTreeSet<u64>,
    /// Every agent that there was.
    pub agents: BTreeSet<u32>,
}

impl Watch {
    /// Begins to ask at this control socket.
    pub fn start(socket: PathBuf) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut seen = Seen::default();
            let mut control = None;
            while !stopped.load(Ordering::Relaxed) {
                if control.is_none() {
                    control = Control::connect(&socket).ok();
                }
                match control.as_mut().map(Control::status) {
                    Some(Ok(status)) => seen.add(&status),
                    _ => control = None,
                }
                thread::sleep(POLL);
            }
            seen
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }

    /// Ends the watching.
    pub fn finish(mut self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("it is finished once");
        let seen = thread.join().expect("the watching thread lives");
        assert!(seen.looks > 0, "the watch never saw a status");
        seen
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Seen {
    fn add(&mut self, status: &Status) {
        let ready = status.ready().count();
        self.looks += 1;
        self.ready_min = Some(self.ready_min.map_or(ready, |least| least.min(ready)));
        self.ready_max = self.ready_max.max(ready);
        for worker in &status.workers {
            let same = status
                .workers
                .iter()
                .filter(|other| other.slot == worker.slot);
            self.per_slot_max = self.per_slot_max.max(same.count());
            self.worker_states.insert(worker.state.clone());
            self.instances.insert(worker.instance);
        }
        self.states.insert(status.state.clone());
        self.agents
            .extend(status.agent.iter().map(|agent| agent.pid));
    }
}
