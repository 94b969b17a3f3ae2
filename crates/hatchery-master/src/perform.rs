//! Each action of the supervisor, carried out.

use std::io;
use std::os::fd::AsFd as _;
use std::rc::Rc;
use std::time::Duration;

use hatchery_ipc::child::{ToChild, Welcome};
use hatchery_supervisor::{
    Action, Event, Generation, InstanceId, Phase, Report, Role, Signal, Slot, State,
};
use hatchery_sys::epoll::Interest;
use hatchery_sys::notify::Notifier;
use hatchery_sys::spawn::Program;
use hatchery_sys::{process, signals};

use crate::check::{Check, Purpose, Question};
use crate::journal::{self, Level};
use crate::lines::Tail;
use crate::master::Master;
use crate::process::{Process, Spec};
use crate::release::with_tail;
use crate::token::Token;

impl Master {
    /// Carries out everything that the supervisor wants now. Some actions have immediate answers,
    /// which may bring further actions; each kind is bounded by the supervisor.
    pub(crate) fn perform(&mut self) {
        while let Some(action) = self.supervisor.poll_action() {
            match action {
                Action::Spawn {
                    instance,
                    role,
                    generation,
                } => {
                    self.spawn(instance, role, generation);
                }
                Action::Pressure { .. } => self.tell_pressure(),
                Action::Assign { instance, slot } => self.assign(instance, slot),
                Action::ServerDidReady { instance } => {
                    self.tell_child(instance, &ToChild::ServerDidReady);
                }
                Action::Drain {
                    instance,
                    limit,
                    successor,
                } => {
                    self.drain(instance, limit, successor);
                }
                Action::Signal { instance, signal } => self.signal(instance, signal),
                Action::Steer { slots } => self.steer(&slots),
                Action::Check { generation } => self.check(Purpose::Reload(generation)),
                Action::Upgrade => self.upgrade(),
                Action::Forget { generation } => drop(self.releases.remove(&generation)),
                Action::Reply { request, result } => {
                    let result = result.map_err(|reason| {
                        with_tail(reason, &std::mem::take(&mut self.failed_tail))
                    });
                    self.reply(request, result);
                }
                Action::Report(report) => self.report(&report),
                Action::Finish { result } => {
                    self.finished = Some(result);
                }
            }
        }
        self.connect_heirs();
    }

    fn spawn(&mut self, id: InstanceId, role: Role, generation: Generation) {
        let event = match self.try_spawn(id, role, generation) {
            Ok(pid) => Event::Spawned { instance: id, pid },
            Err(error) => Event::SpawnFailed {
                instance: id,
                reason: error.to_string(),
            },
        };
        self.tell(event);
    }

    fn try_spawn(&mut self, id: InstanceId, role: Role, generation: Generation) -> io::Result<u32> {
        let release = self
            .releases
            .get(&generation)
            .map(Rc::clone)
            .ok_or_else(|| {
                io::Error::other(format!("generation {generation} has been forgotten"))
            })?;
        let listening = self.listeners.addresses();
        let listeners = match role {
            Role::Agent | Role::Spare => Vec::new(),
            Role::Worker(slot) => self.listeners.for_slot(slot.0)?,
        };
        let cluster = &release.settings.cluster;
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let welcome = Welcome {
            heartbeat_interval_ms: millis(cluster.heartbeat_interval),
            idle_grace_ms: millis(cluster.idle_grace),
            orphan_grace_ms: millis(cluster.orphan_grace),
            drain_timeout_ms: millis(cluster.drain_timeout),
            listeners: if listeners.is_empty() {
                Vec::new()
            } else {
                listening
            },
        };
        let spec = Spec {
            id,
            role,
            generation,
            workers: self.supervisor.workers_wanted(),
            release: &release,
            cwd: &self.launch.base_dir,
        };
        let process = Process::start(&self.template, &spec, &listeners, welcome)?;
        let watch = || -> io::Result<()> {
            let add = |fd, token: Token| self.epoll.add(fd, token.to_u64(), Interest::READ);
            add(process.messages.as_fd(), Token::Messages(id))?;
            if let Some(pipe) = process.stdout.pipe() {
                add(pipe, Token::Stdout(id))?;
            }
            if let Some(pipe) = process.stderr.pipe() {
                add(pipe, Token::Stderr(id))?;
            }
            Ok(())
        };
        let pid = process.pid;
        if let Err(error) = watch() {
            // Unwatched, its end would still be seen, but not what it says: no use to anybody.
            let _ = process::kill_group(pid, signals::Signal::Kill);
            let _ = process::reap(pid);
            return Err(error);
        }
        self.processes.insert(id, process);
        self.pids.insert(id, pid);
        Ok(pid)
    }

