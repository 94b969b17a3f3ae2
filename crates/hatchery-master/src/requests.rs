//! The verbs of the control socket, and the answers.

use std::borrow::Cow;

use hatchery_ipc::control::{Request, Response, Verb};
use hatchery_supervisor::{Command, Event, Phase, RequestId};
use hatchery_sys::epoll::{Interest, Ready};
use hatchery_sys::notify::Notifier;
use serde::{Deserialize, Serialize};

use crate::check::Purpose;
use crate::control::Connection;
use crate::events::event;
use crate::feeds::Feed;
use crate::journal::Level;
use crate::lines::Tail;
use crate::master::Master;
use crate::token::Token;

/// Who asked. Every answer goes to the log, and to the client that waits for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asker {
    /// The verb, or the signal.
    name: Cow<'static, str>,
    /// The client of the control socket that waits.
    client: Option<u64>,
}

impl Asker {
    /// Nobody who waits: a signal, or a client that did not want to.
    pub(crate) const fn detached(name: &'static str) -> Self {
        Self {
            name: Cow::Borrowed(name),
            client: None,
        }
    }

    const fn client(name: &'static str, key: u64) -> Self {
        Self {
            name: Cow::Borrowed(name),
            client: Some(key),
        }
    }
}

impl Master {
    pub(crate) fn accept_clients(&mut self) {
        while let Some(key) = self.control.accept() {
            let watched = self.control.client(key).is_some_and(|fd| {
                self.epoll
                    .add(fd, Token::Client(key).to_u64(), Interest::READ)
                    .is_ok()
            });
            if !watched {
                self.control.close(key);
            }
        }
        // Level-triggered: a backlog that is not accepted from would keep the loop busy.
        let interest = Interest {
            readable: !self.control.is_full(),
            ..Interest::default()
        };
        let token = Token::Control.to_u64();
        let _ = self.epoll.modify(self.control.listener(), token, interest);
    }

    pub(crate) fn client_ready(&mut self, key: u64, event: Ready) {
        if event.writable {
            self.client_writable(key);
        }
        if event.readable || event.hangup {
            let Some(requests) = self.control.read(key) else {
                return self.settle(key, Connection::Closed);
            };
            for request in requests {
                self.take_request(key, request);
            }
        }
    }

    /// What was asked before the loop ran.
    pub(crate) fn answer_early(&mut self) {
        for key in self.control.keys() {
            if let Some(fd) = self.control.client(key) {
                let _ = self
                    .epoll
                    .add(fd, Token::Client(key).to_u64(), Interest::READ);
            }
        }
        for (key, request) in std::mem::take(&mut self.early) {
            self.take_request(key, request);
        }
    }

    fn take_request(&mut self, key: u64, request: Result<Request, hatchery_ipc::Error>) {
        match request {
            Ok(request) => self.request(key, &request),
            Err(error) => self.answer(key, &Response::done(Err(error.to_string()))),
        }
    }

    fn request(&mut self, key: u64, request: &Request) {
        let (name, command) = match request.verb {
            Verb::Status => {
                let status = self.status();
                return self.answer(key, &Response::status(status));
            }
            Verb::Exits => return self.feed(key, Feed::Exits(self.reports.kept())),
            Verb::Events { follow } => {
                let until = (!follow).then(|| self.events.last());
                return self.feed(key, Feed::Events { next: 1, until });
            }
            Verb::Restart => return self.restart(key, request.wait),
            Verb::Orphan(ref report) => return self.orphan_reports(key, report),
            Verb::Reload => ("reload", Command::Reload),
            Verb::Upgrade => ("upgrade", Command::Upgrade),
            Verb::Scale { workers } => ("scale", Command::Scale { workers }),
            Verb::Stop { fast } => ("stop", Command::Stop { fast }),
        };
        match request.verb {
            Verb::Scale { workers } => self.tell_command(format!("asked to scale to {workers}")),
            _ => self.tell_command(format!("asked to {name}")),
        }
        if request.wait {
            self.command(Asker::client(name, key), command);
        } else {
            self.command(Asker::detached(name), command);
            self.answer(key, &Response::done(Ok(format!("{name} begun"))));
        }
    }

