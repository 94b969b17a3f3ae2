//! Each kernel event, told to the supervisor.

use hatchery_ipc::child::ToMaster;
use hatchery_supervisor::{Accepted, Command, Event, ExitStatus, InstanceId, State};
use hatchery_sys::epoll::Ready;
use hatchery_sys::process::{self, Exit};
use hatchery_sys::signals::Signal;

use crate::check::{Passed, Purpose};
use crate::exits::Remains;
use crate::journal::Level;
use crate::listeners::ListenerId;
use crate::master::Master;
use crate::process::{Heard, MESSAGES_MAX, Output, Process};
use crate::release::Release;
use crate::requests::Asker;
use crate::token::Token;
use crate::upgrade::is_other;

/// Most dead children buried in one turn.
const EXITS_MAX: usize = 256;

/// Which of a child's output pipes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    Stdout,
    Stderr,
}

impl Master {
    pub(crate) fn dispatch(&mut self, token: Token, event: Ready) {
        match token {
            Token::Signals => self.read_signals(),
            Token::Control => self.accept_clients(),
            Token::Client(key) => self.client_ready(key, event),
            Token::Messages(id) => self.read_messages(id),
            Token::Stdout(id) => self.read_output(id, Stream::Stdout),
            Token::Stderr(id) => self.read_output(id, Stream::Stderr),
            Token::Listener(id) => self.adopt(id),
            Token::Check => self.read_checks(),
            Token::Orphan(key) => self.read_orphan(key),
            Token::OrphanGone(key) => self.orphan_gone(key),
            Token::Pressure => self.pressure_fired(event),
        }
    }

    fn read_signals(&mut self) {
        while let Ok(Some(signal)) = self.signals.read() {
            match signal {
                Signal::Chld => {}
                Signal::Term | Signal::Int | Signal::Quit => self.stop_by_signal(signal),
                Signal::Hup => self.command(Asker::detached("SIGHUP"), Command::Reload),
                Signal::Ttin => {
                    self.command(Asker::detached("SIGTTIN"), Command::ScaleBy { delta: 1 });
                }
                Signal::Ttou => {
                    self.command(Asker::detached("SIGTTOU"), Command::ScaleBy { delta: -1 });
                }
                Signal::Usr2 => self.command(Asker::detached("SIGUSR2"), Command::Upgrade),
                // Others are received so that they cannot end the master.
                other => self.log(Level::Info, &format!("{other:?}: nothing to do")),
            }
        }
        self.bury_the_dead();
    }

    /// The first signal asks politely, the second does not wait.
    fn stop_by_signal(&mut self, signal: Signal) {
        self.stop_requests += 1;
        let fast = self.stop_requests > 1;
        self.command(Asker::detached(signal.name()), Command::Stop { fast });
    }

    /// Looks at every dead child before it is reaped: until then its number, and its process
    /// group's, can mean nobody else. A process that is not ours (re-parented to us as subreaper
    /// or PID 1) is only reaped.
    pub(crate) fn bury_the_dead(&mut self) {
        for _ in 0..EXITS_MAX {
            let Ok(Some(Exit { pid, status })) = process::next_exit() else {
                return;
            };
            let status = match status {
                process::ExitStatus::Code(code) => ExitStatus::Code(code),
                process::ExitStatus::Signal {
                    signal,
                    core_dumped,
                } => ExitStatus::Signal {
                    signal,
                    core_dumped,
                },
            };
            if let Some(id) = self.processes.values().find(|p| p.pid == pid).map(|p| p.id) {
                self.bury(id, status);
            } else if let Some(index) = self.checks.iter().position(|check| check.pid == pid) {
                let check = self.checks.swap_remove(index);
                self.reap(pid);
                let purpose = check.purpose;
                let result = check.finish(status);
                self.checked(purpose, result);
            } else {
                self.reap(pid);
            }
        }
    }

    fn bury(&mut self, id: InstanceId, status: ExitStatus) {
        // Its last words first: the reason of a failed boot is in its socket.
        self.read_messages(id);
        self.read_output(id, Stream::Stdout);
        self.read_output(id, Stream::Stderr);
        let Some(mut process) = self.processes.remove(&id) else {
            return;
        };
        let (out, err) = (prefix(&process), prefix(&process));
        process.stdout.finish(|line| self.out.line(&out, line));
        process.stderr.finish(|line| self.err.line(&err, line));
        // What it left behind in its group goes with it.
        let _ = process::kill_group(process.pid, Signal::Kill);
        let peak_bytes = self.reap(process.pid);
        self.examine(&process, status, peak_bytes);
        self.adoptions.forget(id);
        self.book_handovers(&process);
        self.gauge.forget(&process.page);
        if self.is_of_interest(&process) {
            self.failed_tail = process.stderr.tail.clone();
        }
        if let Some(line) = process.stderr.tail.iter().last() {
            self.last_words.insert(id, line.to_owned());
        }
        self.tell(Event::Exited {
            instance: id,
            status,
        });
    }