    pub(crate) fn tell_child(&mut self, id: InstanceId, message: &ToChild) -> bool {
        let Some(process) = self.processes.get(&id) else {
            return false;
        };
        match process.tell(message, &[]) {
            Ok(()) => true,
            Err(error) => {
                let text = format!("{} {id} cannot be told: {error}", process.role);
                self.log(Level::Warn, &text);
                false
            }
        }
    }

    fn drain(&mut self, id: InstanceId, limit: Duration, successor: bool) {
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        self.hand_over(id);
        if !self.tell_child(
            id,
            &ToChild::Drain {
                limit_ms,
                successor,
            },
        ) {
            // A child that cannot be told by message understands SIGTERM.
            self.signal(id, Signal::Term);
        }
    }

    pub(crate) fn signal(&mut self, id: InstanceId, signal: Signal) {
        let Some(process) = self.processes.get_mut(&id) else {
            return;
        };
        process.notes.sent(signal);
        // The process is a child of ours that is not reaped, so its number is still its own.
        let sent = match signal {
            Signal::Term => process::signal(process.pidfd.as_fd(), signals::Signal::Term),
            Signal::Abort => process::signal(process.pidfd.as_fd(), signals::Signal::Abrt),
            Signal::Kill => process::kill_group(process.pid, signals::Signal::Kill),
        };
        if let Err(error) = sent {
            let text = format!(
                "{} {id} pid {}: {signal:?}: {error}",
                process.role, process.pid
            );
            self.log(Level::Warn, &text);
        }
    }

    fn steer(&mut self, slots: &[Slot]) {
        self.steered = slots.iter().map(|slot| slot.0).collect();
        self.steer_again();
        let leaves_orphans = !self.orphans.is_empty() && !self.orphans.stop_asked;
        if slots.is_empty() && self.supervisor.phase() == Phase::Stopping && !leaves_orphans {
            self.upkeep.refuse_soon(self.now);
        }
    }

    /// The supervisor's slots, and those of a former master's workers that still serve.
    pub(crate) fn steer_again(&mut self) {
        let slots: Vec<u32> = self
            .steered
            .iter()
            .copied()
            .chain(self.orphans.slots())
            .collect();
        if let Err(error) = self.listeners.steer(slots.into_iter()) {
            // The kernel goes on with the former table or its own spread; siblings empty the rest.
            self.log(
                Level::Error,
                &format!("cannot steer new connections: {error}"),
            );
        }
        self.watch_unattended();
    }

    /// Pins what is on disk and has it checked by itself, in a process of its own.
    pub(crate) fn check(&mut self, purpose: Purpose) {
        self.failed_tail = Tail::default();
        let mut arguments = self.launch.check_args.clone();
        arguments.push("--check".into());
        let question = Question {
            purpose,
            arguments,
            state: None,
            cwd: &self.launch.base_dir,
            deadline: self.now + self.supervisor.policy().ready_timeout,
        };
        let started =
            Program::open(&self.launch.binary).and_then(|program| Check::start(program, question));
        match started {
            Ok(check) => self.await_check(check),
            Err(error) => {
                let path = self.launch.binary.display();
                let reason = format!("cannot start {path} --check: {error}");
                self.checked(purpose, Err(reason));
            }
        }
    }

