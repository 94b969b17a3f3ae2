//! The command line's side of the control socket.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::ops::ControlFlow;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hatchery_ipc::control::{Request, Response, Verb};
use hatchery_ipc::status::Status;
use hatchery_sys::peer;

use crate::error::{Error, ErrorCode};
use crate::socket_path;

/// A connection to a running master.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
    path: PathBuf,
    /// The master's process, held from the moment of the connection: its number cannot come to
    /// mean another process.
    pidfd: OwnedFd,
    pid: u32,
}

impl Client {
    /// Connects to the master behind `path`.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::NotRunning`] when there is no socket or nobody listens on it.
    pub fn connect(path: &Path) -> Result<Self, Error> {
        let stream = socket_path::connect(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Error::new(
                ErrorCode::NotRunning,
                format!("nothing runs behind {}", path.display()),
            ),
            _ => Error::io(
                ErrorCode::Protocol,
                format!("cannot reach {}", path.display()),
                error,
            ),
        })?;
        let open = || -> io::Result<_> {
            let pid = peer::credentials(stream.as_fd())?.pid;
            Ok((pid, peer::pidfd_open(pid)?))
        };
        let (pid, pidfd) = open().map_err(|error| {
            Error::io(
                ErrorCode::NotRunning,
                format!("no master behind {}", path.display()),
                error,
            )
        })?;
        Ok(Self {
            stream: BufReader::new(stream),
            path: path.to_owned(),
            pidfd,
            pid,
        })
    }

    /// The master's process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends a request and waits for the last line of its answer, at most `timeout` between two
    /// lines (`None`: as long as it takes). `Ok(None)`: the master ended the connection instead,
    /// as it does when it stops.
    pub fn request(
        &mut self,
        request: &Request,
        timeout: Option<Duration>,
    ) -> Result<Option<Response>, Error> {
        self.stream(request, timeout, |_| ControlFlow::Continue(()))
    }

    /// The same, with every line before the last one passed on; a `Break` ends it, with `Ok(None)`.
    pub fn stream(
        &mut self,
        request: &Request,
        timeout: Option<Duration>,
        mut each: impl FnMut(Response) -> ControlFlow<()>,
    ) -> Result<Option<Response>, Error> {
        let stream = self.stream.get_mut();
        let sent = stream
            .set_read_timeout(timeout)
            .and_then(|()| stream.set_write_timeout(Some(Duration::from_secs(5))))
            .and_then(|()| stream.write_all(&request.to_line()));
        sent.map_err(|error| self.lost(error))?;
        loop {
            let mut line = Vec::new();
            match self.stream.read_until(b'\n', &mut line) {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(self.lost(error)),
            }
            let response = Response::parse(line.trim_ascii()).map_err(|error| {
                let path = self.path.display();
                Error::new(
                    ErrorCode::Protocol,
                    format!("{path} answered with a {error}"),
                )
            })?;
            if response.done {
                return Ok(Some(response));
            }
            if each(response).is_break() {
                return Ok(None);
            }
        }
    }

    /// Asks for the state of everything.
    pub fn status(&mut self, timeout: Duration) -> Result<Status, Error> {
        let response = self.request(&Request::new(Verb::Status), Some(timeout))?;
        match response.and_then(|response| response.status) {
            Some(status) => Ok(*status),
            None => Err(Error::new(
                ErrorCode::Protocol,
                format!("{} did not answer with a status", self.path.display()),
            )),
        }
    }

    /// Waits until the master's process is gone. Returns whether it is.
    pub fn wait_gone(&self, timeout: Duration) -> bool {
        peer::wait_gone(self.pidfd.as_fd(), timeout).unwrap_or(false)
    }

    fn lost(&self, error: io::Error) -> Error {
        let path = self.path.display();
        if is_timeout(&error) {
            let detail = format!(
                "the master behind {path} (pid {}) does not answer",
                self.pid
            );
            return Error::new(ErrorCode::Timeout, detail);
        }
        Error::io(
            ErrorCode::Protocol,
            format!("lost the connection to {path}"),
            error,
        )
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}