    fn tell_command(&mut self, text: String) {
        self.announce(Level::Info, event("command", text));
    }

    /// Passes a command on to the supervisor, which answers it exactly once.
    pub(crate) fn command(&mut self, asker: Asker, command: Command) {
        let request = RequestId(self.next_request);
        self.next_request += 1;
        if let Command::Stop { fast } = command {
            // Whoever says stop means it, also in the middle of a restart.
            self.restart_after_stop = false;
            self.stop_orphans(fast);
        }
        if self.supervisor.phase() != Phase::Reloading {
            // Who ended before this was asked does not explain how it goes.
            self.failed_tail = Tail::default();
        }
        self.askers.insert(request, asker);
        self.tell(Event::Command { request, command });
    }

    /// The answer to a command.
    pub(crate) fn reply(&mut self, request: RequestId, result: Result<String, String>) {
        let Some(Asker { name, client }) = self.askers.remove(&request) else {
            return;
        };
        let result = result.map_err(|reason| {
            if name == "reload" && !self.is_stopping() {
                let generation = self.supervisor.generation();
                format!("the reload failed, generation {generation} serves on: {reason}")
            } else if name == "upgrade" {
                format!("the master runs on as it is: {reason}")
            } else {
                reason
            }
        });
        let (level, text) = match &result {
            Ok(text) => (Level::Info, text),
            Err(text) => (Level::Error, text),
        };
        // One line a report: the last lines of a failed process were logged as it wrote them.
        let text = format!("{name}: {}", text.lines().next().unwrap_or_default());
        self.announce(level, event("command", text));
        if name == "SIGHUP" && result.is_err() && !self.is_stopping() {
            // Who reloads by signal waits for this pair, also when the check has refused.
            self.notify(Notifier::reloading);
            self.notify(Notifier::ready);
        }
        if let Some(key) = client {
            self.answer(key, &Response::done(result));
        }
    }

    fn restart(&mut self, key: u64, wait: bool) {
        if self.is_stopping()
            || self
                .checks
                .iter()
                .any(|check| check.purpose == Purpose::Restart)
        {
            return self.answer(key, &Response::done(Err("stopping already".into())));
        }
        if self.is_upgrading() {
            let reason = "the master is being upgraded, ask again".into();
            return self.answer(key, &Response::done(Err(reason)));
        }
        self.tell_command("asked to restart".into());
        let asker = if wait {
            Asker::client("restart", key)
        } else {
            Asker::detached("restart")
        };
        if !wait {
            self.answer(key, &Response::done(Ok("restart begun".into())));
        }
        self.askers.insert(RESTART, asker);
        self.check(Purpose::Restart);
    }

    /// What would be started is in order: stop, and come back. Otherwise nothing is touched.
    pub(crate) fn restart_checked(&mut self, result: Result<(), String>) {
        if let Err(reason) = result {
            return self.reply(RESTART, Err(reason));
        }
        if self.is_stopping() {
            return self.reply(RESTART, Err("stopping".into()));
        }
        // The client sees the end of its connection when this process begins anew.
        self.askers.remove(&RESTART);
        self.command(Asker::detached("restart"), Command::Stop { fast: false });
        self.restart_after_stop = true;
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.supervisor.phase() == Phase::Stopping
    }

    pub(crate) fn answer(&mut self, key: u64, response: &Response) {
        let connection = self.control.answer(key, response);
        self.settle(key, connection);
    }

    /// Waits for what the connection needs next, or closes it.
    pub(crate) fn settle(&mut self, key: u64, connection: Connection) {
        let Some(fd) = self.control.client(key) else {
            return;
        };
        let token = Token::Client(key).to_u64();
        let watched = match connection {
            Connection::Idle => self.epoll.modify(fd, token, Interest::READ),
            Connection::Pending => self.epoll.modify(fd, token, Interest::READ_WRITE),
            Connection::Closed => Err(std::io::ErrorKind::BrokenPipe.into()),
        };
        if watched.is_err() {
            let _ = self.epoll.delete(fd);
            self.control.close(key);
            // There is room again for one that waits in the backlog.
            self.accept_clients();
        }
    }
}

/// The number under which a restart's asker waits; commands are numbered from 1.
const RESTART: RequestId = RequestId(0);