    /// Listens to a check until it ends.
    pub(crate) fn await_check(&mut self, check: Check) {
        for pipe in check.pipes() {
            let _ = self.epoll.add(pipe, Token::Check.to_u64(), Interest::READ);
        }
        self.checks.push(check);
    }

    fn report(&mut self, report: &Report) {
        let pid = match report {
            Report::Moved { instance, .. } | Report::Assigned { instance, .. } => {
                self.pids.get(instance).copied()
            }
            Report::Died { instance, .. } => self.pids.remove(instance),
            _ => None,
        };
        // A death has a line of its own that says more.
        if !matches!(
            report,
            Report::Moved {
                to: State::Exited,
                ..
            }
        ) {
            let exit = self.report_death(report);
            let (level, event) = journal::describe(report, pid, exit.as_ref());
            self.announce(level, event);
            if let Some(exit) = exit {
                self.reports.push(exit);
            }
        }
        if let Report::Moved {
            instance,
            to: State::Suspect,
            ..
        } = report
        {
            self.inquire(*instance);
        }
        self.keep_setback(report);
        if let Report::Moved {
            instance,
            to: State::Ready,
            ..
        } = report
            && self.supervisor.pressure().0 > 0
        {
            self.tell_pressure_to(*instance);
        }
        if let Report::Phase { from, to } = report {
            self.phase_changed(*from, *to);
        }
    }

    /// Remembers why a place of the pool is empty, for `status`, until it is filled.
    fn keep_setback(&mut self, report: &Report) {
        match report {
            Report::Moved {
                role,
                to: State::Ready,
                ..
            } => drop(self.setbacks.remove(role)),
            Report::Died { instance, role, .. } => {
                let last_words = self.last_words.remove(instance);
                if let Some(text) = journal::setback(report, last_words.as_deref()) {
                    self.setbacks.insert(*role, text);
                }
            }
            _ => {}
        }
    }

    fn phase_changed(&mut self, from: Phase, to: Phase) {
        if from == Phase::Starting && to != Phase::Stopping {
            self.drain_orphans(true);
        }
        match to {
            Phase::Ready if from == Phase::Starting => {
                self.welcome();
                self.notify(Notifier::ready);
            }
            // After a reload the service manager waits to hear READY again, however it went.
            Phase::Ready | Phase::Degraded if from == Phase::Reloading => {
                self.notify(Notifier::ready);
            }
            Phase::Reloading => self.notify(Notifier::reloading),
            // It would end for good a service that says it stops; this process comes back.
            Phase::Stopping if self.restart_after_stop => self.notify(Notifier::reloading),
            Phase::Stopping => self.notify(Notifier::stopping),
            _ => {}
        }
        let status = format!(
            "{}: generation {}, {} workers wanted",
            to.as_str(),
            self.supervisor.generation(),
            self.supervisor.workers_wanted()
        );
        self.notify(|notifier| notifier.status(&status));
        if to == Phase::Stopping && self.orphans.stop_asked {
            self.unstore_listeners();
        }
    }

    /// Says where to look, once.
    fn welcome(&mut self) {
        let addresses: Vec<_> = self
            .listeners
            .addresses()
            .into_iter()
            .map(|a| {
                if a.starts_with("unix:") {
                    a
                } else {
                    format!("http://{a}")
                }
            })
            .collect();
        let addresses = addresses.join(", ");
        let text = format!(
            "{} is up on {addresses}; `{} status --run-dir {}` shows it",
            self.launch.app,
            self.launch.binary.display(),
            self.launch.run_dir.display(),
        );
        self.log(Level::Info, &text);
        self.announcer.ready(&addresses);
    }
}
