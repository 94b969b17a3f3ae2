//! The state of a running application, asked over its control socket.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

pub use hatchery_ipc::exits::Exit;
pub use hatchery_ipc::status::{
    Agent, Cut, Handovers, Losses, Master, Orphan, Pressure, Spare, Status, Worker,
};

/// How long one question may take.
const LIMIT: Duration = Duration::from_secs(20);

/// A connection to the control socket, for many questions.
pub(super) struct Control(BufReader<UnixStream>);

#[derive(Deserialize)]
struct Answer {
    done: bool,
    ok: bool,
    message: Option<String>,
    status: Option<Status>,
}

impl Control {
    pub(super) fn connect(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_write_timeout(Some(LIMIT))?;
        Ok(Self(BufReader::new(stream)))
    }

    pub(super) fn status(&mut self) -> io::Result<Status> {
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