    /// Whether the instance's last lines explain the failure of a start or a reload, should its
    /// end be one.
    fn is_of_interest(&self, process: &Process) -> bool {
        self.state_of(process.id).is_some_and(is_working)
            || process.generation > self.supervisor.generation()
    }

    /// Takes down what the process has left behind, for the report of its death.
    fn examine(&mut self, process: &Process, status: ExitStatus, peak_bytes: u64) {
        let mut remains = Remains::of(process, self.now, peak_bytes);
        let killed =
            matches!(status, ExitStatus::Signal { signal, .. } if signal == Signal::Kill.as_raw());
        if killed && !remains.is_ended_by_us && self.oom.claim(self.now) {
            remains.oom_killed(peak_bytes);
        }
        let instance = self.supervisor.instance(process.id);
        remains.silent = instance
            .and_then(|instance| instance.last_beat)
            .map(|at| self.now.since(at));
        self.remains.insert(process.id, remains);
    }

    /// Returns the most memory that it has had, bytes.
    fn reap(&mut self, pid: u32) -> u64 {
        process::reap(pid).unwrap_or_else(|error| {
            self.log(Level::Error, &format!("cannot reap pid {pid}: {error}"));
            0
        })
    }

    fn read_messages(&mut self, id: InstanceId) {
        for _ in 0..MESSAGES_MAX {
            let Some(process) = self.processes.get_mut(&id) else {
                return;
            };
            let event = match process.hear() {
                Heard::Message(ToMaster::Ready) => Event::Ready { instance: id },
                Heard::Message(ToMaster::Leaving) => Event::Leaving { instance: id },
                Heard::Message(ToMaster::BootFailed { reason }) => Event::BootFailed {
                    instance: id,
                    reason,
                },
                Heard::Message(ToMaster::Adopted { listener, accepted }) => {
                    self.adopted(ListenerId::from_u32(listener), accepted);
                    continue;
                }
                // Only an orphan's first word.
                Heard::Message(ToMaster::Kept { .. }) => continue,
                Heard::Nothing => return,
                Heard::End => {
                    // It may live on; its exit tells the rest. An open epoll entry would spin.
                    let _ = self.epoll.delete(&process.messages);
                    return;
                }
                Heard::Rubbish(error) => {
                    let text = format!("{} {id} pid {} says: {error}", process.role, process.pid);
                    let _ = self.epoll.delete(&process.messages);
                    self.log(Level::Error, &text);
                    return;
                }
            };
            self.tell(event);
        }
    }

    fn read_output(&mut self, id: InstanceId, stream: Stream) {
        let Some(process) = self.processes.get_mut(&id) else {
            return;
        };
        let prefix = prefix(process);
        let (output, sink): (&mut Output, _) = match stream {
            Stream::Stdout => (&mut process.stdout, &mut self.out),
            Stream::Stderr => (&mut process.stderr, &mut self.err),
        };
        // The pipe is closed at its end, and with it its place in epoll: nobody else holds it.
        output.read(|line| sink.line(&prefix, line));
    }

    fn read_checks(&mut self) {
        for check in &mut self.checks {
            let open = check.read();
            for (pipe, open) in check.pipes().into_iter().zip(open) {
                if !open {
                    let _ = self.epoll.delete(pipe);
                }
            }
        }
    }

    /// A check has ended: remembers the release, and tells whoever waits for it.
    pub(crate) fn checked(&mut self, purpose: Purpose, result: Result<Passed, String>) {
        match purpose {
            Purpose::Upgrade => return self.state_checked(result),
            Purpose::Names(id) => return self.looked_up(id, result),
            Purpose::Restart | Purpose::Reload(_) => {}
        }
        let result = result.and_then(Release::checked).and_then(|release| {
            let listen = &release.settings.listen;
            if purpose != Purpose::Restart && *listen != self.launch.settings.listen {
                return Err(
                    "[listen] has changed: a reload keeps the listeners, use `restart`".into(),
                );
            }
            Ok(release)
        });
        match purpose {
            Purpose::Upgrade | Purpose::Names(_) => {}
            Purpose::Restart => self.restart_checked(result.map(drop)),
            Purpose::Reload(generation) => {
                let result = result.map(|release| {
                    let policy = release.settings.policy(hatchery_sys::proc::cpu_num());
                    let upgrade = is_other(&release.program);
                    self.upgrade_to = upgrade.then_some(generation);
                    self.releases.insert(generation, release);
                    Accepted { policy, upgrade }
                });
                self.tell(Event::Checked { generation, result });
            }
        }
    }
}

/// Whether an instance in this state was not asked to end.
pub(crate) const fn is_working(state: State) -> bool {
    matches!(state, State::Starting | State::Ready | State::Suspect)
}

/// The tag of a child's output lines.
fn prefix(process: &Process) -> String {
    format!("{} {} | ", process.role, process.id)
}
