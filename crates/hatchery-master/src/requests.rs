//! The verbs of the control socket, and the answers.

use hatchery_ipc::control::{Request, Response, Verb};
use hatchery_supervisor::{Command, Event, Phase, RequestId};
use hatchery_sys::epoll::{Interest, Ready};

use crate::control::Connection;
use crate::journal::Level;
use crate::master::Master;
use crate::release::Purpose;
use crate::token::Token;

/// Who waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    /// A client of the control socket.
    Client(u64),
    /// A signal, by its name: the answer goes to the log.
    Signal(&'static str),
    /// A client that did not want to wait: the answer goes to the log.
    Detached(&'static str),
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
            let connection = self.control.flush(key);
            self.settle(key, connection);
        }
        if event.readable || event.hangup {
            let Some(requests) = self.control.read(key) else {
                return self.settle(key, Connection::Closed);
            };
            for request in requests {
                match request {
                    Ok(request) => self.request(key, &request),
                    Err(error) => self.answer(key, &Response::done(Err(error.to_string()))),
                }
            }
        }
    }

    fn request(&mut self, key: u64, request: &Request) {
        let (name, command) = match request.verb {
            Verb::Status => {
                let status = self.status();
                return self.answer(key, &Response::status(status));
            }
            Verb::Restart => return self.restart(key, request.wait),
            Verb::Reload => ("reload", Command::Reload),
            Verb::Scale { workers } => ("scale", Command::Scale { workers }),
            Verb::Stop { fast } => ("stop", Command::Stop { fast }),
        };
        self.log(Level::Info, &format!("asked to {name}"));
        if request.wait {
            self.command(Asker::Client(key), command);
        } else {
            self.command(Asker::Detached(name), command);
            self.answer(key, &Response::done(Ok(format!("{name} begun"))));
        }
    }

    /// Passes a command on to the supervisor, which answers it exactly once.
    pub(crate) fn command(&mut self, asker: Asker, command: Command) {
        let request = RequestId(self.next_request);
        self.next_request += 1;
        if matches!(command, Command::Stop { .. }) {
            // Whoever says stop means it, also in the middle of a restart.
            self.restart_after_stop = false;
        }
        self.askers.insert(request, asker);
        self.tell(Event::Command { request, command });
    }

    /// The supervisor's answer to a command.
    pub(crate) fn reply(&mut self, request: RequestId, result: Result<String, String>) {
        match self.askers.remove(&request) {
            Some(Asker::Client(key)) => self.answer(key, &Response::done(result)),
            Some(Asker::Signal(name) | Asker::Detached(name)) => match result {
                Ok(text) => self.log(Level::Info, &format!("{name}: {text}")),
                Err(text) => self.log(Level::Error, &format!("{name}: {text}")),
            },
            None => {}
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
        self.log(Level::Info, "asked to restart");
        let asker = if wait {
            Asker::Client(key)
        } else {
            Asker::Detached("restart")
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
        self.command(Asker::Signal("restart"), Command::Stop { fast: false });
        self.restart_after_stop = true;
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.supervisor.phase() == Phase::Stopping
    }

    fn answer(&mut self, key: u64, response: &Response) {
        let connection = self.control.answer(key, response);
        self.settle(key, connection);
    }

    /// Waits for what the connection needs next, or closes it.
    fn settle(&mut self, key: u64, connection: Connection) {
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
